"""From a composed configuration to Lightning's Trainer and what a training adds to it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from gcseg import build_data
from gcseg.data.augment import TrainingPipeline
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.label_spaces import LabelSpace
from gcseg.data.parallel import available_cores
from gcseg.engine.checkpoints import (
    AtomicCheckpointIO,
    RunRecord,
    ValidateAtEnd,
    checkpoint_callbacks,
)
from gcseg.engine.data import SegmentationData
from gcseg.engine.finite_loss import FiniteLoss
from gcseg.engine.metrics_csv import MetricsCSV
from gcseg.engine.progress import RunProgress
from gcseg.engine.run import RunFolder
from gcseg.engine.step_seed import StepSeed
from gcseg.errors import ConfigError
from gcseg.instantiate import instantiate
from gcseg.settings import plain

TRAINER_ARGUMENTS = (
    "benchmark", "detect_anomaly", "deterministic", "gradient_clip_algorithm",
    "gradient_clip_val", "max_time", "profiler",
)  # fmt: skip
"""Arguments of Lightning's Trainer that are the user's; the others would change what is scored."""


def data(
    cfg: DictConfig,
    evaluation: SegmentationDataset,
    train: SegmentationDataset | None,
    pipeline: TrainingPipeline,
) -> SegmentationData:
    """Build the data module of a training.

    Args:
        cfg: The configuration.
        evaluation: The split that is scored.
        train: The split that is trained on; None if training is over.
        pipeline: Its augmentation.

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
    )


def training(
    cfg: DictConfig,
    folder: RunFolder,
    label_space: LabelSpace,
    progress: RunProgress,
    *,
    log: bool,
) -> L.Trainer:
    """Build the Trainer of a training, which scores its end too.

    Args:
        cfg: The configuration.
        folder: The run folder.
        label_space: The classes.
        progress: What shows how far it is.
        log: Whether there are steps to be logged.

    Raises:
        ConfigError: The devices are not there, or an argument of the Trainer is wrong.
    """
    config = plain(cfg)
    curves = MetricsCSV(folder.metrics)
    return trainer(
        cfg,
        callbacks=[
            StepSeed(cfg.seed),
            FiniteLoss(folder.not_finite),
            progress,
            ValidateAtEnd(),
            RunRecord(config, label_space),
            L.callbacks.LambdaCallback(
                on_train_start=lambda trainer, _: curves.continue_from(trainer.global_step)
            ),
            *checkpoint_callbacks(folder.checkpoints),
        ],
        loggers=[curves, *loggers(cfg, folder.path, config)] if log else [],
        max_steps=cfg.iters,
        max_epochs=-1,
        accumulate_grad_batches=cfg.accumulate,
        val_check_interval=cfg.val_every * cfg.accumulate,
        check_val_every_n_epoch=None,
        log_every_n_steps=cfg.log_every,
        default_root_dir=folder.path,
        extra=config["trainer"],
    )


def loggers(cfg: DictConfig, folder: Path, config: dict[str, Any]) -> list[Logger]:
    """The loggers of `cfg.logger`, beside metrics.csv."""
    logger = instantiate(cfg.logger, folder=folder, config=config)
    return [logger] if logger else []


def worker_count(cfg: DictConfig) -> int:
    """Loader processes per training process."""
    if cfg.num_workers != "auto":
        return int(cfg.num_workers)
    return max(1, min(8, available_cores() // device_count(cfg)))


def device_count(cfg: DictConfig) -> int:
    """Devices on this machine that the run uses.

    Raises:
        ConfigError: There are fewer, or the accelerator is missing.
    """
    gpus = torch.cuda.device_count()
    if cfg.accelerator in ("gpu", "cuda") and not gpus:
        raise ConfigError(f"accelerator={cfg.accelerator}, but there is no GPU", "use cpu")
    if cfg.accelerator == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("accelerator=mps, but there is no Apple GPU", "use cpu")
    on_gpu = gpus > 0 and cfg.accelerator in ("auto", "gpu", "cuda")
    devices = cfg.get("devices", 1)
    if devices == "auto":
        return gpus if on_gpu else 1
    if on_gpu and devices > gpus:
        raise ConfigError(f"devices={devices}, but there are {gpus} GPUs", f"give at most {gpus}")
    return int(devices)


def images_per_pass(cfg: DictConfig) -> int:
    """Images per device and forward pass, of the global batch.

    Raises:
        ConfigError: The batch does not divide over devices and accumulated passes.
    """
    processes = device_count(cfg) * node_count(cfg)
    parts = processes * int(cfg.accumulate)
    if cfg.batch_size % parts:
        raise ConfigError(
            f"batch_size={cfg.batch_size} does not divide over {processes} devices x "
            f"{cfg.accumulate} accumulated passes",
            f"give a multiple of {parts}",
        )
    return int(cfg.batch_size) // parts


def node_count(cfg: DictConfig) -> int:
    """Machines that the run uses."""
    return int(cfg.get("num_nodes", 1))


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
        cfg: Gives accelerator, devices and precision.
        callbacks: Of the command.
        loggers: Of the command.
        extra: More arguments of the Trainer, from the user.
        options: More arguments of the Trainer, from the command.

    Raises:
        ConfigError: The devices are not there, or an extra argument is unknown or taken.
    """
    devices = device_count(cfg)
    on_cpu = cfg.accelerator == "cpu" or not (
        torch.cuda.is_available() or torch.backends.mps.is_available()
    )
    if on_cpu and str(cfg.precision) == "16-mixed":
        raise ConfigError("precision=16-mixed needs a GPU", "use bf16-mixed or 32")
    # Lightning greets with tips and with a deprecation of its own making.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
    warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty")
    several = devices * node_count(cfg) > 1
    settings: dict[str, Any] = {
        "accelerator": cfg.accelerator,
        "devices": devices,
        "num_nodes": node_count(cfg),
        "strategy": "ddp" if several else "auto",
        "precision": str(cfg.precision),
        "sync_batchnorm": several and not on_cpu,
        "callbacks": callbacks,
        "logger": loggers or False,
        "plugins": [AtomicCheckpointIO()],
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **options,
    }
    for name in extra or {}:
        if name not in TRAINER_ARGUMENTS:
            raise ConfigError(
                f"trainer.{name} can't be set", f"use one of {', '.join(TRAINER_ARGUMENTS)}"
            )
    try:
        return L.Trainer(**settings, **(extra or {}))
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise ConfigError(f"the Trainer refuses its arguments ({error})", "change them") from None
