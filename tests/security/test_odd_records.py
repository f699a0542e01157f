"""Records with values that no training writes: they are left out, or refused in one line."""

import json
import shutil
from dataclasses import replace

import pytest
import yaml

from gcseg.report.sweep.write import write_summary
from gcseg.sweeps.ledger import Ledger, shown_jobs
from tests.security.payloads import settings, write_checkpoint
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
