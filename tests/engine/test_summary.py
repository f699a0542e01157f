"""What is printed before the first step and after the last one."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import CAMVID
from gcseg.engine.summary import TrainingPlan, planned_cost, print_end, print_start
from gcseg.models import FCNHead, Segmentor
from tests.tiny import CHANNELS, TinyBackbone

PLAN = TrainingPlan(
    backbone="r18",
    head="gc",
    variant="vd",
    output_stride=8,
    dataset="camvid",
    root="/data/[camvid]",
    iters=300,
    batch_size=8,
    processes=2,
    accumulate=2,
    height=64,
    width=96,
    precision="32",
    seed=3,
    loss="cross_entropy",
    optimizer_states=1,
    logs=("metrics.csv", "TensorBoard"),
)
FOLDER = Path("runs/r18-gc-camvid-300it-s3-1a2b3c4d")


def split(count: int) -> SegmentationDataset:
    pairs = [Pair(f"{number}", Path("a.png"), None, CAMVID) for number in range(count)]
    return SegmentationDataset(pairs, CAMVID, "here")


def start(plan=PLAN, head=None) -> None:
    model = Segmentor(TinyBackbone(), head or FCNHead(CHANNELS[3], 11, channels=8))
    print_start(plan, planned_cost(plan, model), model, split(12), split(1), FOLDER)


def test_start_in_a_log(capsys):
    start()
    text = capsys.readouterr().out
    cost = text.splitlines().pop(2)
    assert text.splitlines() == [
        "r18-gc-camvid-300it-s3-1a2b3c4d",
        "network: r18 (vd), gc head, output stride 8",
        cost,
        "data: camvid, 12 images to train on and 1 to validate, 11 classes, in /data/[camvid]",
        "training: 300 steps of 8 images in 2 passes (200 epochs), crop 64 x 96, precision 32, "
        "2 devices, seed 3",
        "loss: cross_entropy",
        f"folder: {FOLDER}",
        "logs: metrics.csv, TensorBoard",
    ]
    assert cost.startswith("cost: 0.0 M parameters, ")
    assert " GFLOP forward per crop, at least " in cost
    assert cost.endswith(" GiB of memory per device")
    assert not re.search(r"step \d+/\d+ |\d+:\d\d:\d\d left|mIoU \d", text), "no progress"


def test_start_without_what_can_not_be_known(capsys):
    class Head(nn.Module):
        def forward(self, x):
            return x if float(x.detach().sum()) > 0 else -x

    start(replace(PLAN, variant=None, output_stride=None), Head())
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "network: r18, gc head"
    assert lines[2] == "cost: 0.0 M parameters"


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_the_same_within_its_width(columns, monkeypatch, capsys):
    start()
    plain = " ".join(capsys.readouterr().out.split()).replace(": ", " ")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", str(columns))
    start()
    lines = capsys.readouterr().out.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert max(map(len, lines)) <= columns
    assert " ".join(" ".join(lines).split()) == plain


def test_end_names_what_there_is(tmp_path, capsys):
    folder = tmp_path / "a run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("results.json", "checkpoints/best.ckpt"):
        (folder / name).touch()
    print_end(folder, attention=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"run: {folder}",
        f"results.json: {folder}/results.json",
        f"best.ckpt: {folder}/checkpoints/best.ckpt",
        f"explain: python -m gcseg.eval 'checkpoint={folder}' explain=true",
        f"predict: python -m gcseg.predict 'checkpoint={folder}' limit=8",
        f"report: python -m gcseg.report 'run={folder}'",
    ]
    (folder / "report.html").touch()
    print_end(folder)
    text = capsys.readouterr().out
    assert f"report.html: {folder}/report.html\n" in text
    assert f"attention: python -m gcseg.attention 'checkpoint={folder}' limit=8\n" in text


def test_other_processes_are_quiet(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LOCAL_RANK", "1")
    start()
    print_end(tmp_path)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
