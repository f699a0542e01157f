"""From a composed configuration to datasets and their augmentation."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from gcseg.data.augment import evaluation_pipeline, training_pipeline
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.errors import ConfigError
from gcseg.inference import Fit, scaled_size
from gcseg.instantiate import instantiate
from gcseg.settings import plain


def dataset(cfg: DictConfig, split: str) -> SegmentationDataset:
    """Read one split of `cfg.dataset`."""
    result: SegmentationDataset = instantiate(
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
    scale["fit"] = rectangle("augment.scale.fit", scale.get("fit"))
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
    augment["color"] = color and instantiate(color)
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
            return instantiate(settings, **filling)
    except UserWarning as error:
        raise ConfigError(f"augment.extra.{name}: {error}", "see its documentation") from None


def evaluation_preprocessing(cfg: DictConfig) -> Any:
    """Build the preprocessing of evaluation: normalisation and, by protocol, padding."""
    none = {"height": 0, "width": 0}
    pad = cfg.dataset.get("pad", none) if cfg.protocol.resize == "pad" else none
    return evaluation_pipeline(
        **plain(cfg.normalize), pad_height=pad["height"], pad_width=pad["width"]
    )


def rectangle(key: str, sizes: Any) -> Fit | None:
    """A rectangle to fit images into; null, or two nulls, stand for their own size."""
    if sizes is None or sizes == {"long": None, "short": None}:
        return None
    try:
        return Fit(**sizes)
    except TypeError:
        raise ConfigError(f"{key}={sizes}", "give {long: pixels, short: pixels} or null") from None
