"""Checkpoints: whole or not at all, read without executing anything."""

import contextlib
import os
import resource
from pathlib import Path
from unittest import mock

import pytest
import torch

from gcseg.data.label_spaces import LabelSpace
from gcseg.engine import checkpoints
from gcseg.engine.callbacks.checkpoints import RunRecord, checkpoint_callbacks
from gcseg.engine.checkpoints import AtomicCheckpointIO, read_checkpoint
from gcseg.errors import DataError, OutputError, WeightsError
from gcseg.runs.classes import check_classes, trained_classes

SPACE = LabelSpace(("sea", "land"), ((0, 0, 255), (0, 255, 0)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "last.ckpt"


@pytest.fixture
def content():
    return {"state_dict": {"model.weight": torch.arange(5000.0)}, "global_step": 3}


def test_write_and_read(path, content):
    AtomicCheckpointIO().save_checkpoint(content, str(path))
    loaded = AtomicCheckpointIO().load_checkpoint(path, weights_only=False)
    assert loaded["global_step"] == 3
    assert torch.equal(loaded["state_dict"]["model.weight"], torch.arange(5000.0))
    assert list(path.parent.iterdir()) == [path]


def test_the_one_before_the_last_stays(path, content):
    previous = path.with_name("previous.ckpt")
    for step in (1, 2, 3):
        AtomicCheckpointIO().save_checkpoint({**content, "global_step": step}, path)
        if step > 1:
            assert read_checkpoint(previous)["global_step"] == step - 1
    assert sorted(path.parent.iterdir()) == [path, previous]
    for _ in (1, 2):
        AtomicCheckpointIO().save_checkpoint(content, path.with_name("best.ckpt"))
    assert len(list(path.parent.iterdir())) == 3, "of the last only"


def test_killed_anywhere_in_between_one_is_whole(path, content, monkeypatch):
    """Before and after every change of the folder there is one of the last two."""
    AtomicCheckpointIO().save_checkpoint({**content, "global_step": 1}, path)
    seen = []

    def look():
        found = {}
        for name in ("last", "previous"):
            with contextlib.suppress(WeightsError):
                file = path.with_name(f"{name}.ckpt")
                found[name] = read_checkpoint(file)["global_step"]
        seen.append(found)

    for name in ("replace", "unlink"):
        change = getattr(Path, name)

        def looking(self, *arguments, change=change, **options):
            look()
            try:
                return change(self, *arguments, **options)
            finally:
                look()

        monkeypatch.setattr(Path, name, looking)
    AtomicCheckpointIO().save_checkpoint({**content, "global_step": 2}, path)
    assert {"previous": 1} in seen and seen[-1] == {"last": 2, "previous": 1}
    assert all(1 in found.values() for found in seen)


def full(*_):
    raise OSError(28, "No space left on device")


@contextlib.contextmanager
def small_files():
    """Have the kernel refuse the write, which PyTorch's zip writer words in its own way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FAILURES = {
    "save": lambda: mock.patch.object(checkpoints.torch, "save", full),
    "sync": lambda: mock.patch.object(os, "fsync", full),
    "size": small_files,
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_full_disk_leaves_the_old_one(path, content, failure):
    AtomicCheckpointIO().save_checkpoint(content, path)
    before = path.read_bytes()
    message = r"last\.ckpt can't be written \(.+\): free space"
    with FAILURES[failure](), pytest.raises(OutputError, match=message):
        AtomicCheckpointIO().save_checkpoint({**content, "global_step": 4}, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_missing(path):
    with pytest.raises(WeightsError, match=r"no checkpoint at .*last\.ckpt: use another"):
        read_checkpoint(path)


class Pickled:
    """Something that would run code when loaded."""

    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "code"])
def test_unreadable(path, content, damage, capsys):
    AtomicCheckpointIO().save_checkpoint(content, path)
    if damage == "code":
        torch.save({**content, "extra": Pickled()}, path)
    else:
        whole = path.read_bytes()
        new = {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello\n" * 99}
        path.write_bytes(new[damage])
    with pytest.raises(WeightsError, match=r"^can't read .*last\.ckpt \(.+\): use anot") as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("other", [{"epoch": 1}, [1, 2], torch.zeros(2)])
def test_not_a_checkpoint(path, other):
    path.parent.mkdir()
    torch.save(other, path)
    with pytest.raises(WeightsError, match="is not a checkpoint of gcseg"):
        read_checkpoint(path)


def test_the_record_gives_the_classes_back(path, content):
    RunRecord({"iters": 3}, SPACE).on_save_checkpoint(None, None, content)
    AtomicCheckpointIO().save_checkpoint(content, path)
    assert read_checkpoint(path)["gcseg"]["config"] == {"iters": 3}
    classes = trained_classes(read_checkpoint(path))
    assert (classes.names, classes.colors) == (SPACE.names, SPACE.colors)


def test_no_record(path, content):
    AtomicCheckpointIO().save_checkpoint(content, path)
    assert trained_classes(read_checkpoint(path)) is None
    check_classes(read_checkpoint(path), SPACE, path)  # nothing is known to be wrong


@pytest.mark.parametrize("names", [("sky", "sea", "ship"), ("road", "sky")])
def test_other_classes(path, content, names):
    RunRecord({"iters": 3}, LabelSpace(names)).on_save_checkpoint(None, None, content)
    with pytest.raises(
        DataError, match=rf"last\.ckpt predicts {len(names)} classes \({names[0]}, "
    ):
        check_classes(content, SPACE, path)


def test_best_is_by_validation_miou(tmp_path):
    best, last = checkpoint_callbacks(tmp_path)
    assert (best.monitor, best.mode, best.filename) == ("val/miou", "max", "best")
    assert (last.monitor, last.filename) == (None, "last")


def test_the_best_score_outlives_a_move(tmp_path):
    best, _ = checkpoint_callbacks(tmp_path / "before")
    kept = str(tmp_path / "before" / "best.ckpt")
    best.best_model_score = best.kth_value = torch.tensor(0.9)
    best.current_score = torch.tensor(0.6)
    best.best_model_path = best.kth_best_model_path = kept
    best.best_k_models = {kept: torch.tensor(0.9)}
    moved, _ = checkpoint_callbacks(tmp_path / "after")
    (tmp_path / "after").mkdir()
    (tmp_path / "after" / "best.ckpt").touch()
    moved.load_state_dict(best.state_dict())
    assert moved.best_model_score == 0.9
    assert moved.current_score == 0.6
    assert moved.best_model_path == str(tmp_path / "after" / "best.ckpt")
    assert list(moved.best_k_models) == [moved.best_model_path]
    trainer = mock.Mock()
    trainer.strategy.reduce_boolean_decision = bool
    assert not moved.check_monitor_top_k(trainer, torch.tensor(0.6))
    assert moved.check_monitor_top_k(trainer, torch.tensor(0.95))


def test_a_best_checkpoint_that_is_gone_is_no_measure(tmp_path, capsys):
    best, _ = checkpoint_callbacks(tmp_path)
    best.best_model_score = best.current_score = torch.tensor(0.9)
    best.best_model_path = str(tmp_path / "best.ckpt")
    best.best_k_models = {best.best_model_path: torch.tensor(0.9)}
    again, _ = checkpoint_callbacks(tmp_path)
    again.load_state_dict(best.state_dict())
    assert again.best_model_path == "" and again.best_k_models == {}
    assert f"there is no {tmp_path / 'best.ckpt'}" in capsys.readouterr().err
