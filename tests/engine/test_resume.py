"""Which checkpoint a training goes on from."""

import os
import shutil

import pytest
import torch

from gcseg.engine.resume import keep_as_last, resume_from
from gcseg.errors import WeightsError
from gcseg.runs.folder import RunFolder
from tests.weights.files import torch_records, write_zip


@pytest.fixture
def folder(training, tmp_path):
    """A copy of a finished training, which has no checkpoint before the last."""
    return RunFolder(shutil.copytree(training.folder, tmp_path / "run"))


def test_none_yet(tmp_path):
    assert resume_from(RunFolder(tmp_path)) is None


def test_the_last(folder, capsys):
    assert resume_from(folder) == folder.last
    folder.best.unlink()
    assert resume_from(folder) == folder.last
    assert capsys.readouterr().err == ""


def test_the_best_where_a_kill_came_before_the_last(folder, capsys):
    folder.last.unlink()
    assert resume_from(folder) == folder.best
    assert capsys.readouterr().err == ""


def give_steps(path, steps):
    content = torch.load(path, weights_only=True)
    torch.save({**content, "global_step": steps}, path)


@pytest.mark.parametrize(
    ("previous", "best", "expected"), [(2, 1, "previous"), (1, 2, "best"), (2, 2, "previous")]
)
def test_the_one_before_or_the_best_whichever_has_more_steps(folder, previous, best, expected):
    shutil.copy(folder.last, folder.previous)
    give_steps(folder.previous, previous)
    give_steps(folder.best, best)
    folder.last.unlink()
    assert resume_from(folder) == getattr(folder, expected)


def test_the_best_where_a_kill_came_between_it_and_the_last(folder):
    give_steps(folder.last, 2)
    give_steps(folder.best, 3)
    assert resume_from(folder) == folder.best


def test_a_damaged_best_is_set_aside_before_it_is_scored(folder, capsys):
    folder.best.write_bytes(b"cut")
    assert resume_from(folder) == folder.last
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == [
        *("best.ckpt.damaged", "last.ckpt")
    ]
    assert "best.ckpt.damaged, and training resumes from last.ckpt" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_bytes_that_have_changed(folder, capsys, name, place):
    """What torch.load reads without a word."""
    path = folder.checkpoints / f"{name}.ckpt"
    content = bytearray(path.read_bytes())
    for offset in range(40):
        content[int(place * len(content)) + offset] ^= 0xFF
    path.write_bytes(content)
    assert resume_from(folder) == (folder.best if name == "last" else folder.last)
    assert (folder.checkpoints / f"{name}.ckpt.damaged").exists()
    assert "damaged" in capsys.readouterr().err


def test_what_training_goes_on_from_is_the_last(folder):
    give_steps(folder.last, 2)
    best = folder.best.read_bytes()
    keep_as_last(folder, folder.best)
    assert folder.last.read_bytes() == best == folder.best.read_bytes()
    keep_as_last(folder, folder.last)
    assert folder.last.read_bytes() == best


def test_two_are_damaged(folder, capsys):
    for path in (folder.last, folder.previous):
        path.write_bytes(b"cut")
    assert resume_from(folder) == folder.best
    names = sorted(path.name for path in folder.checkpoints.iterdir())
    assert names == ["best.ckpt", "last.ckpt.damaged", "previous.ckpt.damaged"]
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 2
    assert all(line.endswith("training resumes from best.ckpt") for line in warnings)


@pytest.mark.parametrize("kept", [0, 1, 4, 50, 0.1, 0.5, 0.9, -5000, -100, -22, -1])
def test_cut_off(folder, capsys, kept):
    """At a number of bytes, at a fraction, or before the end."""
    size = folder.last.stat().st_size
    os.truncate(folder.last, int(kept * size) if 0 < kept < 1 else kept % size)
    assert resume_from(folder) == folder.best
    names = sorted(path.name for path in folder.checkpoints.iterdir())
    assert names == ["best.ckpt", "last.ckpt.damaged"]
    assert capsys.readouterr().err.startswith("warning: can't read ")
    assert resume_from(folder) == folder.best, "as a rank that looks later"
    assert capsys.readouterr().err == ""


def test_other_ranks_leave_it_to_the_first(folder, capsys, monkeypatch):
    folder.last.write_bytes(b"")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resume_from(folder) == folder.best
    assert folder.last.exists()
    assert capsys.readouterr().err == ""


def test_something_else(folder):
    torch.save({"epoch": 1}, folder.last)
    assert resume_from(folder) == folder.best
    assert (folder.checkpoints / "last.ckpt.damaged").exists()


@pytest.mark.parametrize(
    "failure",
    [
        PermissionError(13, "Permission denied"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_what_may_be_whole_stays(folder, monkeypatch, failure):
    def fail(*_):
        raise failure

    monkeypatch.setattr("gcseg.weights.torch_files.load", fail)
    with pytest.raises(WeightsError, match=r"read .*last\.ckpt"):
        resume_from(folder)
    assert folder.last.exists()


def test_the_only_one_is_damaged(folder):
    folder.best.unlink()
    folder.last.write_bytes(b"cut")
    with pytest.raises(
        WeightsError, match=r"there is no other checkpoint: move .*checkpoints away"
    ):
        resume_from(folder)
    assert folder.last.exists()


def deep_key(path):
    """What torch.load dies over."""
    data = b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."
    write_zip(path, torch_records({}) | {"x/data.pkl": data})


@pytest.mark.parametrize("write", [os.mkfifo, deep_key])
def test_what_torch_would_hang_or_die_over(folder, capsys, write):
    folder.last.unlink()
    write(folder.last)
    assert resume_from(folder) == folder.best
    assert "training resumes from best.ckpt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pytorch-lightning_version", None),
        ("global_step", "3"),
        ("loops", []),
        ("callbacks", None),
        ("optimizer_states", None),
    ],
)
def test_what_is_no_checkpoint_of_a_training(folder, capsys, key, value):
    content = torch.load(folder.last, weights_only=True)
    if value is None:
        del content[key]
    else:
        content[key] = value
    torch.save(content, folder.last)
    assert resume_from(folder) == folder.best
    warning = capsys.readouterr().err
    assert f"last.ckpt is not a checkpoint of a training (it has no {key})" in warning
    folder.best.unlink()
    with pytest.raises(WeightsError, match=r"move .* away to train from the beginning"):
        (folder.checkpoints / "last.ckpt.damaged").rename(folder.last)
        resume_from(folder)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("pytorch-lightning_version", lambda _: "newest"),
        ("loops", lambda _: {}),
        ("callbacks", lambda found: {**found, "RunProgress": {"steps": 3}}),
        ("callbacks", lambda found: {**found, "ContinuedCurves": {"rows": "many"}}),
        ("optimizer_states", lambda _: [{}]),
        ("lr_schedulers", lambda _: [3]),
        ("state_dict", lambda _: {}),
    ],
)
def test_parts_of_another_training(train, training, tmp_path, key, change):
    """Of a file whose checksums are right, in an unfinished run folder."""
    folder = RunFolder(tmp_path / "runs" / training.folder.name)
    shutil.copytree(training.folder, folder.path)
    folder.results.unlink()
    content = torch.load(folder.last, weights_only=True)
    torch.save({**content, key: change(content[key])}, folder.last)
    error = train().error
    assert f"training can't resume from runs/{folder.path.name}/checkpoints/last.ckpt (" in error
    assert error.endswith("to train from the beginning")
