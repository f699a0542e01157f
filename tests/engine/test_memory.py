"""Evaluations and predictions that run out of memory: the same scores, and a word of it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gcseg.inference import strips as inference_strips
from tests.inference.test_memory_ladder import Memory
from tests.running import child_environment

BUDGET = 60_000
"""Numbers: too few for the scores of 19 classes on 64 x 96 pixels, enough for all else."""

STRIPS = "scores added up in strips of rows"


def results(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.fixture
def copied(training, tmp_path, monkeypatch):
    """A finished training of one's own, where strips of scores are small."""
    monkeypatch.setattr(inference_strips, "STRIP_ELEMENTS", 20_000)
    return shutil.copytree(training.folder, tmp_path / "runs" / training.folder.name)


def test_an_evaluation_says_what_it_did(copied, run, training):
    before = results(copied)["evaluations"]
    assert [record["memory"] for record in before.values()] == [[]] * 3
    assert "memory ran out" not in training.outcome.out
    with Memory(BUDGET):
        outcome = run("eval", f"checkpoint={copied}", "tta=all", "num_workers=0", "accelerator=cpu")
    assert outcome.status == 0, outcome.err
    assert outcome.err.splitlines() == [
        f"out of memory on an image of 64 x 96 pixels: from now on {STRIPS}, which gives the "
        "same scores up to rounding"
    ]
    after = results(copied)["evaluations"]
    for name, record in after.items():
        assert record["memory"] == [f"{STRIPS}: 3 images"]
        for score in ("miou", "pixel_accuracy"):
            assert record[score] == pytest.approx(before[name][score], abs=1e-3)
        assert {key: record[key] for key in ("scales", "flip", "average", "window", "fit")} == {
            key: before[name][key] for key in ("scales", "flip", "average", "window", "fit")
        }
    assert outcome.out.count(f"memory ran out: {STRIPS}: 3 images") == 1


def test_one_line_when_nothing_fits(copied, run, monkeypatch):
    monkeypatch.setattr(inference_strips, "STRIP_ELEMENTS", 10 * BUDGET)
    before = results(copied)
    with Memory(BUDGET):
        outcome = run("eval", f"checkpoint={copied}", "num_workers=0", "accelerator=cpu")
    assert outcome.status == 1
    error = outcome.err.splitlines()[-1]
    assert error.startswith("error: an image of 64 x 96 pixels does not fit into memory, even with")
    assert results(copied) == before


def test_predictions_are_the_same(copied, run, tmp_path):
    masks = []
    for name, budget in (("plenty", float("inf")), ("little", BUDGET)):
        with Memory(budget):
            outcome = run(
                "predict", f"checkpoint={copied}", f"output={tmp_path / name}",
                "accelerator=cpu", "tta=flip", "limit=1",
            )  # fmt: skip
        assert outcome.status == 0, outcome.err
        assert (STRIPS in outcome.err) == (name == "little")
        (mask,) = (tmp_path / name / "masks").rglob("*.png")
        masks.append(np.asarray(Image.open(mask)))
    assert (masks[0] == masks[1]).mean() > 0.999


LIMITED = """
import resource, runpy, sys
import torch
import gcseg.builders.model, gcseg.builders.data, gcseg.builders.trainer, gcseg.engine.evaluate
import gcseg.report
torch.nn.functional.conv2d(torch.zeros(1, 3, 9, 9), torch.zeros(3, 3, 3, 3))  # starts libraries
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv.pop(1)) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.argv[0] = "gcseg.eval"
runpy.run_module("gcseg.eval", run_name="__main__")
"""
"""An evaluation that gets some more MiB of memory than what it has once all is imported."""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_a_real_limit(copied, data):
    """The scores of all modes and classes on a large image need more than what there is."""
    found = {}
    for mebibytes in (8000, 450):
        process = subprocess.run(
            [
                *(sys.executable, "-c", LIMITED, str(mebibytes)),
                *(f"checkpoint={copied}", "tta=all", "tta.modes.msflip.scales=[1.0]"),
                *("accelerator=cpu", "num_workers=0", "trust=true"),
                *("dataset.reader.val=1", "dataset.reader.train=1"),
                *("dataset.reader.height=1024", "dataset.reader.width=2048"),
            ],
            cwd=copied.parent.parent,
            env=child_environment(GCSEG_DATA=str(data), MALLOC_ARENA_MAX="1"),
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert process.returncode == 0, process.stderr
        evaluations = results(copied)["evaluations"]
        record = next(evaluations[name] for name in evaluations if name.startswith("flip@"))
        matrix = np.loadtxt(copied / record["confusion"], delimiter=",", dtype=str)[1:, 1:]
        found[mebibytes] = (record["memory"], matrix.astype(np.int64))
    assert found[8000][0] == [] and found[450][0] == [f"{STRIPS}: 1 image"]
    assert (
        f"out of memory on an image of 1024 x 2048 pixels: from now on {STRIPS}" in process.stderr
    )
    changed = np.abs(found[450][1] - found[8000][1]).sum() / found[8000][1].sum()
    assert changed < 1e-4
