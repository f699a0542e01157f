"""Loggers in addition to metrics.csv, and what is logged at the end of a training."""

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

SCORES = ("miou", "mean_f1", "mean_precision", "mean_recall", "pixel_accuracy", "boundary_miou",
          "ece")  # fmt: skip
"""Scores of a record in results.json that are single numbers."""

MODES = ("online", "offline", "disabled", "shared", "run", "dryrun")
"""Values that WANDB_MODE may have."""

WRONG, IGNORED = (220, 20, 60), (128, 128, 128)
"""Colours of wrong and ignored pixels in a picture of errors; right ones keep the image's."""


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
        folder: Run folder, whose name becomes the W&B run's.
        config: The resolved configuration.
        project: W&B project.
        entity: W&B user or team; your default one if None.
        group: Name of a group of related runs; the sweep's if None.
        tags: Labels to search runs by.
        checkpoints: Whether best.ckpt and last.ckpt are uploaded at the end.
        sweep: Name of the sweep that the training is a job of, if any.

    Raises:
        ConfigError: W&B does not accept one of the names.
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
        config: The resolved configuration; not used, as config.yaml has it already.
        sweep: Not used, as runs are told apart by their folders.

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
    """Lightning's TensorBoard logger with pictures, and without epochs, which training lacks."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers at a step."""
        super().log_metrics({name: metrics[name] for name in metrics if name != "epoch"}, step)

    def panel_bytes(self, image: PanelImage, space: LabelSpace) -> int:
        """Size in bytes of a picture's row as a PNG."""
        return encoded(panel_row(image, space), "PNG")

    @rank_zero_only
    def log_panel(self, images: Sequence[PanelImage], space: LabelSpace, step: int) -> None:
        """Log each picture as image, truth, prediction and errors in a row.

        Args:
            images: The pictures.
            space: Classes with their colours.
            step: Optimizer step, from 0.
        """
        for one in images:
            row = panel_row(one, space)
            self.experiment.add_image(f"val/panel/{one.name}", row, step, dataformats="HWC")

    @rank_zero_only
    def finish(self, status: int, *, preempted: bool = False) -> None:
        """Write pending events, and close the file.

        Args:
            status: Exit status of the process; not used.
            preempted: Whether the job was stopped from outside; not used.
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
    """Log the scores of a finished training to every logger, and tables if it takes them.

    Args:
        loggers: Loggers of the training.
        evaluations: Records of results.json by mode of test-time augmentation.
        matrices: Confusion matrices by mode, classes x classes, a row for each true class.
        class_names: Names of the classes.
        step: Optimizer steps of the training.
    """
    scores = {
        f"eval/{mode}/{name}": value
        for mode, record in evaluations.items()
        for name, value in (
            *((name, record.get(name)) for name in SCORES),
            *((f"iou/{name}", record["class_iou"].get(name)) for name in class_names),
            *((f"f1/{name}", record["class_f1"].get(name)) for name in class_names),
        )
        if value is not None
    }
    for logger in loggers:
        logger.log_metrics(scores, step)
        if isinstance(logger, WandbRunLogger):
            logger.log_evaluations(evaluations, matrices, class_names, step)


def log_report(loggers: Sequence[Logger], path: Path) -> None:
    """Log report.html to the loggers that take it.

    Args:
        loggers: Loggers of the training.
        path: Path of the report.
    """
    for logger in loggers:
        if isinstance(logger, WandbRunLogger):
            logger.log_report(path)


def log_checkpoints(loggers: Sequence[Logger], best: Path, last: Path) -> None:
    """Upload checkpoints to the loggers that are configured to take them.

    Args:
        loggers: Loggers of the training.
        best: Checkpoint with the highest validation mIoU.
        last: Checkpoint of the last step.
    """
    for logger in loggers:
        if isinstance(logger, WandbRunLogger):
            logger.log_checkpoints(best, last)


@contextmanager
def finishing(loggers: Callable[[], Sequence[Logger]]) -> Iterator[None]:
    """Pass the process's coming exit status to the loggers when the block ends.

    Args:
        loggers: Callback that returns the loggers at that time.
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
    """Exit status after an exception, and whether the job was stopped from outside."""
    if (left := behind(error, StoppedBySignal)) is not None:
        assert isinstance(left, StoppedBySignal)
        return left.status, left.number != signal.SIGINT
    if behind(error, KeyboardInterrupt) is not None:
        return 130, False
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        return code, False
    return 1, False
