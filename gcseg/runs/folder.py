"""The run folder of a training, and the names of all files in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gcseg.errors import ConfigError
from gcseg.system.launch import launched
from gcseg.system.links import leads_out

CONFIG_FILE = "config.yaml"
"""Name of the file with the resolved settings."""
ENVIRONMENT_FILE = "environment.json"
"""Name of the file with versions and hardware."""
METRICS_FILE = "metrics.csv"
"""Name of the file with the training curves."""
RESULTS_FILE = "results.json"
"""Name of the file with the scores."""
REPORT_FILE = "report.html"
"""Name of the report of a training or of a sweep."""
CONFUSION_FOLDER = "confusion"
"""Name of the folder with the evaluations' confusion matrices."""
ANALYSIS_FOLDER = "analysis"
"""Name of the folder with the evaluations' analyses and the scores of their images."""

_CHECKPOINTS = "checkpoints"
_FOLDER_VARIABLE = "GCSEG_RUN_FOLDER"
"""Environment variable with the run folder, from a training's first process for the others."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one training.

    Args:
        path: The run folder, `runs/<name>`.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The file with the resolved settings."""
        return self.path / CONFIG_FILE

    @property
    def environment(self) -> Path:
        """The file with versions and hardware."""
        return self.path / ENVIRONMENT_FILE

    @property
    def checkpoints(self) -> Path:
        """The folder of last.ckpt, previous.ckpt and best.ckpt."""
        return self.path / _CHECKPOINTS

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.checkpoints / "last.ckpt"

    @property
    def previous(self) -> Path:
        """The newest checkpoint but one."""
        return previous_to(self.last)

    @property
    def best(self) -> Path:
        """The checkpoint with the highest validation mIoU."""
        return self.checkpoints / "best.ckpt"

    def best_or_last(self) -> Path | None:
        """The best checkpoint, or the newest if there is no best one; None if there is neither."""
        return next((path for path in (self.best, self.last) if path.is_file()), None)

    @property
    def not_finite(self) -> Path:
        """The checkpoint from before the step whose loss was NaN or infinite, if there was one."""
        return self.checkpoints / "not-finite.ckpt"

    @property
    def metrics(self) -> Path:
        """The file with the training curves."""
        return self.path / METRICS_FILE

    @property
    def results(self) -> Path:
        """The file with the scores."""
        return self.path / RESULTS_FILE

    @property
    def confusion(self) -> Path:
        """The folder of the evaluations' confusion matrices."""
        return self.path / CONFUSION_FOLDER

    @property
    def report(self) -> Path:
        """The report of the training."""
        return self.path / REPORT_FILE


def previous_to(last: Path) -> Path:
    """Return the path to which the previous `last.ckpt` is moved."""
    return last.with_name("previous.ckpt")


def run_folder_of(checkpoint: Path) -> RunFolder | None:
    """Return the run folder that contains a checkpoint; None for a checkpoint elsewhere.

    The given path decides. A checkpoint whose path leads out of its folder through a link counts as
    elsewhere, so that links in a folder never cause writes to other run folders.

    Args:
        checkpoint: Path of the checkpoint.
    """
    folder = RunFolder(checkpoint.absolute().parent.parent)
    inside = checkpoint.absolute().parent == folder.checkpoints
    inside = inside and not leads_out(checkpoint.absolute(), folder.path)
    return folder if inside and folder.config.is_file() else None


def choose_folder(root: Path, name: str, fresh: bool) -> RunFolder:
    """Choose the run folder: `root/name`, or with `fresh` the first unused of `name-2`, ....

    Processes that a training's first process starts use the same folder.

    Raises:
        ConfigError: Another program started the processes, so that each would choose a folder.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0" and _FOLDER_VARIABLE in os.environ:
        return RunFolder(Path(os.environ[_FOLDER_VARIABLE]))
    launch = launched()
    if fresh and (launch.processes if launch else int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise ConfigError(
            "fresh=true in processes that another program has started",
            "give run_root= another folder that all processes share",
        )
    path = root / name
    number = 2
    while fresh and path.exists():
        path = root / f"{name}-{number}"
        number += 1
    os.environ[_FOLDER_VARIABLE] = str(path.absolute())
    return RunFolder(path)
