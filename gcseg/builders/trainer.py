"""Build Lightning's Trainer, and what a training adds to it, from a composed configuration."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from gcseg.builders import data as build_data
from gcseg.builders import model as build_model
from gcseg.builders.devices import (
    device_count,
    distribution,
    images_per_pass,
    node_count,
    process_count,
    worker_count,
)
from gcseg.builders.loss import words as loss_words
from gcseg.config.instantiate import instantiate
from gcseg.config.plain import plain
from gcseg.data.augment import TrainingPipeline
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.samples import evenly
from gcseg.engine.callbacks.checkpoints import RunRecord, ValidateAtEnd, checkpoint_callbacks
from gcseg.engine.callbacks.early_stop import EarlyStop
from gcseg.engine.callbacks.ema import MovingAverage
from gcseg.engine.callbacks.finite_loss import FiniteLoss
from gcseg.engine.callbacks.graceful_stop import GracefulStop
from gcseg.engine.callbacks.panel import Panel
from gcseg.engine.callbacks.progress import RunProgress
from gcseg.engine.callbacks.step_metrics import StepMetrics
from gcseg.engine.callbacks.step_seed import StepSeed
from gcseg.engine.callbacks.user_defined import PlainStates
from gcseg.engine.checkpoints import AtomicCheckpointIO
from gcseg.engine.cost import optimizer_states
from gcseg.engine.data import SegmentationData
from gcseg.engine.distributed.sync_batchnorm import CPUSyncBatchNorm, GPUSyncBatchNorm
from gcseg.engine.loggers.metrics_csv import ContinuedCurves, MetricsCSV
from gcseg.engine.module import SegmentationModule
from gcseg.engine.monitor import Monitor
from gcseg.engine.summary import TrainingPlan
from gcseg.errors import ConfigError
from gcseg.losses import takes_coarse
from gcseg.runs.folder import METRICS_FILE, RunFolder
from gcseg.runs.name import backbone_name, head_name
from gcseg.system.signals import Signals
from gcseg.system.text import counted


def data(
    cfg: DictConfig,
    evaluation: SegmentationDataset,
    train: SegmentationDataset | None,
    pipeline: TrainingPipeline,
) -> SegmentationData:
    """Build the data module of a training.

    Args:
        cfg: The configuration.
        evaluation: Split to score.
        train: Split to train on; None if training is over.
        pipeline: Augmentation of the training split.

    Raises:
        OutputError: A cache can't be written.
        DataError: A picture or a label is wrong.
    """
    training: dict[str, Any] = {}
    if train is not None:
        training = {
            "train": build_data.cached(cfg, train),
            "train_pipeline": pipeline,
            "batch_size": images_per_pass(cfg),
            **build_data.sampling(cfg, train),
        }
    return SegmentationData(
        build_data.cached(cfg, evaluation),
        build_data.evaluation_preprocessing(cfg),
        **training,
        seed=cfg.seed,
        num_workers=worker_count(cfg),
        prefetch=cfg.prefetch,
        validated=validated(cfg, len(evaluation)),
    )


def validated(cfg: DictConfig, images: int) -> list[int] | None:
    """Indices of the validation images that training validates; None for all.

    Args:
        cfg: The configuration.
        images: Number of images of the split.
    """
    if cfg.limit_val is None:
        return None
    number = cfg.limit_val if cfg.limit_val >= 1 else max(round(cfg.limit_val * images), 1)
    return None if number >= images else evenly(number, images)


def training_trainer(
    cfg: DictConfig,
    folder: RunFolder,
    val_set: SegmentationDataset,
    progress: RunProgress,
    signals: Signals,
    own: Mapping[str, L.Callback],
    sweep: str | None = None,
) -> L.Trainer:
    """Build the Trainer of a training and of its final scores.

    Args:
        cfg: The configuration.
        folder: The run folder.
        val_set: Split to score.
        progress: Callback that shows progress.
        signals: Signals that stop the training.
        own: The user's callbacks, by name.
        sweep: Name of the sweep that the training is a job of, if any.

    Raises:
        ConfigError: Devices are missing, or an argument of the Trainer is wrong.
    """
    config = plain(cfg)
    curves = MetricsCSV(folder.metrics)
    finite_loss = FiniteLoss(folder.not_finite, cfg.skip_not_finite)
    return trainer(
        cfg,
        callbacks=[
            StepSeed(cfg.seed),
            finite_loss,
            *moving_average(cfg, finite_loss),
            StepMetrics(),
            progress,
            *panel(cfg, val_set),
            *([PlainStates(own), *own.values()] if own else []),
            ValidateAtEnd(),
            *early_stop(cfg),
            RunRecord(config, val_set.label_space),
            ContinuedCurves(curves),
            GracefulStop(folder.last, signals),
            *checkpoint_callbacks(folder.checkpoints, Monitor(cfg.monitor)),
        ],
        loggers=[curves, *loggers(cfg, folder.path, config, sweep)],
        max_steps=cfg.iters,
        max_epochs=-1,
        accumulate_grad_batches=cfg.accumulate,
        val_check_interval=(1 if cfg.quick else cfg.val_every) * cfg.accumulate,
        check_val_every_n_epoch=None,
        log_every_n_steps=1 if cfg.quick else cfg.log_every,
        default_root_dir=folder.path,
        extra=config["trainer"],
    )


def training_plan(cfg: DictConfig, module: SegmentationModule) -> TrainingPlan:
    """Settings of a training that its summary shows."""
    logger = cfg.logger._target_
    name = str(logger).rpartition(".")[2].removesuffix("_logger")
    optimizer, _ = build_model.optimizer(cfg, module.model)
    return TrainingPlan(
        backbone=backbone_name(cfg.backbone),
        head=head_name(cfg.head),
        variant=cfg.backbone.get("variant"),
        output_stride=cfg.backbone.get("output_stride"),
        dataset=cfg.dataset.name,
        root=str(cfg.dataset.root),
        iters=cfg.iters,
        batch_size=cfg.batch_size,
        processes=process_count(cfg),
        accumulate=cfg.accumulate,
        height=cfg.dataset.crop.height,
        width=cfg.dataset.crop.width,
        precision=str(cfg.precision),
        seed=cfg.seed,
        loss=loss_words(cfg),
        optimizer_states=optimizer_states(optimizer),
        ema=cfg.ema.decay is not None,
        validation=validation_in_words(cfg),
        logs=(METRICS_FILE, *([] if logger is None else [name])),
        coarse_loss=takes_coarse(module.loss),
    )


def validation_in_words(cfg: DictConfig) -> str:
    """Describe what the validations of a training decide."""
    every = "every step" if cfg.quick else f"every {counted(cfg.val_every, 'step')}"
    limit = f", on {cfg.limit_val:g} of the images" if cfg.limit_val is not None else ""
    best = f"{every}{limit}, best.ckpt by {cfg.monitor}"
    if cfg.patience is None:
        return best
    return f"{best}, stops after {counted(cfg.patience, 'validation')} without a better one"


def early_stop(cfg: DictConfig) -> list[EarlyStop]:
    """Build the callback of `cfg.patience`, if any."""
    if cfg.patience is None:
        return []
    return [EarlyStop(Monitor(cfg.monitor), cfg.patience, cfg.iters)]


def moving_average(cfg: DictConfig, finite_loss: FiniteLoss) -> list[L.Callback]:
    """Build the callback of `cfg.ema`, if any."""
    if cfg.ema.decay is None:
        return []
    return [MovingAverage(cfg.ema.decay, warmup=cfg.ema.warmup, changed=lambda: finite_loss.finite)]


def panel(cfg: DictConfig, val_set: SegmentationDataset) -> list[L.Callback]:
    """Build the callback that logs pictures to the logger of `cfg.logger`, if any."""
    if cfg.logger.get("panel") is None:
        return []
    settings = plain(cfg.logger)["panel"]
    validations = math.ceil(cfg.iters / (1 if cfg.quick else cfg.val_every))
    only = validated(cfg, len(val_set))
    return [Panel(val_set, validations=validations, only=only, **settings)]


def loggers(
    cfg: DictConfig, folder: Path, config: dict[str, Any], sweep: str | None
) -> list[Logger]:
    """Build the loggers of `cfg.logger`, in addition to metrics.csv."""
    if cfg.logger._target_ is None:
        return []
    return [
        instantiate(
            cfg.logger, without=("name", "panel"), folder=folder, config=config, sweep=sweep
        )
    ]


def _quiet_lightning() -> None:
    """Filter Lightning's tips, and warnings that its own code causes or that do not apply."""
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=r"The `srun` command is available")
    # The scores already cover the images of all processes, see SegmentationModule.
    warnings.filterwarnings("ignore", message=r".*`self\.log\('val/.*sync_dist=True")
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
    # The replacement is missing in the oldest supported versions of PyTorch.
    warnings.filterwarnings("ignore", message=r"`broadcast_buffers` is deprecated")
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")  # frozen
    warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty")


