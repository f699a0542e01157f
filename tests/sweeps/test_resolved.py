"""One training from its resolved settings, as sweeps start their jobs."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import yaml

from gcseg.sweeps.outcome import VARIABLE
from tests.running import only_run


@pytest.fixture
def repeat(run):
    def repeat(*arguments: str, **options):
        return run("train", "--resolved", *arguments, **options)

    return repeat


def test_a_run_folder_can_be_repeated(training, repeat, tmp_path):
    outcome = repeat(str(training.folder / "config.yaml"))
    assert outcome.status == 0, outcome.err
    again = only_run(tmp_path / "runs")
    assert again.name == training.folder.name
    assert (again / "config.yaml").read_text() == (training.folder / "config.yaml").read_text()
    old, new = (
        json.loads((path / "results.json").read_text()) for path in (training.folder, again)
    )
    for mode, record in old["evaluations"].items():
        assert new["evaluations"][mode]["class_iou"] == record["class_iou"]


def test_settings_that_the_file_lacks_are_as_usual(training, repeat, tmp_path):
    config = yaml.safe_load((training.folder / "config.yaml").read_text())
    del config["ema"], config["accumulate"]
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(config))
    outcome = repeat("old.yaml")
    assert outcome.status == 0
    assert outcome.err == "defaults are used for settings that old.yaml lacks: ema, accumulate\n"
    assert only_run(tmp_path / "runs").name == training.folder.name


def test_settings_may_follow_the_file(training, repeat, tmp_path):
    outcome = repeat(str(training.folder / "config.yaml"), "seed=1", "tta.modes.none.flip=true")
    assert outcome.status == 0, outcome.err
    again = only_run(tmp_path / "runs")
    config = yaml.safe_load((again / "config.yaml").read_text())
    assert (config["seed"], config["tta"]["modes"]["none"]["flip"]) == (1, True)
    assert "-s1-" in again.name


def test_it_tells_the_sweep(training, repeat, tmp_path, monkeypatch):
    shutil.copytree(training.cwd / "runs", tmp_path / "runs")
    read, _ = os.pipe()
    stdin = os.dup(0)
    os.dup2(read, 0)
    try:
        told = tmp_path / "outcome.json"
        config = str(training.folder / "config.yaml")
        assert repeat(config, **{VARIABLE: str(told)}).status == 0
        outcome = json.loads(told.read_text())
        assert outcome["run"] == str(only_run(tmp_path / "runs"))
        assert list(outcome["evaluations"]) == ["none", "flip", "msflip"]
        assert all(0 <= record["miou"] <= 1 for record in outcome["evaluations"].values())
    finally:
        os.dup2(stdin, 0)  # the pipe stays open, or this process would be told to leave
        os.close(stdin)


MISTAKES = {
    "nothing": ([], "--resolved is given nothing: give it a file, such as config.yaml of a run"),
    "more": (["{ok}", "{ok}"], "ok.yaml: give it a file"),
    "unknown": (["{ok}", "itres=3"], "itres"),
    "changed": (["{ok}", "iters=0"], "iters=0: give a whole number of optimizer steps, 1 or more"),
    "no file": (["none.yaml"], r"none.yaml can't be read (No such file or directory): give config"),
    "no YAML": (["{bad}"], "bad.yaml can't be read ("),
    "no settings": (["{other}"], "other.yaml holds no settings of a training: give config.yaml"),
    "wrong": (["{wrong}"], "iters=0: give a whole number of optimizer steps, 1 or more"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_cost_one_line(mistake, training, repeat, tmp_path):
    arguments, message = MISTAKES[mistake]
    config = yaml.safe_load((training.folder / "config.yaml").read_text())
    contents = {
        "ok": config,
        "other": {"a": 1},
        "wrong": {**config, "iters": 0},
    }
    paths = {name: tmp_path / f"{name}.yaml" for name in (*contents, "bad")}
    for name, content in contents.items():
        paths[name].write_text(yaml.safe_dump(content))
    paths["bad"].write_text("a: [1")
    assert message in repeat(*(word.format(**paths) for word in arguments)).error
    assert not (tmp_path / "runs").exists()


def test_a_job_leaves_when_its_sweep_is_gone():
    program = (
        "import time; from gcseg.sweeps.outcome import leave_with_sweep; leave_with_sweep();"
        "print('ready', flush=True); time.sleep(60)"
    )
    job = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, VARIABLE: "unused"},
    )  # fmt: skip
    assert job.stdout.readline() == b"ready\n"
    assert job.poll() is None
    _, error = job.communicate(timeout=30)  # which closes its standard input
    assert job.returncode == -signal.SIGTERM
    assert error == b"the sweep has ended: this job saves and exits\n"
