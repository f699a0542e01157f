"""Loggers beside metrics.csv."""

from __future__ import annotations

import netrc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from gcseg.errors import ConfigError


def wandb_logger(
    folder: Path,
    config: dict[str, Any],
    *,
    project: str,
    entity: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
) -> Logger:
    """Log to Weights & Biases, offline where there is no API key, so that no prompt hangs a job.

    Args:
        folder: The run folder; its name is the W&B run's.
        config: The resolved configuration.
        project: W&B project.
        entity: W&B user or team; your default one if None.
        group: Of runs that belong together.
        tags: For searching.
    """
    import wandb

    if wandb.run is not None:  # of the job before in a multirun, which would get this one's curves
        wandb.finish()
    return WandbLogger(
        name=folder.name,
        id=folder.name,
        save_dir=folder,
        project=project,
        entity=entity,
        group=group,
        tags=list(tags),
        config=config,
        resume="allow",
        offline="WANDB_MODE" not in os.environ and not _has_wandb_key(),
    )


def _has_wandb_key() -> bool:
    """Whether W&B would find a key, in WANDB_API_KEY or where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def tensorboard_logger(folder: Path, config: dict[str, Any]) -> Logger:
    """Log to TensorBoard files in the run folder.

    Args:
        folder: The run folder.
        config: The resolved configuration; config.yaml has it already.

    Raises:
        ConfigError: TensorBoard is not installed.
    """
    try:
        return TensorBoardLogger(folder, name="tensorboard", version="")
    except ModuleNotFoundError:
        raise ConfigError(
            "logger=tensorboard needs TensorBoard", "pip install 'gcseg[tensorboard]'"
        ) from None
