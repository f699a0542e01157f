"""What every head and context block does in gcseg's commands: one row for each."""

import json
import re
import shutil

import pytest
import torch

from gcseg.models.defaults import CONTEXT_CLASSES, HEADS
from tests import running

# Head: settings that make it small; head.channels is 16 for all.
ROWS = {
    "gc": (),
    "fcn": (),
    "psp": (),
    "danet": (),
    "ccnet": (),
    "deeplabv3plus": ("head.low_channels=4",),
    "upernet": (),
    "ocr": ("head.key_channels=8",),
}
# Context block between the convolutions of head=fcn: settings that make it small.
BLOCKS = {"gc": (), "nl": (), "snl": (), "se": ("head.context.ratio=0.25",), "dnl": ()}
RESIDUAL = [one for one in running.TINY if not one.startswith("backbone.")]
NETWORKS = {
    **{f"head={name}": (*running.TINY, f"head={name}", *row) for name, row in ROWS.items()},
    **{
        f"context={name}": (*running.TINY, "head=fcn", f"context={name}", *row)
        for name, row in BLOCKS.items()
    },
    "backbone/context=gc": (*RESIDUAL, "backbone=r18", "head=fcn", "backbone/context=gc"),
}
ON_CPU = ("accelerator=cpu", "num_workers=0")


def test_every_head_and_block_has_a_row():
    assert ROWS.keys() == HEADS.keys() and BLOCKS.keys() == CONTEXT_CLASSES.keys()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name.startswith("head=") else pytest.mark.slow)
        for name in NETWORKS
    ],
)
def trained(request, data, tmp_path_factory):
    """Three steps of a network, scored in every mode: its overrides and run folder."""
    cwd = tmp_path_factory.mktemp(re.sub(r"\W", "-", request.param))
    overrides = NETWORKS[request.param]
    outcome = running.run("train", *overrides, "tta=all", cwd=cwd, GCSEG_DATA=str(data))
    assert outcome.status == 0, outcome.err
    return overrides, running.only_run(cwd / "runs")


def evaluations(folder):
    return json.loads((folder / "results.json").read_text())["evaluations"]


def test_scored_in_every_mode_at_the_end_and_again(trained, run, tmp_path):
    _, folder = trained
    wanted = evaluations(folder)
    assert wanted.keys() == {"none", "flip", "msflip"}
    copy = shutil.copytree(folder, tmp_path / "runs" / folder.name)
    (copy / "results.json").unlink()
    outcome = run("eval", f"checkpoint={copy}", "tta=all", *ON_CPU)
    assert outcome.status == 0, outcome.err
    found = evaluations(copy)
    assert {mode: one["miou"] for mode, one in found.items()} == {
        mode: one["miou"] for mode, one in wanted.items()
    }


def test_goes_on_exactly_after_a_kill(trained, run, tmp_path):
    overrides, folder = trained
    with running.killed_in_step(2):
        run("train", *overrides)
    assert run("train", *overrides).status == 0
    again = running.only_run(tmp_path / "runs")
    assert again.name == folder.name
    first, second = (
        torch.load(one / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for one in (folder, again)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_predicts(trained, run, data, tmp_path):
    _, folder = trained
    (picture, *_) = sorted((data / "scenes").rglob("*.png"))
    given = (f"source={picture}", f"output={tmp_path / 'out'}", "accelerator=cpu")
    outcome = run("predict", f"checkpoint={folder}", *given)
    assert outcome.status == 0, outcome.err
    assert list((tmp_path / "out").rglob("*.png"))


@pytest.mark.parametrize(
    "format",
    [
        "torchscript",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("torch_export", "onnx")),
    ],
)
def test_exports_with_proof(trained, run, tmp_path, format):
    if format == "onnx":
        pytest.importorskip("onnx", reason="the extra onnx is not installed")
    _, folder = trained
    copy = shutil.copytree(folder, tmp_path / "runs" / folder.name)
    given = (f"format={format}", "accelerator=cpu", "proof.limit=1")
    outcome = run("export", f"checkpoint={copy}", *given)
    assert outcome.status == 0, outcome.err
    (note,) = (copy / "exports").glob("*.json")
    proof = json.loads(note.read_text())["proof"]
    assert proof["passed"] and proof["equal"] >= 0.9999
