"""Progress as plain lines, where the output is no terminal."""

import re
from types import SimpleNamespace

import pytest
import torch

from gcseg.engine.callbacks.progress import RunProgress, peak_memory
from gcseg.system.text import clock as in_words


class Module:
    def __init__(self):
        self.logged = {}

    def log(self, name, value, **_):
        self.logged[name] = value


def trainer(**changes):
    values = {
        "global_step": 0,
        "is_global_zero": True,
        "callback_metrics": {
            "train/loss": torch.tensor(2.5),
            "train/learning_rate": torch.tensor(0.01),
            "val/miou": torch.tensor(0.25),
        },
        "num_val_batches": [3],
        "state": SimpleNamespace(fn="fit"),
    }
    return SimpleNamespace(**{**values, **changes})


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("gcseg.engine.callbacks.progress.time.monotonic", lambda: now.seconds)
    return now


def step(progress, trainer, module, clock, seconds=0.5):
    clock.seconds += seconds
    trainer.global_step += 1
    progress.on_train_batch_end(trainer, module, None, None, 0)


def test_lines(capsys, clock):
    progress, fit, module = RunProgress(batch_size=8, total=4, line_every=2), trainer(), Module()
    progress.on_train_start(fit, module)
    step(progress, fit, module, clock)
    assert capsys.readouterr().out == "", "not a line for every step"
    step(progress, fit, module, clock)
    line = capsys.readouterr().out
    assert line.startswith("step 2/4  loss 2.500  lr 1.0e-02  16.0 images/s  0:00:01 left")

    progress.on_validation_start(fit, module)
    clock.seconds += 1000
    progress.on_validation_batch_end(fit, module, None, None, 0)
    progress.on_validation_end(fit, module)
    assert capsys.readouterr().out.splitlines() == [
        "validating image 1/3  0:33:20 left",
        "step 2/4  validation  mIoU 25.00 % (best 25.00 %)",
    ]

    fit.callback_metrics["val/miou"] = torch.tensor(0.125)
    progress.on_validation_end(fit, module)
    assert "mIoU 12.50 % (best 25.00 %)" in capsys.readouterr().out

    step(progress, fit, module, clock)
    step(progress, fit, module, clock)
    line = capsys.readouterr().out
    assert line.startswith("step 4/4") and "16.0 images/s" in line, "validation is not counted"
    assert "mIoU 12.50 % (best 25.00 %)" in line
    progress.on_train_end(fit, module)

    summary = progress.summary()
    assert summary["iters"] == 4
    assert summary["seconds"] == 2.0
    assert summary["images_per_second"] == 16.0
    assert summary["peak_memory_bytes"] > 10_000_000


def test_without_a_score_there_is_no_best(capsys, clock):
    """Also in the training that resumes; a later score is the best."""
    fit = trainer()
    fit.callback_metrics["val/miou"] = torch.tensor(float("nan"))
    resumed = RunProgress(batch_size=8, total=4)
    for progress in (RunProgress(batch_size=8, total=4), resumed):
        progress.on_validation_end(fit, Module())
        line = capsys.readouterr().out
        assert line == "step 0/4  validation  mIoU not defined\n"
        resumed.load_state_dict(progress.state_dict())
    for miou, told in ((0.25, "25.00 % (best 25.00 %)"), (float("nan"), "defined (best 25.00 %)")):
        fit.callback_metrics["val/miou"] = torch.tensor(miou)
        resumed.on_validation_end(fit, Module())
        assert capsys.readouterr().out.endswith(f"{told}\n")


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_is_cut_off_on_a_terminal(columns, clock, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    progress, module = RunProgress(batch_size=8, total=80000), Module()
    fit = trainer(global_step=79990)
    progress.on_train_start(fit, module)
    progress.on_validation_end(fit, module)
    for _ in range(2):
        step(progress, fit, module, clock)
    progress.on_train_end(fit, module)
    text = capsys.readouterr().out
    for part in ("train", "79992/80000", "loss 2.500", "lr 1.0e-02", "16.0 images/s"):
        assert part in text
    assert re.search(r"\d:\d\d:\d\d|-:--:--", text), "time left"
    assert text.count("mIoU 25.00 % (best 25.00 %)") >= 2, "in its own line and beside the bar"


def test_accumulation_counts_optimizer_steps(capsys, clock):
    progress, fit, module = RunProgress(batch_size=8, total=4, line_every=1), trainer(), Module()
    progress.on_train_start(fit, module)
    progress.on_train_batch_end(fit, module, None, None, 0)
    assert capsys.readouterr().out == "" and progress.steps == 0
    step(progress, fit, module, clock)
    assert progress.steps == 1
    assert capsys.readouterr().out.startswith("step 1/4")


def test_other_processes_are_quiet(capsys, clock):
    progress, fit, module = (
        RunProgress(total=4, line_every=1),
        trainer(is_global_zero=False),
        Module(),
    )
    progress.on_train_start(fit, module)
    step(progress, fit, module, clock)
    progress.on_validation_start(fit, module)
    progress.on_validation_end(fit, module)
    progress.on_train_end(fit, module)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_evaluation_alone_prints_no_step(capsys):
    progress, validate = RunProgress(), trainer(state=SimpleNamespace(fn="validate"))
    progress.on_validation_start(validate, None)
    progress.on_validation_end(validate, None)
    assert capsys.readouterr().out == ""


def test_a_continued_run_adds_to_its_clock(clock):
    first, fit, module = RunProgress(batch_size=2, total=4), trainer(), Module()
    first.on_train_start(fit, module)
    step(first, fit, module, clock)
    first.on_validation_end(fit, module)
    second = RunProgress(batch_size=2, total=4)
    second.load_state_dict(first.state_dict())
    clock.seconds += 1000
    second.on_train_start(fit, module)
    step(second, fit, module, clock)
    assert second.summary()["seconds"] == 1.0
    assert second.images_per_second == 4.0
    assert second.state_dict()["best"] == 0.25
    second.on_exception(fit, module, KeyboardInterrupt())


def test_no_step_yet():
    assert RunProgress().images_per_second == 0.0
    assert peak_memory() > 10_000_000


def test_clock():
    assert [in_words(s) for s in (0.4, 59.6, 3600 * 25 + 61)] == ["0:00:00", "0:01:00", "25:01:01"]


@pytest.mark.parametrize(("stage", "what"), [("fit", "validating"), ("validate", "scoring")])
def test_a_long_evaluation_says_how_far_it_is(capsys, clock, stage, what):
    progress = RunProgress()
    run = trainer(state=SimpleNamespace(fn=stage), num_val_batches=[40])
    progress.on_validation_start(run, None)
    for _ in range(15):
        clock.seconds += 4
        progress.on_validation_batch_end(run, None, None, None, 0)
    assert (
        capsys.readouterr().out.splitlines()
        == [
            f"{what} image 8/40  0:02:08 left",
            f"{what} image 16/40  0:01:36 left",
        ][: 15 // 8]
    )
