"""A training's identity and its folder."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning.utilities import rank_zero_only

from gcseg.errors import ConfigError
from gcseg.runs.confusion import FOLDER
from gcseg.system.files import atomic_write, write_json
from gcseg.system.ranks import launched

_FOLDER_VARIABLE = "GCSEG_RUN_FOLDER"
"""Tells the other processes of a training which folder the first one chose."""


def previous_to(last: Path) -> Path:
    """Where the checkpoint stays that `last.ckpt` replaces."""
    return last.with_name("previous.ckpt")


@dataclass(frozen=True)
class RunFolder:
    """The files of one training.

    Args:
        path: The folder, `runs/<name>`.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        """Versions and hardware."""
        return self.path / "environment.json"

    @property
    def checkpoints(self) -> Path:
        """Where last.ckpt, previous.ckpt and best.ckpt are."""
        return self.path / "checkpoints"

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

    @property
    def not_finite(self) -> Path:
        """The state before the step whose loss was NaN or infinite, if there was one."""
        return self.checkpoints / "not-finite.ckpt"

    @property
    def metrics(self) -> Path:
        """The curves."""
        return self.path / "metrics.csv"

    @property
    def results(self) -> Path:
        """The scores."""
        return self.path / "results.json"

    @property
    def confusion(self) -> Path:
        """The folder of the scores' confusion matrices."""
        return self.path / FOLDER


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


@rank_zero_only
def describe(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Write config.yaml and environment.json.

    Raises:
        OutputError: The folder can't be written.
    """
    with atomic_write(folder.config) as file:
        file.write(yaml.safe_dump(dict(config), sort_keys=False).encode())
    write_json(folder.environment, environment())


def environment() -> dict[str, Any]:
    """Versions, hardware and command of this process."""
    packages = ("torch", "pytorch-lightning", "torchmetrics", "albumentations", "numpy",
                "opencv-python-headless", "hydra-core", "gcseg")  # fmt: skip
    return {
        "command": [sys.executable, *sys.argv],
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
        "git_commit": _git_commit(),
        "platform": platform.platform(),
        "host": platform.node(),
        "cpus": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the checkout that this package runs from; None where it is installed."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=checkout, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
