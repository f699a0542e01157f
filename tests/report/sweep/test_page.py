"""The page that compares the runs of a sweep."""

import html
import json
import math
import re
import shutil
from dataclasses import replace

import pytest
import yaml

from gcseg.errors import OutputError
from gcseg.report.sweep.page import write_sweep_report
from gcseg.report.sweep.write import write_summary
from tests.sweeps.jobs import grid

CLASSES = ("road", "building", "sky", "pole")


def sweep(root, *, classes=CLASSES, analysed=True, flops=4e9, **values):
    """A sweep folder and its jobs, with a run folder for each training as they end in one.

    The arguments are those of `grid`; `backbone` and `iters` are settings of the runs, too.
    """
    jobs = []
    for job in grid(**values):
        chosen = dict(one.split("=", 1) for one in job.overrides)
        iters = int(chosen.get("iters", 20))
        settings = {**job.settings, "iters": iters}
        settings["backbone"] = chosen.get("backbone", "r18")
        run = root / "runs" / "-".join([*chosen.values()][:-2])
        evaluations = job.evaluations and {
            mode: {**record, **scored(record["miou"], classes, analysed)}
            for mode, record in job.evaluations.items()
        }
        job = replace(job, settings=settings, run=str(run), evaluations=evaluations)
        jobs.append(job)
        write_run(run, job, iters, flops)
    folder = root / "runs" / "sweeps" / "a-sweep"
    folder.mkdir(parents=True)
    words = ["backbone=r18,r50", "dataset.root=/with blank"]
    hydra = {
        "overrides": {"task": words, "hydra": ["hydra.mode=MULTIRUN", "hydra.launcher.jobs=2"]}
    }
    (folder / "multirun.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    return folder, jobs


def scored(miou, classes, analysed):
    """What a record has beside its mIoU: classes around it, the first ones above."""
    spread = [0.3 * (0.5 - place / max(1, len(classes) - 1)) for place in range(len(classes))]
    iou = {name: min(0.99, max(0.0, miou + by)) for name, by in zip(classes, spread, strict=True)}
    return {"class_iou": iou, **({"boundary_miou": miou / 2, "ece": 0.04} if analysed else {})}


def write_run(run, job, iters, flops):
    """A run folder, as it is at the end of a training, without checkpoints."""
    run.mkdir(parents=True, exist_ok=True)
    end = 0.5 if job.evaluations is None else next(iter(job.evaluations.values()))["miou"]
    results = {
        "training": {"iters": iters, "seconds": 180.0 * iters, "images_per_second": 3.0},
        "model": {"parameters": 1000, "training_flops": 3 * flops, "height": 240, "width": 320},
        "evaluations": job.evaluations or {},
    }
    (run / "results.json").write_text(json.dumps(results))
    backbone = {"name": job.settings["backbone"], "depth": job.settings["backbone"][1:]}
    shared = {"batch_size": 4, "devices": 1, "optim": {"lr": 0.01}, "backbone": backbone}
    config = {**shared, "seed": job.settings["seed"], "iters": iters, "run_root": f"r{job.number}"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "environment.json").write_text(json.dumps({"gpus": ["A GPU"]}))
    rows = ["step,train/loss,val/miou"]
    for step in range(1, 11):
        done = step * iters // 10
        rows += [f"{done - 1},{2 / step},", f"{done - 1},,{end * (1 - math.exp(-step / 3))}"]
    (run / "metrics.csv").write_text("\n".join(rows) + "\n")
    (run / "report.html").write_text("<!doctype html>")


def by_backbone(combination, seed, mode):
    return 0.6 + 0.02 * (combination[0] == "r50") + 0.005 * (mode == "flip") + 0.001 * seed


def section(page, title):
    """The HTML of a section; empty if it is not there."""
    found = [part for part in page.split("<section")[1:] if f"<h2>{title}</h2>" in part]
    return found[0] if found else ""


def words(page):
    """What is left without tags."""
    return html.unescape(" ".join(re.sub("<[^>]*>", " ", page).split()))


def rows(page, title):
    """The first table of a section, cells without tags."""
    body = section(page, title).partition("</table>")[0]
    found = re.findall("<tr>(.*?)</tr>", body, re.DOTALL)
    return [[words(cell) for cell in re.findall("<t[hd].*?</t[hd]>", row)] for row in found]


def bold(page, title):
    return {
        words(cell) for cell in re.findall(r'<td class="[t ]*b">.*?</td>', section(page, title))
    }


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The page of two backbones, two lengths, three seeds and three modes."""
    folder, jobs = sweep(
        tmp_path_factory.mktemp("usual"), backbone=["r18", "r50"], iters=[20, 40],
        seeds=(0, 1, 2), scores=by_backbone,
    )  # fmt: skip
    return write_sweep_report(folder, jobs).read_text()


def test_scores_and_their_noise_are_the_tables_of_the_summary(usual):
    assert rows(usual, "Scores")[0] == ["backbone", "iters", "plain", "flip", "ms+flip"]
    assert rows(usual, "Scores")[4][2:] == ["62.10 ± 0.10", "62.60 ± 0.10", "62.10 ± 0.10"]
    assert bold(usual, "Scores") == {"62.10 ± 0.10", "62.60 ± 0.10"}
    assert rows(usual, "Noise of seeds")[1][-2:] == ["-2.23 to -1.77", "more than noise"]


def test_charts_of_length_cost_and_curves_have_bands_over_seeds(usual):
    length, cost, curves = (
        section(usual, title) for title in ("Length of training", "Cost of training", "Curves")
    )
    assert length.count("<svg") == 3 and cost.count("<svg") == 2 and curves.count("<svg") == 1
    assert "training, GPU hours" in cost and "training, PFLOP" in cost
    assert "r50, iters 40" in words(curves)
    for part in (length, cost, curves):
        assert "from the lowest to the highest score" in part and "fill-opacity" in part


def test_costs_are_hours_times_devices_and_three_forward_passes(usual):
    row = rows(usual, "Runs")[1]
    assert row[:4] == ["r18", "20", "0", "done"]
    # 180 s a step on one device; 3 x 4e9 x 20 steps x 4 images / 1e15
    assert row[-2:] == ["1", "0.00096"]


def test_classes_side_by_side(usual):
    table = rows(usual, "Classes")
    assert table[0] == [
        "class", "r18, iters 20", "r18, iters 40", "r50, iters 20", "r50, iters 40", "range"
    ]  # fmt: skip
    assert table[1] == ["road", "75.10", "75.10", "77.10", "77.10", "2.00"]
    assert bold(usual, "Classes") == {"77.10", "67.10", "57.10", "47.10"}


def test_boundaries_and_calibration_beside_miou(usual):
    table = rows(usual, "Boundaries and calibration")
    assert table[1] == ["plain", "r18, iters 20", "60.10 ± 0.10", "30.05 ± 0.05", "4.00 ± 0.00"]
    assert "4.00 ± 0.00" not in bold(usual, "Boundaries and calibration")  # all are alike


def test_what_differs_is_what_was_varied_and_what_follows_from_it(usual):
    table = rows(usual, "What differs")
    assert [row[0] for row in table] == ["setting", "backbone", "iters", "backbone.depth"]
    assert table[3][1:] == ["18", "18", "50", "50"]


def test_runs_are_linked_and_nothing_else_is_loaded(usual):
    links = set(re.findall(r'(?:href|src)="([^"]*)"', usual)) - {"data:,"}
    assert {link for link in links if not link.startswith("#")} >= {"../../r18-20-0/report.html"}
    assert not {link for link in links if not link.startswith(("#", "../../r"))}
    assert "<script" not in usual and "@import" not in usual and "url(http" not in usual


def test_the_command_is_given(usual):
    command = "python -m gcseg.train -m backbone=r18,r50 'dataset.root=/with blank'"
    assert f"{command} hydra.launcher.jobs=2" in words(section(usual, "Command"))


def test_what_is_gone_damaged_or_unfinished_is_told(tmp_path):
    folder, jobs = sweep(
        tmp_path, backbone=["r18", "r34", "r50", "r<b>"], modes=["none"], scores=by_backbone,
        fail=[3],
    )  # fmt: skip
    shutil.rmtree(jobs[0].run)
    (tmp_path / "runs" / "r34" / "results.json").write_text("[1")
    (tmp_path / "runs" / "r34" / "metrics.csv").write_bytes(b"\xff\xfe\0")
    (tmp_path / "runs" / "r50" / "config.yaml").write_text("{")
    jobs[3] = replace(jobs[3], error="<script>alert(1)</script>", run=None)
    (folder / "multirun.yaml").write_text("hydra: []")
    page = write_sweep_report(folder, jobs).read_text()
    remarks = {row[0]: row[4] for row in rows(page, "Runs")}
    assert remarks["r18"] == "the run folder r18 is gone"
    assert remarks["r34"].startswith("results.json is damaged (it is not JSON")
    assert remarks["r50"].startswith("config.yaml is damaged (it is not YAML")
    assert remarks["r<b>"] == "<script>alert(1)</script>" and "<script" not in page
    assert "3 runs have missing or damaged files" in page
    assert "1 of 4 jobs are not finished." in page and "failed: job 3 (backbone=r<b>)" in words(
        page
    )
    assert rows(page, "Scores")[1:] == [
        ["r18", "60.00"], ["r34", "60.00"], ["r50", "62.00"], ["r<b>", "failed"]
    ]  # fmt: skip
    assert "multirun.yaml can't be read. All jobs have: dataset=camvid" in words(page)


def test_folders_that_were_moved_together_are_found(tmp_path):
    folder, jobs = sweep(tmp_path / "there", backbone=["r18", "r50"], modes=["none"])
    (tmp_path / "there").rename(tmp_path / "here")
    folder = tmp_path / "here" / "runs" / "sweeps" / "a-sweep"
    output = tmp_path / "page.html"
    assert write_sweep_report(folder, jobs, output) == output
    page = output.read_text()
    assert 'href="here/runs/r18/report.html"' in page and "gone" not in page


@pytest.mark.parametrize("fail", [(), range(6)])
def test_one_setting_and_no_score(tmp_path, fail):
    folder, jobs = sweep(tmp_path, fail=fail)
    page = write_sweep_report(folder, jobs).read_text()
    assert ("No job has a score yet." in page) == bool(fail)
    assert section(page, "Runs") and not section(page, "What differs")
    assert rows(page, "Scores")[1][1] == ("failed" if fail else "50.00")


def test_no_job(tmp_path):
    assert "The sweep has no jobs." in write_sweep_report(tmp_path, []).read_text()


def test_hundreds_of_jobs_and_classes(tmp_path):
    names = [f"r{number}" for number in range(100)]
    folder, jobs = sweep(
        tmp_path, classes=[f"class {number}" for number in range(50)], backbone=names,
        modes=["none", "flip"], scores=lambda combination, *_: 0.2 + int(combination[0][1:]) / 200,
    )  # fmt: skip
    for job in jobs:  # what the best setting is worse in
        for record in job.evaluations.values():
            record["class_iou"]["class 49"] = 0.0 if job.overrides[0] == "backbone=r99" else 0.9
    page = write_sweep_report(folder, jobs)
    assert page.stat().st_size < 2_000_000
    table = rows(page.read_text(), "Classes")
    assert table[0] == ["class", *names[88:], "range"] and table[1][0] == "class 49"
    assert "The best 12 of 100 settings." in page.read_text()
    assert len(rows(page.read_text(), "Scores")) == 101


def test_the_end_of_a_sweep_writes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gcseg.report.sweep.write.write_plot", lambda *_: [])
    folder, jobs = sweep(tmp_path, modes=["none"])
    write_summary(folder, jobs)
    first = (folder / "report.html").read_bytes()
    write_summary(folder, jobs)
    assert (folder / "report.html").read_bytes() == first

    def fail(*_):
        raise OutputError("report.html can't be written", "free space")

    monkeypatch.setattr("gcseg.report.sweep.write.write_sweep_report", fail)
    write_summary(folder, jobs)
    assert "no report of the sweep: report.html can't be written" in capsys.readouterr().err
