"""From a composed configuration to networks, Lightning's objects and what evaluation does."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from torch import nn

from gcseg.build_data import rectangle
from gcseg.data.parallel import available_cores
from gcseg.engine.checkpoints import AtomicCheckpointIO
from gcseg.engine.module import SegmentationModule
from gcseg.errors import ConfigError
from gcseg.inference import Augmentation, Fit, SlidingWindow
from gcseg.instantiate import instantiate
from gcseg.models import Segmentor
from gcseg.settings import plain

TRAINER_ARGUMENTS = (
    "benchmark", "detect_anomaly", "deterministic", "gradient_clip_algorithm",
    "gradient_clip_val", "max_time", "profiler",
)  # fmt: skip
"""Arguments of Lightning's Trainer that are the user's; the others would change what is scored."""


def model(cfg: DictConfig, num_classes: int) -> Segmentor:
    """Build the network of `cfg.backbone`, `cfg.head` and `cfg.auxiliary_head`."""
    backbone = instantiate(cfg.backbone, without=("name", "pretrained"))
    head = instantiate(
        cfg.head,
        without=("name", "align_corners"),  # of the whole network
        in_channels=backbone.channels[3],
        num_classes=num_classes,
    )
    auxiliary_head = instantiate(
        cfg.auxiliary_head, in_channels=backbone.channels[2], num_classes=num_classes
    )
    align_corners = cfg.head.get("align_corners", False)
    return Segmentor(backbone, head, auxiliary_head, align_corners=align_corners)


def fit(cfg: DictConfig) -> Fit | None:
    """Into what the protocol resizes images of this dataset, or None for their own size."""
    if cfg.protocol.resize != "fit":
        return None
    return rectangle("dataset.fit", plain(cfg.dataset).get("fit"))


def modes(cfg: DictConfig) -> dict[str, Augmentation]:
    """The modes of test-time augmentation of `cfg.tta`."""
    return {name: Augmentation(**mode) for name, mode in plain(cfg.tta)["modes"].items()}


def window(cfg: DictConfig) -> SlidingWindow | None:
    """The sliding window of `cfg.inference`, or None for whole images."""
    if cfg.inference.window is None:
        return None
    sizes = plain(cfg.inference.window)
    for side in ("height", "width"):
        if sizes[f"stride_{side}"] is None:
            sizes[f"stride_{side}"] = max(round(sizes[side] * 2 / 3), 1)
    return SlidingWindow(**sizes)


def module(cfg: DictConfig, classes: tuple[str, ...]) -> SegmentationModule:
    """Build the LightningModule, with an optimizer if the configuration has one."""
    network = model(cfg, len(classes))
    if cfg.get("compile"):
        network.compile()

    def optimizer(parameters: Iterable[nn.Parameter]) -> Any:
        return instantiate(cfg.optim, parameters=parameters, iters=cfg.iters)

    return SegmentationModule(
        network,
        classes,
        optimizer=optimizer if "optim" in cfg else None,
        auxiliary_weight=cfg.get("auxiliary_weight", 0.0),
        class_weights=class_weights(cfg, classes),
        count_ignored=cfg.get("count_ignored", False),
        average=cfg.tta.average,
        window=window(cfg),
        fit=fit(cfg),
        channels_last=cfg.channels_last,
    )


def class_weights(cfg: DictConfig, classes: tuple[str, ...]) -> list[float] | None:
    """The loss's weights of the classes, or None.

    Raises:
        ConfigError: There is not one for each class.
    """
    weights = cfg.get("class_weights")
    if weights is None:
        return None
    if len(weights) != len(classes):
        raise ConfigError(
            f"class_weights has {len(weights)} numbers for {len(classes)} classes",
            f"give one each for {', '.join(classes)}",
        )
    return [float(weight) for weight in weights]


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
