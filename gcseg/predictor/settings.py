"""The settings that decide predictions, for the record of them."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig

from gcseg import __version__
from gcseg.config.plain import plain
from gcseg.data.label_spaces import LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.system.files import sha256_of

_PLACES = ("checkpoint", "source", "images", "output", "limit", "split", "run_root", "trust",
           "competition")  # fmt: skip


def made_with(
    cfg: DictConfig, checkpoint: Path, space: LabelSpace, values: UInt8Array | None
) -> dict[str, object]:
    """Return what decides the predictions, besides the pictures.

    Args:
        cfg: Settings of the command.
        checkpoint: The checkpoint, of which the content counts.
        space: Classes that it predicts.
        values: 256 pixel values of the masks by class index; None for class indices.
    """
    settings = {key: value for key, value in plain(cfg).items() if key not in _PLACES}
    return {
        **settings,
        "checkpoint": sha256_of(checkpoint),
        "classes": [space.names, space.colors],
        "values of masks": None if values is None else values.tolist(),
        "gcseg": __version__,
        "torch": str(torch.__version__),
    }
