"""What a sweep says at its end."""

import csv
import json
import os
import re
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from gcseg.errors import OutputError
from gcseg.report.sweep.write import write_summary
from gcseg.sweeps.ledger import Job
from tests.sweeps.jobs import MODES, grid


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    """The page has tests of its own."""
    monkeypatch.setattr("gcseg.report.sweep.write.write_sweep_report", lambda *_: None)


def table(folder, number=0):
    """A table of sweep.txt: its rows as lists of cells, without the rule."""
    blocks = (folder / "sweep.txt").read_text().split("\n\n")
    rows = [block for block in blocks if block.startswith("|")][number].splitlines()
    cells = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows if "---" not in row]
    return [[cell.strip() for cell in row] for row in cells]


def rows(folder):
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def texts(path):
    """What the SVG's comments, one above each text, say."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.parse(path, parser).getroot()
    return [e.text.strip() for e in root.iter() if e.tag is ElementTree.Comment]


def by_backbone(combination, seed, mode):
    """r50 is 2 points better, flip half a point, a seed a tenth."""
    return 0.6 + 0.02 * (combination[0] == "r50") + 0.005 * (mode == "flip") + 0.001 * seed


def test_the_table_is_like_the_published_ones(tmp_path, capsys):
    jobs = grid(backbone=["r18", "r50"], scores=by_backbone)
    write_summary(tmp_path, jobs)
    assert table(tmp_path) == [
        ["backbone", "plain", "flip", "ms+flip"],
        ["r18", "60.00", "60.50", "60.00"],
        ["r50", "**62.00**", "**62.50**", "**62.00**"],
    ]
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("backbone", "ms+flip", "60.50", "62.50"))


def test_failed_and_missing_cells_are_marked_with_the_reason_below(tmp_path):
    jobs = grid(backbone=["r18", "r50"], fail=[1, 4, 5], scores=by_backbone)
    write_summary(tmp_path, [job for job in jobs if job.number != 2])
    assert table(tmp_path)[1:] == [
        ["r18", "60.00", "failed", ""],
        ["r50", "**62.00**", "failed", "failed"],
    ]
    last = (tmp_path / "sweep.txt").read_text().splitlines()[-1]
    reason = "out of memory: lower batch_size; log: jobs/1/console.log"
    assert last == f"failed: 3 jobs (1, 4, 5): {reason}"


@pytest.mark.parametrize("state", ["pending", "running", "pruned", "interrupted"])
def test_other_states_are_named(tmp_path, state):
    write_summary(tmp_path, grid(head=["gc", "fcn"], modes=["none"], fail=[1], state=state))
    assert table(tmp_path)[2] == ["fcn", state]
    assert f"{state}: job 1 (head=fcn)" in (tmp_path / "sweep.txt").read_text()


def test_csv_has_a_row_per_job_and_mode_in_full_precision(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    training = {"training": {"seconds": 12.5, "images_per_second": 3.25}}
    (run / "results.json").write_text(json.dumps(training))
    first, second = grid(head=["gc", "fcn"], modes=["none"], scores=lambda *_: 1 / 3, fail=[1])
    record = first.evaluations["none"]
    both = {"none": record, "flip": {**record, "miou": None}}
    first = Job(**{**vars(first), "run": str(run), "evaluations": both})
    write_summary(tmp_path, [first, second])
    plain, flip, failed = rows(tmp_path)
    assert (plain["number"], plain["head"], plain["state"], plain["mode"]) == (
        "0",
        "gc",
        "done",
        "none",
    )
    assert float(plain["miou"]) == 1 / 3 and plain["pixel_accuracy"] == "0.75"
    assert (plain["training_seconds"], plain["images_per_second"]) == ("12.5", "3.25")
    assert (plain["evaluation_seconds"], plain["run"]) == ("1.5", str(run))
    assert (flip["mode"], flip["miou"]) == ("flip", "")
    assert (failed["head"], failed["state"], failed["miou"]) == ("fcn", "failed", "")
    assert failed["error"] == "out of memory: lower batch_size"
    assert "dataset" not in plain  # the same in all jobs


def test_seeds_are_a_row_with_mean_deviation_and_interval(tmp_path):
    jobs = grid(backbone=["r18", "r50"], seeds=(0, 1, 2), modes=["none"], scores=by_backbone)
    write_summary(tmp_path, jobs)
    assert table(tmp_path)[1:] == [["r18", "60.10 ± 0.10"], ["r50", "**62.10 ± 0.10**"]]
    noise = table(tmp_path, 1)
    assert noise[0][:5] == ["mode", "backbone", "seeds", "mean", "sd"]
    # 0.1 / sqrt(3) times t of 2 degrees of freedom, 4.303; of the difference of 4 of them, 2.776
    assert noise[1] == ["plain", "r18", "3", "60.10", "0.10", "59.85 to 60.35",
                        "-2.00", "-2.23 to -1.77", "more than noise"]  # fmt: skip
    assert noise[2][5:] == ["61.85 to 62.35", "", "", "the best"]


def test_folds_end_in_mean_and_interval_as_seeds_do(tmp_path, capsys):
    jobs = grid(backbone=["r18", "r50"], **{"dataset.fold": ["0/3", "1/3", "2/3"]}, modes=["none"],
                scores=lambda of, _, mode: by_backbone(of, int(of[1][0]), mode))  # fmt: skip
    write_summary(tmp_path, jobs)
    assert table(tmp_path)[1:] == [["r18", "60.10 ± 0.10"], ["r50", "**62.10 ± 0.10**"]]
    noise = table(tmp_path, 1)
    assert noise[0][:5] == ["mode", "backbone", "folds", "mean", "sd"]
    assert noise[1][:6] == ["plain", "r18", "3", "60.10", "0.10", "59.85 to 60.35"]
    assert "mean ± standard deviation over folds" in capsys.readouterr().out


def test_what_is_within_the_noise_is_said(tmp_path):
    scores = {"a": [0.60, 0.62, 0.61], "b": [0.61, 0.63, 0.60]}
    jobs = grid(head=["a", "b"], seeds=(0, 1, 2), modes=["none"],
                scores=lambda combination, seed, _: scores[combination[0]][seed])  # fmt: skip
    write_summary(tmp_path, jobs)
    assert table(tmp_path, 1)[1][-1] == "within the noise"


def test_scores_that_no_seed_changes_tell_nothing_about_noise(tmp_path):
    jobs = grid(head=["a", "b"], seeds=(0, 1), modes=["none"],
                scores=lambda combination, *_: 0.5 + 0.1 * (combination[0] == "a"))  # fmt: skip
    write_summary(tmp_path, jobs)
    assert table(tmp_path, 1)[2][-1] == "unknown: equal scores"


def test_a_job_of_wrong_settings_is_failed_in_the_table(tmp_path):
    jobs = grid(head=["gc", "fcn"], modes=["none"], fail=[1])
    rejected = replace(jobs[1], settings={**jobs[1].settings, "modes": []})
    write_summary(tmp_path, [jobs[0], rejected])
    assert table(tmp_path)[1:] == [["gc", "**50.00**"], ["fcn", "failed"]]


def test_files_are_there_though_nobody_reads_the_table(tmp_path, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        write_summary(tmp_path, grid(head=["gc", "fcn"]))
    assert {"sweep.csv", "sweep.txt"} <= {path.name for path in tmp_path.iterdir()}


def test_one_seed_tells_nothing_about_noise(tmp_path):
    jobs = grid(backbone=["r18", "r50"], seeds=(0, 1), modes=["none"], fail=[1], scores=by_backbone)
    write_summary(tmp_path, jobs)
    assert table(tmp_path)[1] == ["r18", "60.00 (1 of 2)"]
    assert table(tmp_path, 1)[1][-1] == "unknown: one training"


def test_a_mode_scored_by_two_jobs_of_a_training_counts_once(tmp_path):
    jobs = grid(seeds=(0, 1), modes=["none"], scores=by_backbone, backbone=["r18"])
    again = [
        Job(**{**vars(job), "key": f"again{job.number}", "number": job.number + 2,
               "overrides": (*job.overrides[:-1], "tta=all")})
        for job in jobs
    ]  # fmt: skip
    write_summary(tmp_path, [*jobs, *again])
    assert table(tmp_path, 1)[1][2] == "2"


def test_settings_of_evaluation_alone_are_compared_training_by_training(tmp_path):
    def scores(combination, seed, mode):  # seeds change much, the average always a little
        return 0.6 + 0.05 * seed + (0.001 + 0.0001 * seed) * (combination[0] == "probabilities")

    averages = {"tta.average": ["logits", "probabilities"]}
    jobs = grid(seeds=(0, 1, 2), modes=["none"], scores=scores, **averages)
    jobs = [Job(**{**vars(job), "training": f"{job.settings['seed']}"}) for job in jobs]
    write_summary(tmp_path, jobs)
    assert table(tmp_path, 1)[1][-1] == "more than noise"


def test_names_with_commas_bars_and_other_scripts(tmp_path, capsys):
    values = ['"a,b"', "c|d", "Ägypten", "日本", "[bold]"]
    write_summary(tmp_path, grid(**{"dataset.root": values}, modes=["none", "my,mode"]))
    found = [row["dataset.root"] for row in rows(tmp_path)][::2]
    assert found == ["a,b", "c|d", "Ägypten", "日本", "[bold]"]
    assert table(tmp_path)[0] == ["dataset.root", "plain", "my,mode"]
    assert table(tmp_path)[2][0] == "c\\|d"
    assert "[bold]" in capsys.readouterr().out


def test_a_single_job(tmp_path):
    write_summary(tmp_path, grid(modes=["none"]))
    assert table(tmp_path) == [["setting", "plain"], ["r18 gc camvid 20it", "50.00"]]
    assert len(rows(tmp_path)) == 1


@pytest.mark.parametrize("jobs", [[], grid(head=["gc", "fcn"], fail=range(6))])
def test_nothing_finished(tmp_path, jobs):
    write_summary(tmp_path, jobs)
    assert len(rows(tmp_path)) == len(jobs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.csv", "sweep.txt"]


def test_hundreds_of_jobs(tmp_path):
    generator = np.random.default_rng(0)
    names = [f"b{number}" for number in range(100)]
    jobs = grid(
        backbone=names, head=["a", "b"], modes=MODES[:2], scores=lambda *_: generator.uniform()
    )
    write_summary(tmp_path, jobs)
    assert len(table(tmp_path)) == 201
    assert "the best 60 of 200 settings" in " ".join(texts(tmp_path / "sweep.svg"))
    with Image.open(tmp_path / "sweep.png") as image:
        assert max(image.size) < 4000


def test_a_plot_of_curves_against_iterations(tmp_path):
    jobs = grid(backbone=["r18", "$r$50"], iters=[20, 40], seeds=(0, 1), scores=by_backbone)
    write_summary(tmp_path, jobs)
    found = texts(tmp_path / "sweep.svg")
    for text in ("iters", "mIoU, %", "plain", "flip", "ms+flip", "backbone", "r18", "$r$50", "40"):
        assert text in found
    assert "gc camvid, mean and 95 % interval of 2 seeds" in found
    with Image.open(tmp_path / "sweep.png") as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_the_legend_names_numbers_and_leaves_out_what_all_have(tmp_path):
    values = {"iters": [20, 40], "optim.lr": [0.01, 0.02], "head": ["gc", "fcn"]}
    jobs = grid(modes=["none"], fail=[1, 3, 5, 7], **values)  # all of fcn
    write_summary(tmp_path, jobs)
    found = texts(tmp_path / "sweep.svg")
    for text in ("optim.lr", "lr 0.01", "lr 0.02", "not drawn: 4 failed"):
        assert text in found
    assert not any("fcn" in text for text in found)


def test_intervals_that_reach_beyond_100_leave_the_plot(tmp_path):
    jobs = grid(head=["gc", "fcn"], seeds=(0, 1), modes=["none"],
                scores=lambda combination, seed, _: 0.1 + 0.8 * seed)  # fmt: skip
    write_summary(tmp_path, jobs)
    numbers = [text.replace("−", "-") for text in texts(tmp_path / "sweep.svg")]
    numbers = [float(text) for text in numbers if re.fullmatch(r"-?\d+", text)]
    assert len(numbers) > 2 and min(numbers) >= 0 and max(numbers) <= 100


def test_a_plot_of_names(tmp_path):
    write_summary(tmp_path, grid(head=["gc", "fcn"], fail=[5]))
    found = texts(tmp_path / "sweep.svg")
    assert "not drawn: 1 failed" in found
    assert {"head", "gc", "fcn", "no score"} <= set(found) and found.count("mIoU, %") == 3


def test_a_random_search_is_plotted_row_by_row(tmp_path):
    jobs = grid(lr=[0.1, 0.2, 0.3], decay=[1, 2, 3], modes=["none"])
    write_summary(tmp_path, jobs[::4])
    assert "lr, decay" in texts(tmp_path / "sweep.svg")


def test_the_same_scores_give_the_same_files(tmp_path):
    jobs = grid(backbone=["r18", "r50"], iters=[20, 40], scores=by_backbone)
    for name in "ab":
        write_summary(tmp_path / name, jobs)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_folder_that_can_not_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"sweep\.csv can't be written"):
        write_summary(tmp_path / "file", grid(head=["gc", "fcn"]))


EVIL = "a\x1b[31m\u202e-->$x_1$<b>&"


@pytest.mark.parametrize("values", [{EVIL: ["x", EVIL]}, {EVIL: ["1", "2", "4"], "b" + EVIL: "xy"}])
def test_names_act_on_no_reader_of_the_files(tmp_path, values):
    jobs = [
        replace(
            job,
            settings={**job.settings, "backbone": EVIL, "modes": [EVIL]},
            evaluations={EVIL: {"miou": 0.5}},
            run=f"none/{EVIL}",
            error=EVIL,
        )
        for job in grid(modes=("none",), **values)
    ]
    write_summary(tmp_path, jobs)
    for name in ("sweep.csv", "sweep.txt", "sweep.svg"):
        text = (tmp_path / name).read_text()
        assert all(c.isprintable() or c == "\n" for c in text), name
        assert "\\x1b[31m\\u202e" in text
    assert texts(tmp_path / "sweep.svg")  # is well formed
    assert rows(tmp_path)[0]["mode"] == "a\\x1b[31m\\u202e-->$x_1$<b>&"


def test_of_many_modes_the_first_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("gcseg.report.sweep.plot._MOST_PANELS", 2)
    (job,) = grid(modes=("none",))
    modes = {f"m{n}{'x' * 100}": {"miou": 0.5} for n in range(5)}
    jobs = [replace(job, settings={**job.settings, "modes": list(modes)}, evaluations=modes)]
    write_summary(tmp_path, jobs)
    found = texts(tmp_path / "sweep.svg")
    assert "not drawn: 3 modes" in found
    titles = [text for text in found if text.startswith("m") and "xxx" in text]
    assert len(titles) == 2
    assert max(map(len, titles)) == 48
