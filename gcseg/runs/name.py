"""What a training is named by: that which decides its weights, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gcseg.config.checks import fingerprint, plain
from gcseg.system.files import sha256_of

if TYPE_CHECKING:
    from gcseg.data.datasets import SegmentationDataset

NEUTRAL = {"dataset.reader.draw": True}
"""Settings that are younger than the first release, with the value at which they change nothing.
They are left out of the fingerprint then, so that runs keep their names."""


def run_name(cfg: DictConfig, train_set: SegmentationDataset, weights: Mapping[str, Path]) -> str:
    """The name of a training, ending in a fingerprint of what decides its weights."""
    names = f"{cfg.backbone.name}-{cfg.head.name}-{cfg.dataset.name}"
    settings = {
        **training_settings(cfg),
        "data": _identity(train_set),
        "weights": {part: sha256_of(path) for part, path in weights.items()},
    }
    return f"{names}-{cfg.iters}it-s{cfg.seed}-{fingerprint(settings)}"


def training_settings(cfg: DictConfig) -> dict[str, Any]:
    """The settings that decide the trained weights: not where data lies or how it is scored."""
    settings = {
        key: value
        for key, value in leave_out_neutral(plain(cfg)).items()
        if key in ("backbone", "head", "auxiliary_head", "auxiliary_weight", "class_weights",
                   "count_ignored", "dataset", "augment", "augment_on", "sampling", "normalize",
                   "optim", "iters", "batch_size", "precision", "seed", "trainer")
    }  # fmt: skip
    if cfg.ema.decay is not None:  # best.ckpt is the average's
        settings["ema"] = {"decay": float(cfg.ema.decay), "warmup": cfg.ema.warmup}
    if cfg.accumulate > 1:  # batch norm sees the images of one pass
        settings["accumulate"] = cfg.accumulate
    settings["backbone"].pop("pretrained", None)  # the weights themselves count, not their place
    dataset = settings["dataset"]
    settings["dataset"] = {key: dataset[key] for key in ("name", "reader", "crop")}
    settings["dataset"]["split"] = dataset["splits"]["train"]
    sampling = {key: float(value) for key, value in settings["sampling"].items() if value}
    if not sampling.keys() & {"rare_crop", "copy_paste"}:
        del sampling["temperature"]  # of no effect
    settings["sampling"] = sampling
    if settings["class_weights"] is not None:
        settings["class_weights"] = [float(weight) for weight in settings["class_weights"]]
    settings["trainer"] = {
        key: value for key, value in settings["trainer"].items() if key.startswith("gradient_")
    }
    return settings


def leave_out_neutral(settings: dict[str, Any]) -> dict[str, Any]:
    """The same plain settings, from which those of `NEUTRAL` that change nothing are removed."""
    for name, neutral in NEUTRAL.items():
        node: Any = settings
        *groups, key = name.split(".")
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if isinstance(node, dict) and node.get(key) is neutral:
            del node[key]
    return settings


def _identity(train_set: SegmentationDataset) -> dict[str, Any]:
    """Classes and pictures of a training split, wherever it lies."""
    space = train_set.label_space
    return {
        "classes": space.names,
        "values": sorted(space.values.items()),
        "pictures": [pair.name for pair in train_set.pairs],
    }
