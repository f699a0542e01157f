"""Records with values that no training writes: they are left out, or refused in one line."""

import json
import shutil
from dataclasses import replace

import pytest
import yaml

from gcseg.report.sweep.write import write_summary
from gcseg.sweeps.ledger import Ledger, shown_jobs
from tests.security.payloads import WRITERS, settings, write_checkpoint
from tests.sweeps.jobs import grid, ledger


def put(content, name, value):
    """Set a value in nested mappings."""
    *groups, key = name.split(".")
    for group in groups:
        content = content[group]
    content[key] = value


@pytest.mark.parametrize(
    "names",
    [
        ("config.yaml devices", "config.yaml num_nodes"),
        ("config.yaml batch_size", "results.json model.training_flops"),
        ("results.json training.seconds", "config.yaml devices", "results.json model.parameters"),
    ],
)
@pytest.mark.parametrize("value", [10**300, 1.5e308], ids=["whole", "other"])
def test_huge_numbers_in_the_runs_of_a_sweep(run, training, tmp_path, names, value):
    jobs = []
    for job in grid(head=["gc", "fcn"], seeds=(0, 1), modes=["none"]):
        folder = shutil.copytree(training.folder, tmp_path / "runs" / f"run-{job.number}")
        for file, name in map(str.split, names):
            content = yaml.safe_load((folder / file).read_text())
            put(content, name, value)
            (folder / file).write_text(json.dumps(content))  # which is YAML, too
        jobs.append(replace(job, run=str(folder)))
    given = ledger(tmp_path / "runs" / "sweeps" / "s", jobs)
    outcome = run("report", f"sweep={given}")
    assert (outcome.status, outcome.err) == (0, "")


def test_halves_of_characters_in_a_sweep(run, tmp_path):
    """JSON may hold them, as a ledger's does; no file that is written can."""
    first, second = grid(**{"dataset.root": ["/a", "/b\ud800"]}, modes=["none"])
    jobs = [first, replace(second, settings={**second.settings, "x": "\udfff"})]
    given = ledger(tmp_path / "runs" / "sweeps" / "s", jobs)
    outcome = run("report", f"sweep={given}")
    assert outcome.status == 0, outcome.err
    assert "/b\\ud800" in (given / "report.html").read_text()
    write_summary(given, shown_jobs(given / "ledger.sqlite", []))
    assert "/b\\ud800" in (given / "sweep.csv").read_text()
    assert [job.overrides[0] for job in Ledger(given / "ledger.sqlite").jobs()] == [
        "dataset.root=/a", "dataset.root=/b\\ud800",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["dataset.root", "dataset.splits.val", "dataset.name"])
def test_halves_of_characters_in_a_checkpoint(name, run, training, tmp_path):
    config = settings(training.folder)
    put(config, name, "/a\ud800")
    own = "backbone._target_=tests.tiny.backbone"
    given = write_checkpoint(tmp_path / "given.ckpt", training.folder, config)
    outcome = run("eval", f"checkpoint={given}", "trust=false", own)
    assert "\ud800" not in outcome.out + outcome.err
    if outcome.status:
        assert "ud800" in outcome.error


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("head._target_", ["os.system"], "head._target_ is an object of type list and not a name"),
        (
            "backbone._target_",
            {"a": 1},
            "backbone._target_ is an object of type dict and not a name",
        ),
        ("dataset.reader._target_", 5, "dataset.reader._target_ is an object of type int"),
        ("ema", 5, "ema is 5 and not names with values"),
        ("ema", float("nan"), "ema is nan and not names with values"),
        ("dataset.fit", [1, 2], "dataset.fit is [1, 2] and not names with values"),
        ("dataset.splits", "val", "dataset.splits.train is missing"),
        ("dataset.root", "a" * 3500, "aaaa"),
        ("dataset.root", "a" * 5000, "aaaa"),
    ],
)
@pytest.mark.parametrize("kind", ["checkpoint", "run folder"])
def test_odd_settings(kind, name, value, told, run, training, tmp_path, monkeypatch):
    """They are told before anything is scored."""
    monkeypatch.setattr("gcseg.engine.evaluate.evaluate", None)
    config = settings(training.folder)
    put(config, name, value)
    given = WRITERS[kind](tmp_path / "given", training.folder, config)
    assert told in run("eval", f"checkpoint={given}", "trust=true").error


def test_a_name_with_a_point_is_no_setting_in_another(run, training, tmp_path):
    config = settings(training.folder)
    config["dataset"] |= {"splits": 3, "splits.train": "train", "splits.val": "val"}
    given = WRITERS["checkpoint"](tmp_path / "given", training.folder, config)
    assert "dataset.splits.train is missing" in run("eval", f"checkpoint={given}").error


def test_a_group_that_is_null_is_one_that_is_not_recorded(run, training, tmp_path):
    """Where the command line has it, the evaluation is named as of a training that had the same."""
    config = settings(training.folder)
    config["head"] = None
    given = WRITERS["checkpoint"](tmp_path / "given", training.folder, config)
    own = "backbone._target_=tests.tiny.backbone"
    outcome = run("eval", f"checkpoint={given}", "trust=false", own, "head=gc", "head.channels=16")
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("dataset.name", "../up", "{} says dataset.name=../up: give a name without /"),
        ("head.channels", 2.5, "{} says head.channels=2.5: give a whole number of channels"),
        ("head", None, "{} does not say head: choose one, as head=gc"),
    ],
)
@pytest.mark.parametrize("command", ["eval", "report"])
def test_whose_setting_it_is(command, name, value, told, run, training, tmp_path):
    """The file is named, but where the command line gives the setting."""
    config = settings(training.folder)
    put(config, name, value)
    given = WRITERS["run folder"](tmp_path / "given", training.folder, config)
    key = "run" if command == "report" else "checkpoint"
    arguments = (f"{key}={given}", "trust=true", "accelerator=cpu")
    assert run(command, *arguments).error.startswith(told.format(given))
    own = f"head.channels={value}" if name == "head.channels" else "head.channels=0"
    error = run(command, *arguments, "head=gc", "dataset.name=up", own).error
    assert error.startswith(f"{own}: give a whole number of channels, 1 to 16,384")
