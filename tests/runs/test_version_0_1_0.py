"""Runs and sweeps that version 0.1.0 made are continued, scored, reported and compared."""

import csv
import json
import shutil
import sqlite3
import tarfile
from pathlib import Path

import pytest

from gcseg.config.plain import plain
from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import CITYSCAPES
from gcseg.runs.name import run_name
from tests import running
from tests.config.test_compose import compose

ARCHIVE = Path(__file__).parents[1] / "golden" / "runs_0_1_0.tar.xz"
FINISHED = "r18-gc-scenes-3it-s0-f84cc439"
UNFINISHED = "r18-gc-scenes-6it-s0-2fd6aa89"
SWEEP = "seed-7700e03e"

NAMES = {
    "r18-gc-scenes-400it-s0-ae14ae27": (),
    "r101-gc-voc-40000it-s3-fd8a8774": (
        "backbone=r101", "dataset=voc", "recipe=mmseg", "seed=3"),
    "r18-gc-ade20k-160000it-s0-71fa94b0": (
        "dataset=ade20k", "protocol=mmseg", "augment=mmseg", "batch_size=16", "iters=160000",
        "precision=bf16-mixed"),
    "r18-gc-scenes-500it-s0-f12b3fdf": (
        "small=demo", "ema.decay=0.999", "accumulate=2", "class_weights=[1,2]"),
    "r18-fcn-mine-20000it-s0-0faa114e": (
        "dataset=folder", "dataset.root=/mine", "dataset.reader.classes=/mine/classes.yaml",
        "optim=adamw", "sampling.rare_crop=0.5", "head=fcn"),
}  # fmt: skip
"""Settings of trainings of two pictures, by the names that version 0.1.0 gave them."""


@pytest.mark.parametrize("name", NAMES)
def test_names_last(name):
    """A new setting that changes one needs an entry in `YOUNGER_SETTINGS`."""
    pairs = [Pair(picture, Path(picture), None, CITYSCAPES) for picture in ("a", "b")]
    settings = plain(compose("train", *NAMES[name]))
    assert run_name(settings, SegmentationDataset(pairs, CITYSCAPES, "somewhere"), {}) == name


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What 0.1.0 made, with the scenes that it was trained on."""
    folder = tmp_path_factory.mktemp("made")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy, in whose folder commands are given, with its data in it as they were recorded."""
    monkeypatch.delenv("GCSEG_DATA", raising=False)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    with sqlite3.connect(tmp_path / "runs" / "sweeps" / SWEEP / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE jobs SET run = replace(run, '/srv/gcseg', ?)", [str(tmp_path)])
    ledger.close()
    return tmp_path


def run(project, command, *arguments):
    outcome = running.run(command, *arguments, cwd=project)
    assert outcome.status == 0, outcome.err
    return outcome.out + outcome.err


def results(project, name=FINISHED):
    return json.loads((project / "runs" / name / "results.json").read_text())


def test_a_training_goes_on(project):
    text = run(project, "train", *running.TINY, "iters=6")
    assert "resumes from step 4/6" in text
    folder = project / "runs" / UNFINISHED
    steps = [
        int(line.split(",")[0]) for line in (folder / "metrics.csv").read_text().splitlines()[1:]
    ]
    assert sorted(set(steps)) == list(range(7))
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["val/miou"]]
    assert [row["step"] for row in rows] == ["1", "3", "5"], "the validation that was left is made"
    # As 0.1.0 itself went on from there, but for the machine's rounding.
    assert results(project, UNFINISHED)["evaluations"]["none"]["miou"] == pytest.approx(
        0.09593305890461735, rel=1e-3
    )


def test_a_finished_training_is_scored_and_reported(project):
    before = results(project)["evaluations"]
    assert "is already trained, and is only scored" in run(
        project, "train", *running.TINY, "tta=all"
    )
    after = results(project)["evaluations"]
    assert after.keys() == before.keys() and len(before) == 3
    for mode, record in after.items():
        assert record["miou"] == pytest.approx(before[mode]["miou"], rel=1e-3)
    run(project, "eval", f"checkpoint=runs/{FINISHED}", "trust=true", "tta=none")
    assert results(project)["evaluations"].keys() == before.keys()
    run(project, "report", f"run=runs/{FINISHED}", "trust=true", "examples=0")
    page = (project / "runs" / FINISHED / "report.html").read_text()
    assert f"{100 * before['none']['miou']:.2f} %" in page and "damaged" not in page


def test_a_sweep_goes_on_and_is_shown(project):
    folder = f"runs/sweeps/{SWEEP}"
    run(project, "train", "-m", *running.TINY, "seed=1,2")
    assert (project / folder / "report.html").is_file(), "summed up, and nothing trained again"
    assert not list((project / "runs").glob("*/checkpoints/last.ckpt.*"))
    assert not list((project / "runs").glob("*-s[12]-*/checkpoints"))
    assert SWEEP in run(project, "sweeps", "list", "--run-root", "runs")
    assert "done" in run(project, "sweeps", "show", folder)
    assert "noise" in run(project, "sweeps", "compare", f"runs/{FINISHED}", folder)
