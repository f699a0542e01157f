"""Loggers beside metrics.csv, and what they are handed at the end of a training."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.engine.callbacks.panel import PanelImage, encoded
from gcseg.engine.loggers.wandb import WandbRunLogger
from gcseg.engine.loggers.wandb_credentials import check_project
from gcseg.errors import ConfigError, StoppedBySignal, behind
from gcseg.visualization.pictures import overlay

SCORES = ("miou", "pixel_accuracy", "boundary_miou", "ece")
"""Of a record in results.json: those that are one number."""

MODES = ("online", "offline", "disabled", "shared", "run", "dryrun")
"""Values of WANDB_MODE."""

WRONG, IGNORED = (220, 20, 60), (128, 128, 128)
"""Colours of a picture of errors; what is right stays as it is."""


def wandb_logger(
    folder: Path,
    config: dict[str, Any],
    *,
    project: str,
    entity: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    checkpoints: bool = False,
    sweep: str | None = None,
) -> Logger:
    """Log to Weights & Biases, offline where there is no API key or no network.

    Args:
        folder: The run folder; its name is the W&B run's.
        config: The resolved configuration.
        project: W&B project.
        entity: W&B user or team; your default one if None.
        group: Of runs that belong together; if None, the sweep's.
        tags: For searching.
        checkpoints: Whether best.ckpt and last.ckpt are uploaded at the end.
        sweep: The sweep that the training is a job of, if any.

    Raises:
        ConfigError: A name is none that W&B takes.
    """
    for key, name in (("project", project), ("entity", entity), ("group", group)):
        if name is not None and not (isinstance(name, str) and name.strip()):
            raise ConfigError(f"logger.{key}={name}", f"give a name, as in \"logger.{key}='1'\"")
    check_project("logger.project", project)
    if not all(isinstance(tag, str) and 1 <= len(tag) <= 64 for tag in tags):
        raise ConfigError(f"logger.tags={list(tags)}", "give words of at most 64 characters")
    mode = os.environ.get("WANDB_MODE")
    if mode is not None and mode not in MODES:
        raise ConfigError(f"WANDB_MODE={mode}", f"use one of {', '.join(MODES)}")
    return WandbRunLogger(
        folder,
        config,
        project=project,
        entity=entity,
        group=sweep if group is None else group,
        tags=tags,
        checkpoints=checkpoints,
    )


def tensorboard_logger(folder: Path, config: dict[str, Any], *, sweep: str | None = None) -> Logger:
    """Log to TensorBoard files in the run folder.

    Args:
        folder: The run folder.
        config: The resolved configuration; config.yaml has it already.
        sweep: Not used: the folder tells runs apart.

    Raises:
        ConfigError: TensorBoard is not installed.
    """
    try:
        return TensorBoardRunLogger(
            folder.absolute(), name="tensorboard", version="", default_hp_metric=False
        )
    except ModuleNotFoundError:
        raise ConfigError(
            "logger=tensorboard needs TensorBoard", "pip install 'gcseg[tensorboard]'"
        ) from None


class TensorBoardRunLogger(TensorBoardLogger):
    """Lightning's, with pictures and without epochs, of which training has none."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers at a step."""
        super().log_metrics({name: metrics[name] for name in metrics if name != "epoch"}, step)

    def panel_bytes(self, image: PanelImage, space: LabelSpace) -> int:
        """Bytes of a picture's row as a PNG."""
        return encoded(panel_row(image, space), "PNG")

    @rank_zero_only
    def log_panel(self, images: Sequence[PanelImage], space: LabelSpace, step: int) -> None:
        """Log each picture as image, truth, prediction and errors in a row.

        Args:
            images: The pictures.
            space: Gives the colours.
            step: Optimizer steps, from 0.
        """
        for one in images:
            row = panel_row(one, space)
            self.experiment.add_image(f"val/panel/{one.name}", row, step, dataformats="HWC")

    @rank_zero_only
    def finish(self, status: int, *, preempted: bool = False) -> None:
        """Write what is left, and close the file.

        Args:
            status: The process's exit status; TensorBoard has no place for it.
            preempted: Likewise.
        """
        if self._experiment is not None:
            self._experiment.close()


def panel_row(one: PanelImage, space: LabelSpace) -> UInt8Array:
    """Image, truth, prediction and errors side by side, H x 4 widths x 3."""
    marks = np.zeros((256, 3), np.uint8)
    marks[1], marks[IGNORE_INDEX] = WRONG, IGNORED
    errors = np.where((one.errors == 0)[..., None], one.image, marks[one.errors])
    labels = (overlay(one.image, label, space) for label in (one.truth, one.prediction))
    return np.hstack([one.image, *labels, errors])


def log_scores(
    loggers: Sequence[Logger],
    evaluations: Mapping[str, Mapping[str, Any]],
    matrices: Mapping[str, Tensor],
    class_names: Sequence[str],
    step: int,
) -> None:
    """Log the scores of a finished training to every logger, and tables to those that take them.

    Args:
        loggers: Of the training.
        evaluations: Records of results.json by mode of test-time augmentation.
        matrices: Counts by mode, classes x classes, a row for each true class.
        class_names: Of the classes.
        step: Optimizer steps of the training.
    """
    scores = {
        f"eval/{mode}/{name}": value
        for mode, record in evaluations.items()
        for name, value in (
            *((name, record.get(name)) for name in SCORES),
            *((f"iou/{name}", record["class_iou"].get(name)) for name in class_names),
        )
        if value is not None
    }
    for logger in loggers:
        logger.log_metrics(scores, step)
        if isinstance(logger, WandbRunLogger):
            logger.log_evaluations(evaluations, matrices, class_names, step)


def log_report(loggers: Sequence[Logger], path: Path) -> None:
    """Log report.html where that can be.

    Args:
        loggers: Of the training.
        path: The file.
    """
    for logger in loggers:
        if isinstance(logger, WandbRunLogger):
            logger.log_report(path)


def log_checkpoints(loggers: Sequence[Logger], best: Path, last: Path) -> None:
    """Upload checkpoints where that is wanted.

    Args:
        loggers: Of the training.
        best: With the highest validation mIoU.
        last: Of the last step.
    """
    for logger in loggers:
        if isinstance(logger, WandbRunLogger):
            logger.log_checkpoints(best, last)


@contextmanager
def finishing(loggers: Callable[[], Sequence[Logger]]) -> Iterator[None]:
    """Tell the loggers, when the block ends, with what status the process is going to end.

    Args:
        loggers: Gives them, at that time.
    """
    status, preempted = 1, False
    try:
        yield
        status = 0
    except BaseException as error:
        status, preempted = _ending(error)
        raise
    finally:
        for logger in loggers():
            if isinstance(logger, (WandbRunLogger, TensorBoardRunLogger)):
                logger.finish(status, preempted=preempted)


def _ending(error: BaseException) -> tuple[int, bool]:
    """The exit status after an exception, and whether the job was stopped from outside."""
    if (left := behind(error, StoppedBySignal)) is not None:
        assert isinstance(left, StoppedBySignal)
        return left.status, left.number != signal.SIGINT
    if behind(error, KeyboardInterrupt) is not None:
        return 130, False
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        return code, False
    return 1, False
