"""Records with values that no training writes: they are left out, or refused in one line."""

import json
import shutil
from dataclasses import replace

import pytest
import yaml

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