def trainer(
    cfg: DictConfig,
    *,
    callbacks: list[L.Callback],
    loggers: list[Logger] | None = None,
    extra: Mapping[str, Any] | None = None,
    **options: Any,
) -> L.Trainer:
    """Build the Trainer that every command uses.

    Args:
        cfg: Configuration with accelerator, devices and precision.
        callbacks: Callbacks of the command.
        loggers: Loggers of the command.
        extra: More arguments of the Trainer, from the user.
        options: More arguments of the Trainer, from the command.

    Raises:
        ConfigError: Devices are missing, or an extra argument is wrong.
    """
    devices = device_count(cfg)
    on_cpu = cfg.accelerator == "cpu" or not (
        torch.cuda.is_available() or torch.backends.mps.is_available()
    )
    if on_cpu and str(cfg.precision) == "16-mixed":
        raise ConfigError("precision=16-mixed needs a GPU", "use bf16-mixed or 32")
    _quiet_lightning()
    sync = CPUSyncBatchNorm if on_cpu else GPUSyncBatchNorm
    settings: dict[str, Any] = {
        "accelerator": cfg.accelerator,
        "devices": devices,
        "num_nodes": node_count(cfg),
        **distribution(cfg, on_cpu),
        "precision": str(cfg.precision),
        "callbacks": callbacks,
        "logger": loggers or False,
        "plugins": [
            AtomicCheckpointIO(),
            *([sync()] if process_count(cfg) > 1 else []),
        ],
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **options,
    }
    try:
        built = L.Trainer(**settings, **(extra or {}))
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise ConfigError(f"the Trainer refuses its arguments ({error})", "change them") from None
    # gcseg.system.signals handles signals in a training, and the system elsewhere. Lightning's
    # handlers would keep an evaluation from ending, wait in them for other processes, and requeue
    # a job of SLURM that a sweep queues again by itself.
    built._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return built
