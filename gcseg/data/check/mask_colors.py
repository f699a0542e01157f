"""The share of masks' pixels whose colours no class has, where these are taken for something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gcseg.data.color_masks import NO_CLASS, ColorKey
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.images import DamagedError, UnsuitableError
from gcseg.data.index_masks import read_colors
from gcseg.data.parallel import in_parallel
from gcseg.data.reading import is_tiff
from gcseg.system.terminal import announce

_MOST = 50
"""Largest number of masks that are looked at."""


def tell_of_other_colors(dataset: SegmentationDataset) -> None:
    """Print how much of a split's masks has colours of no class, if these are no error."""
    key = dataset.label_space.key
    if key is None or key.unknown == "error":
        return
    strict = replace(key, unknown="error")
    paths = [pair.label for pair in dataset.pairs if pair.label is not None]
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(_MOST, len(paths))).astype(int))
    shares = list(in_parallel(lambda index: _share(paths[index], strict), chosen.tolist()))
    if share := float(np.mean(shares)):
        what = "take the nearest class" if key.unknown == "nearest" else "are ignored"
        announce(
            f"note: {100 * share:.2g} % of the pixels of {len(chosen)} masks in "
            f"{dataset.labels_description} have colours of no class and {what} "
            f"(dataset.reader.unknown_colors={key.unknown})"
        )


def _share(path: Path, key: ColorKey) -> float:
    """Return the share of a mask's pixels with colours of no class; 0 if it can't be read."""
    try:
        mask = read_colors(path, tiff=is_tiff(path))
    except (DamagedError, UnsuitableError, OSError):  # the check of the labels names it
        return 0.0
    return float((key.class_indices(mask) == NO_CLASS).mean())
