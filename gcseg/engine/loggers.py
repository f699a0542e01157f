"""Loggers beside metrics.csv."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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

    if "WANDB_MODE" not in os.environ and not wandb.api.api_key:
        os.environ["WANDB_MODE"] = "offline"
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
    )


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
