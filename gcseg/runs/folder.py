"""The folder of a training: the name of every file in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gcseg.errors import ConfigError
from gcseg.system.launch import launched
from gcseg.system.links import leads_out

CONFIG_FILE = "config.yaml"
"""The resolved settings."""
ENVIRONMENT_FILE = "environment.json"
"""Versions and hardware."""
METRICS_FILE = "metrics.csv"
"""The curves of the training."""
RESULTS_FILE = "results.json"
"""The scores."""
REPORT_FILE = "report.html"
"""The report, of a training or of a sweep."""
CONFUSION_FOLDER = "confusion"
"""The folder of the evaluations' confusion matrices."""
ANALYSIS_FOLDER = "analysis"
"""The folder of the evaluations' analyses, and of the scores of their images."""

_CHECKPOINTS = "checkpoints"
_FOLDER_VARIABLE = "GCSEG_RUN_FOLDER"
"""Tells the other processes of a training which folder the first one chose."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one training.

    Args:
        path: The folder, `runs/<name>`.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved settings."""
        return self.path / CONFIG_FILE

    @property
    def environment(self) -> Path:
        """Versions and hardware."""
        return self.path / ENVIRONMENT_FILE

    @property
    def checkpoints(self) -> Path:
        """Where last.ckpt, previous.ckpt and best.ckpt are."""
        return self.path / _CHECKPOINTS

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.checkpoints / "last.ckpt"

    @property
    def previous(self) -> Path:
        """The checkpoint that was the newest before."""
        return previous_to(self.last)

    @property
    def best(self) -> Path:
        """The checkpoint with the highest validation mIoU."""
        return self.checkpoints / "best.ckpt"

    def best_or_last(self) -> Path | None:
        """The best checkpoint, or the newest where there is no best one; None without any."""
        return next((path for path in (self.best, self.last) if path.is_file()), None)

    @property
    def not_finite(self) -> Path:
        """The state before the step whose loss was NaN or infinite, if there was one."""
        return self.checkpoints / "not-finite.ckpt"

    @property
    def metrics(self) -> Path:
        """The curves."""
        return self.path / METRICS_FILE

    @property
    def results(self) -> Path:
        """The scores."""
        return self.path / RESULTS_FILE

    @property
    def confusion(self) -> Path:
        """The folder of the scores' confusion matrices."""
        return self.path / CONFUSION_FOLDER

    @property
    def report(self) -> Path:
        """The report of the training."""
        return self.path / REPORT_FILE


def previous_to(last: Path) -> Path:
    """Where the checkpoint stays that `last.ckpt` replaces."""
    return last.with_name("previous.ckpt")


def run_folder_of(checkpoint: Path) -> RunFolder | None:
    """The run folder that a checkpoint lies in; None for a checkpoint elsewhere.

    The path that names it decides. One that a link leads out of its folder is a checkpoint
    elsewhere, so that a folder's links have nothing written to other run folders.

    Args:
        checkpoint: The file.
    """
    folder = RunFolder(checkpoint.absolute().parent.parent)
    inside = checkpoint.absolute().parent == folder.checkpoints
    inside = inside and not leads_out(checkpoint.absolute(), folder.path)
    return folder if inside and folder.config.is_file() else None


def choose_folder(root: Path, name: str, fresh: bool) -> RunFolder:
    """The folder of a run: `root/name`, or with `fresh` the first of `name-2`, ... not there yet.

    Processes that the first one of a training starts use the same folder.

    Raises:
        ConfigError: Another program started the processes, so that each would choose for itself.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0" and _FOLDER_VARIABLE in os.environ:
        return RunFolder(Path(os.environ[_FOLDER_VARIABLE]))
    launch = launched()
    if fresh and (launch.processes if launch else int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise ConfigError(
            "fresh=true in processes that another program has started",
            "give run_root= another folder instead, which they all share",
        )
    path = root / name
    number = 2
    while fresh and path.exists():
        path = root / f"{name}-{number}"
        number += 1
    os.environ[_FOLDER_VARIABLE] = str(path.absolute())
    return RunFolder(path)
