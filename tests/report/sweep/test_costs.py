"""Cost of the networks of a sweep next to their scores."""

import csv
import json
from dataclasses import replace

import pytest
import yaml

from gcseg.report.sweep.claims import Comparison
from gcseg.report.sweep.costs import cost_sheet, network_key, read_timings
from gcseg.report.sweep.page import write_sweep_report
from gcseg.report.sweep.scores import settings
from gcseg.report.sweep.trainings import read_trainings
from gcseg.report.sweep.write import write_summary, write_tables
from tests.report.sweep.test_page import rows as rows_of_page
from tests.report.sweep.test_page import section, sweep, words


def by_backbone(combination, seed, mode):
    return 0.6 + (0.02 + 0.0001 * seed) * (combination[0] == "r50") + 0.001 * seed


@pytest.fixture
def folder(tmp_path):
    """A sweep of two backbones and three seeds, with its jobs."""
    return sweep(tmp_path, backbone=["r18", "r50"], seeds=(0, 1, 2), scores=by_backbone)


def trainings_of(folder, jobs):
    found = read_trainings(folder, jobs)
    for training in found.values():
        model = {"parameters": 11_180_000, "flops": 4.5e9, "height": 240, "width": 320}
        training.results["model"].update(model)
    return found


def timed(folder, jobs, **others):
    """Write the times of both networks."""
    keys = dict.fromkeys(network_key(one) for one in read_trainings(folder, jobs).values())
    networks = {}
    for place, key in enumerate(keys):
        times = {"milliseconds": 8.126, "fastest": 7.5, "low": 8.0, "high": 9.0}
        times = {name: value * 5**place for name, value in times.items()}
        networks[key] = {"parameters": 10**7 * (2 + place), "flops": 2 * 10**9, **times}
    content = {"device": "A processor", "threads": 2, "height": 240, "width": 320, "passes": 30}
    (folder / "timings.json").write_text(json.dumps({**content, "networks": networks, **others}))
    return list(networks)


def shown(folder, jobs, comparison=Comparison(), trainings=None):  # noqa: B008  # it can't be changed
    found = trainings_of(folder, jobs) if trainings is None else trainings
    return cost_sheet(settings(jobs), ["none"], found, read_timings(folder), comparison)


def test_what_the_trainings_recorded_and_no_time(folder):
    sheet, lines = shown(*folder)
    times = ["ms, median", "ms, fastest"]
    scores = ["seeds", "mIoU", "95 % interval"]
    assert sheet.header == ["backbone", "parameters, M", "GFLOPs", *times, *scores]
    assert sheet.rows[0] == ["r18", "11.18", "4.500", "", "", "3", "60.10", "59.85 to 60.35"]
    assert "of 240 x 320 pixels" in sheet.title and "plain" in sheet.title
    assert lines == [
        "no time per image of 2 settings: python -m gcseg.report sweep=FOLDER measures it"
    ]


def test_a_sweep_that_goes_on_is_measured_later(folder):
    path, jobs = folder
    jobs = [*jobs[:-1], replace(jobs[-1], state="running", evaluations=None)]
    assert shown(path, jobs)[1] == []


def test_measured_times_say_how_they_were_measured(folder):
    assert len(timed(*folder)) == 2
    sheet, lines = shown(*folder)
    assert [row[1:5] for row in sheet.rows] == [["20.00", "2.000", "8.13", "7.50"],
                                               ["30.00", "2.000", "40.6", "37.5"]]  # fmt: skip
    assert sheet.title.endswith(
        "(ms per image of 30 passes, networks in turn, A processor, 2 threads)"
    )
    assert lines == []


def test_a_busy_machine_and_a_missing_network_are_said(folder):
    keys = timed(*folder)
    record = json.loads((folder[0] / "timings.json").read_text())
    record["networks"][keys[0]]["high"] = 20.0
    del record["networks"][keys[1]]
    (folder[0] / "timings.json").write_text(json.dumps(record))
    sheet, lines = shown(*folder)
    assert [row[3] for row in sheet.rows] == ["8.13", ""]
    assert lines[0].startswith("no time per image of 1 setting:")
    assert "differ by a factor of 2.5" in lines[1] and "timing=again" in lines[1]


