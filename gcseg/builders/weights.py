"""The weights that a training starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gcseg.config.trained import find_checkpoint
from gcseg.errors import WeightsError
from gcseg.zoo import catalogue

if TYPE_CHECKING:
    from gcseg.models import Segmentor

_MOST_SKIPPED = 100
"""Parameters that are named one by one."""


def find_starting_weights(cfg: DictConfig) -> dict[str, Path]:
    """The files that training starts from: of a whole network, or of its backbone, or none.

    Raises:
        WeightsError: There is no such file, or no such name in the catalogue.
        DownloadError: It can't be fetched.
    """
    if cfg.checkpoint is not None:  # which holds a backbone too
        return {"checkpoint": find_checkpoint(cfg.checkpoint)}
    pretrained = cfg.backbone.get("pretrained")
    return {} if pretrained is None else {"backbone": catalogue.resolve(pretrained)}


def load_starting_weights(
    model: Segmentor, weights: Mapping[str, Path], cfg: DictConfig
) -> list[str]:
    """Load what training starts from.

    Returns:
        Lines for the user: what was loaded, and what starts from random weights.

    Raises:
        WeightsError: The weights do not fit the network.
    """
    from gcseg.weights import load_backbone, load_weights

    lines = []
    for part, path in weights.items():
        if part == "backbone":
            load_backbone(model.backbone, path)
            lines.append(f"backbone: weights of {path}")
        else:
            skipped = load_weights(model, path, strict=cfg.strict, other_classes=True)
            lines.append(f"network: weights of {path}")
            lines += [f"not loaded: {line}" for line in skipped[:_MOST_SKIPPED]]
            if len(skipped) > _MOST_SKIPPED:
                lines.append(f"not loaded: {len(skipped) - _MOST_SKIPPED} more")
        lines += _unlike(cfg.backbone, path)
    return lines


def _unlike(backbone: DictConfig, path: Path) -> list[str]:
    """Lines on what a checkpoint's backbone is and the network's, of the same shapes, is not."""
    from gcseg.weights import describe, own_record, read_checkpoint_file

    content = read_checkpoint_file(path)
    try:
        description = describe(content.tensors, content.extra)
    except WeightsError:  # a network of the user's own
        return []
    known = {"variant": backbone.get("variant") not in description.variants}
    if own_record(content.extra):
        known = {"variant": True, "output_stride": True}
    return [
        f"note: the weights were trained with backbone.{key}={description.backbone[key]}, which "
        f"computes something else than backbone.{key}={backbone[key]}"
        for key in known
        if known[key] and key in backbone and description.backbone[key] != backbone[key]
    ]
