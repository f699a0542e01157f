"""The weights that a training starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gcseg.config.trained import find_checkpoint
from gcseg.errors import MismatchError, WeightsError
from gcseg.system.files import at_home
from gcseg.zoo import catalogue, hub

if TYPE_CHECKING:
    from gcseg.models import Segmentor

_MOST_SKIPPED = 100
"""Largest number of parameters that are named one by one."""


def find_starting_weights(cfg: DictConfig) -> dict[str, Path]:
    """Find the files that training starts from: a whole network's, its backbone's, or none.

    Raises:
        WeightsError: There is no such file, or no such name in the catalogue.
        DownloadError: A file can't be downloaded.
    """
    if cfg.checkpoint is not None:  # a checkpoint includes a backbone
        return {"checkpoint": find_checkpoint(cfg.checkpoint)}
    pretrained = cfg.backbone.get("pretrained")
    if pretrained is True:
        from gcseg.zoo.timm_weights import timm_weights

        return {"backbone": timm_weights(cfg.backbone.model)}
    if pretrained is None:
        return {}
    trained = at_home(pretrained).is_dir() or hub.is_on_hub(pretrained)  # whose backbone is taken
    return {"backbone": (find_checkpoint if trained else catalogue.resolve)(pretrained)}


def load_starting_weights(
    model: Segmentor, weights: Mapping[str, Path], cfg: DictConfig
) -> list[str]:
    """Load the starting weights of a training.

    Returns:
        Messages on what was loaded, and what starts from random weights.

    Raises:
        WeightsError: The weights do not fit the network.
    """
    from gcseg.weights import load_backbone, load_weights
    from gcseg.weights.stem import ADAPTED

    lines = []
    freeze = cfg.backbone.get("freeze", "none")
    if not weights and freeze != "none":
        lines.append(
            f"warning: backbone.freeze={freeze} keeps random weights as they are: give "
            "backbone.pretrained= or checkpoint="
        )
    for part, path in weights.items():
        if part == "backbone":
            adapted = load_backbone(model.backbone, path)
            lines += [f"backbone: weights of {path}", *_other_normalisation(cfg)]
            lines += adapted
        else:
            try:
                skipped = load_weights(model, path, strict=cfg.strict, other_classes=True)
            except MismatchError as error:
                raise WeightsError(
                    error.cause, f"{error.remedy}, or load the weights that fit with strict=false"
                ) from None
            lines.append(f"network: weights of {path}")
            lines += [
                line if line.startswith(ADAPTED) else f"not loaded: {line}"
                for line in skipped[:_MOST_SKIPPED]
            ]
            if len(skipped) > _MOST_SKIPPED:
                lines.append(f"not loaded: {len(skipped) - _MOST_SKIPPED} more")
        lines += _unlike(cfg.backbone, path)
    return lines


def _other_normalisation(cfg: DictConfig) -> list[str]:
    """Describe how pictures are normalised otherwise than for timm's weights, if they are."""
    from gcseg.models.timm_backbones import timm_backbone
    from gcseg.zoo.timm_weights import normalisation_note

    if cfg.backbone._target_ != f"gcseg.models.{timm_backbone.__name__}":
        return []
    note = normalisation_note(cfg.backbone.model, cfg.normalize.mean, cfg.normalize.std)
    return [] if note is None else [note]


def _unlike(backbone: DictConfig, path: Path) -> list[str]:
    """Describe differences of a checkpoint's backbone from the network's that shapes don't show."""
    from gcseg.weights import describe, own_record, read_checkpoint_file

    content = read_checkpoint_file(path)
    try:
        description = describe(content.tensors, content.extra)
    except WeightsError:  # a user-defined network
        return []
    known = {"variant": backbone.get("variant") not in description.variants}
    if own_record(content.extra):
        known = {"variant": True, "output_stride": True, "multi_grid": True}
    there = {"multi_grid": None, **description.backbone}
    here = {"multi_grid": None, **backbone}
    return [
        f"note: the weights were trained with backbone.{key}={there[key]}, which "
        f"computes something different from backbone.{key}={here[key]}"
        for key in known
        if known[key] and key in here and there[key] != here[key]
    ]