def test_sizes_that_differ_are_said_next_to_the_operations(folder):
    trainings = trainings_of(*folder)
    for training in list(trainings.values())[-1:]:
        training.results["model"].update(height=480, width=640)
    for training in list(trainings.values())[3:5]:
        training.results["model"].clear()
    sheet, _ = shown(*folder, trainings=trainings)
    assert [row[2] for row in sheet.rows] == ["4.500", "4.500 (480 x 640)"]


def test_published_values_are_of_their_settings(folder):
    comparison = Comparison(published_in="COCO, a README",
                            published=[("backbone=r50", {"box AP": 37.2})])  # fmt: skip
    sheet, _ = shown(*folder, comparison)
    assert sheet.header[-1] == "published box AP" and "published: COCO, a README" in sheet.title
    assert [row[-1] for row in sheet.rows] == ["", "37.2"]


def test_networks_are_the_same_for_other_data_and_lengths_only(folder):
    first, *_, last = read_trainings(*folder).values()
    assert network_key(first) is not None and network_key(first) != network_key(last)
    for key, value, same in (
        ("iters", 7, True),
        ("backbone", {**first.config["backbone"], "pretrained": "x.pth", "freeze": "stem"}, True),
        ("head", {"name": "gc", "channels": 3}, False),
        ("dataset", {"channels": 4}, False),
        ("channels_last", False, True),
        ("channels_last", True, False),
    ):
        other = type(first)(first.jobs, None, {**first.config, key: value}, {}, {}, [])
        assert (network_key(other) == network_key(first)) == same, key


@pytest.mark.parametrize("damaged", [None, {"milliseconds": 1e308}, {"milliseconds": -1}])
def test_damaged_times_of_a_network_are_no_times(folder, damaged):
    first, _ = timed(*folder)
    record = json.loads((folder[0] / "timings.json").read_text())
    record["networks"][first] = damaged
    (folder[0] / "timings.json").write_text(json.dumps(record))
    assert [row[3] for row in shown(*folder)[0].rows] == ["", "40.6"]


def test_damaged_times_are_no_times(folder):
    for content in ("{", "[]", '{"networks": {"a": {"milliseconds": "fast"}}}', '{"device": 3}'):
        (folder[0] / "timings.json").write_text(content)
        sheet, lines = shown(*folder)
        assert [row[3] for row in sheet.rows] == ["", ""] and len(lines) == 1


def test_the_tables_are_written_printed_and_on_the_page(folder, capsys):
    path, jobs = folder
    timed(path, jobs)
    record = yaml.safe_load((path / "multirun.yaml").read_text())
    record["comparison"] = {
        "source": "a paper",
        "claims": {"deeper": {"setting": "backbone=r50", "is": "better", "than": "backbone=r18"}},
    }
    (path / "multirun.yaml").write_text(yaml.safe_dump(record))
    write_summary(path, jobs)
    for text in ((path / "sweep.txt").read_text(), capsys.readouterr().out):
        assert "ms per image of 30" in text and "8.13" in text
        assert "supported" in text and "claims of a paper" in text
    with (path / "sweep.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    times = {float(row["milliseconds"]) for row in found if row["backbone"] == "r50"}
    assert len(times) == 1 and times.pop() == pytest.approx(40.63)
    assert {row["device"] for row in found} == {"A processor, 2 threads"}
    assert {(row["parameters"], row["flops"]) for row in found if row["backbone"] == "r18"} == {
        ("20000000", "2000000000")
    }
    page = (path / "report.html").read_text()
    assert rows_of_page(page, "Cost and score")[1][:4] == ["r18", "20.00", "2.000", "8.13"]
    header, row, *_ = rows_of_page(page, "Differences")
    assert dict(zip(header, row, strict=True))["verdict"] == "supported"
    assert "at 95 % for each comparison alone" in words(section(page, "Differences"))


def test_notes_are_on_the_page_and_not_among_the_unfinished_jobs(folder):
    page = write_sweep_report(*folder).read_text()
    assert "no time per image of 2 settings" in words(section(page, "Cost and score"))
    assert "not finished" not in section(page, "Scores")


def test_a_sweep_of_which_no_cost_is_known(tmp_path):
    _, jobs = sweep(tmp_path, backbone=["r18", "r50"], seeds=(0, 1))
    (tmp_path / "other").mkdir()
    tables = write_tables(tmp_path / "other", jobs, tmp_path / "nothing")
    assert tables.cost is None and tables.differences is not None
