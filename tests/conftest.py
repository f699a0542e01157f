"""What several tests share: scenes that are drawn once, and one finished training."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import running

gc.disable()  # until all tests are imported: what is imported stays


def pytest_collection_finish():
    """Leave the objects of all imports out of the search for garbage, an eighth of the time."""
    gc.freeze()
    gc.enable()


@dataclass(frozen=True)
class Training:
    """A finished training, not to be changed: copy it.

    Args:
        cwd: Working folder of the command.
        folder: Its run folder.
        outcome: What the command printed.
    """

    cwd: Path
    folder: Path
    outcome: running.Outcome


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """GCSEG_DATA of all commands: the scenes in it are drawn by the first that wants them."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def run(data, tmp_path):
    """Run a command in an empty folder: `run("train", "iters=5")`."""

    def run(command: str, *overrides: str, **options):
        options.setdefault("cwd", tmp_path)
        options.setdefault("GCSEG_DATA", str(data))
        return running.run(command, *overrides, **options)

    return run


@pytest.fixture
def train(run):
    """Run a training of a second, with more overrides."""

    def train(*overrides: str, **options):
        return run("train", *running.TINY, *overrides, **options)

    return train


@pytest.fixture(scope="session")
def training(data, tmp_path_factory):
    """Three steps on scenes, scored in every mode; no test may write into it."""
    cwd = tmp_path_factory.mktemp("training")
    outcome = running.run("train", *running.TINY, "tta=all", cwd=cwd, GCSEG_DATA=str(data))
    assert outcome.status == 0, outcome.err
    before = files_of(cwd)
    yield Training(cwd, running.only_run(cwd / "runs"), outcome)
    changed = {path for path, _ in files_of(cwd).items() ^ before.items()}
    assert not changed, "a test has written into the shared training"


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of everything below a folder."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
    }
