"""Records of a training's settings, and of the versions and hardware of its machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from gcseg.runs.folder import RunFolder
from gcseg.system.files import atomic_write, write_json
from gcseg.system.launch import is_first_process


def write_settings(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Write config.yaml and environment.json, in the first process of a training only.

    Raises:
        OutputError: The folder can't be written.
    """
    if not is_first_process():
        return
    with atomic_write(folder.config) as file:
        file.write(yaml.safe_dump(dict(config), sort_keys=False).encode())
    write_json(folder.environment, environment())


def environment() -> dict[str, Any]:
    """Return the versions, hardware and command of this process."""
    packages = ("torch", "pytorch-lightning", "torchmetrics", "albumentations", "numpy",
                "opencv-python-headless", "hydra-core", "gcseg")  # fmt: skip
    return {
        "command": [sys.executable, *sys.argv],
        "python": platform.python_version(),
        "packages": {
            **{name: _version(name) for name in packages},
            # Only where a network of it is used.
            **({"timm": _version("timm")} if "timm" in sys.modules else {}),
        },
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
    """Return the commit of the checkout that this package runs from; None if it is installed."""
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
