"""From a composed configuration to the objects that it describes."""

from __future__ import annotations

import inspect
import logging
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from hydra.utils import get_method
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from torch import nn

from gcseg.data.augment import evaluation_pipeline, training_pipeline
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.engine.checkpoints import AtomicCheckpointIO
from gcseg.engine.module import SegmentationModule
from gcseg.errors import ConfigError
from gcseg.inference import Augmentation, Fit, SlidingWindow, scaled_size
from gcseg.models import Segmentor
from gcseg.settings import plain

TRAINER_ARGUMENTS = (
    "benchmark", "detect_anomaly", "deterministic", "gradient_clip_algorithm",
    "gradient_clip_val", "max_time", "profiler",
)  # fmt: skip
"""Arguments of Lightning's Trainer that are the user's; the others would change what is scored."""


def model(cfg: DictConfig, num_classes: int) -> Segmentor:
    """Build the network of `cfg.backbone`, `cfg.head` and `cfg.auxiliary_head`."""
    backbone = _instantiate(cfg.backbone, without=("name", "pretrained"))
    head = _instantiate(
        cfg.head,
        without=("name", "align_corners"),  # of the whole network
        in_channels=backbone.channels[3],
        num_classes=num_classes,
    )
    auxiliary_head = _instantiate(
        cfg.auxiliary_head, in_channels=backbone.channels[2], num_classes=num_classes
    )
    align_corners = cfg.head.get("align_corners", False)
    return Segmentor(backbone, head, auxiliary_head, align_corners=align_corners)


def _instantiate(cfg: DictConfig, *, without: Sequence[str] = ("name",), **arguments: Any) -> Any:
    """Call `cfg._target_` with the settings beside it. None where the target is null.

    Args:
        cfg: The settings.
        without: Settings that are not the target's.
        arguments: Of the target, beside the settings.

    Raises:
        ConfigError: There is no such target, or it does not take one of the settings.
    """
    settings = {key: value for key, value in plain(cfg).items() if key not in without}
    if settings.get("_target_") is None:
        return None
    # Called here and not by Hydra, which would wrap the exceptions of what it calls.
    try:
        target = get_method(settings.pop("_target_"))
    except (ImportError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"_target_={cfg._target_} can't be found ({reason})", "give what Python can import"
        ) from None
    try:
        inspect.signature(target).bind(**settings, **arguments)
    except TypeError as error:
        raise ConfigError(
            f"{cfg._target_}: {error}",
            f"it takes {', '.join(inspect.signature(target).parameters)}",
        ) from None
    try:
        return target(**settings, **arguments)
    except ValueError as error:
        raise ConfigError(f"{cfg._target_}: {error}", "see its documentation") from None


def dataset(cfg: DictConfig, split: str) -> SegmentationDataset:
    """Read one split of `cfg.dataset`."""
    result: SegmentationDataset = _instantiate(
        cfg.dataset.reader, root=cfg.dataset.root, split=split
    )
    return result


def training_augmentation(cfg: DictConfig, train: SegmentationDataset) -> Any:
    """Build the pipeline of `cfg.augment` and check that its crop fits the pictures.

    Raises:
        ConfigError: Even at the largest scale the first picture is smaller than the crop, or
            albumentations refuses an extra transform.
    """
    crop, augment = plain(cfg.dataset.crop), plain(cfg.augment)
    scale = augment["scale"]
    scale["fit"] = _fit("augment.scale.fit", scale.get("fit"))
    image, _ = train.read(0)
    height, width, _ = image.shape
    largest = scaled_size(height, width, scale["max"], scale["fit"])
    for side, size, most in zip(("height", "width"), (height, width), largest, strict=True):
        if crop[side] > most:
            raise ConfigError(
                f"dataset.crop.{side}={crop[side]} is larger than pictures of {side} {size} "
                f"become at augment.scale.max={scale['max']}",
                f"give at most {most}",
            )
    usual = {"_target_": "gcseg.data.augment.color_distortion"}
    color = augment["color"] and OmegaConf.create({**usual, **augment["color"]})
    augment["color"] = color and _instantiate(color)
    augment["extra"] = [_transform(cfg, name) for name in augment["extra"]]
    try:
        return training_pipeline(**crop, **plain(cfg.normalize), **augment)
    except ValueError as error:
        raise ConfigError(f"augment: {error}", "see conf/augment/published.yaml") from None


def _transform(cfg: DictConfig, name: str) -> Any:
    """Build one of `cfg.augment.extra`; albumentations only warns of arguments it does not know."""
    settings = cfg.augment.extra[name]
    # What a rotation brings in from outside the picture has no class.
    fills = "fill_mask" in inspect.signature(get_method(settings._target_)).parameters
    filling: dict[str, Any] = {}
    if fills and "fill_mask" not in settings:
        filling = {"fill_mask": IGNORE_INDEX}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return _instantiate(settings, **filling)
    except UserWarning as error:
        raise ConfigError(f"augment.extra.{name}: {error}", "see its documentation") from None


def evaluation_preprocessing(cfg: DictConfig) -> Any:
    """Build the preprocessing of evaluation: normalisation and, by protocol, padding."""
    none = {"height": 0, "width": 0}
    pad = cfg.dataset.get("pad", none) if cfg.protocol.resize == "pad" else none
    return evaluation_pipeline(
        **plain(cfg.normalize), pad_height=pad["height"], pad_width=pad["width"]
    )


def fit(cfg: DictConfig) -> Fit | None:
    """Into what the protocol resizes images of this dataset, or None for their own size."""
    return (
        _fit("dataset.fit", plain(cfg.dataset).get("fit")) if cfg.protocol.resize == "fit" else None
    )


def _fit(key: str, sizes: Any) -> Fit | None:
    """A rectangle to fit images into; null, or two nulls, stand for their own size."""
    if sizes is None or sizes == {"long": None, "short": None}:
        return None
    try:
        return Fit(**sizes)
    except TypeError:
        raise ConfigError(f"{key}={sizes}", "give {long: pixels, short: pixels} or null") from None


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
        return _instantiate(cfg.optim, parameters=parameters, iters=cfg.iters)

    return SegmentationModule(
        network,
        classes,
        optimizer=optimizer if "optim" in cfg else None,
        auxiliary_weight=cfg.get("auxiliary_weight", 0.0),
        count_ignored=cfg.get("count_ignored", False),
        average=cfg.tta.average,
        window=window(cfg),
        fit=fit(cfg),
        channels_last=cfg.channels_last,
    )


def loggers(cfg: DictConfig, folder: Path, config: dict[str, Any]) -> list[Logger]:
    """The loggers of `cfg.logger`, beside metrics.csv."""
    logger = _instantiate(cfg.logger, folder=folder, config=config)
    return [logger] if logger else []


def worker_count(cfg: DictConfig) -> int:
    """Loader processes per training process."""
    if cfg.num_workers != "auto":
        return int(cfg.num_workers)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(8, (cores or 1) // device_count(cfg)))


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
