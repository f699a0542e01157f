"""Class weights for the loss, by how often classes occur in a split."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gcseg.data.class_index import ClassIndex

Weights = tuple[float | None, ...]
"""Class weights; None where the class never occurs."""


def median_frequency(pixels: Sequence[int], pixels_around: Sequence[int]) -> Weights:
    """Return weights by median frequency balancing.

    A class's frequency is its fraction of the labelled pixels of those images in which it
    occurs; its weight is the median of the classes' frequencies, divided by its own. Source:
    Eigen & Fergus, "Predicting Depth, Surface Normals and Semantic Labels", ICCV 2015,
    section 6.3.2, as SegNet (Badrinarayanan et al., PAMI 2017) takes it for CamVid.

    Args:
        pixels: Number of pixels by class.
        pixels_around: Labelled pixels of any class in the images in which each class occurs.
    """
    pairs = zip(pixels, pixels_around, strict=True)
    frequencies = [count / around if count else None for count, around in pairs]
    occurring = [frequency for frequency in frequencies if frequency is not None]
    median = float(np.median(occurring)) if occurring else 0.0
    return tuple(frequency and median / frequency for frequency in frequencies)


def inverse_log(pixels: Sequence[int]) -> Weights:
    """Return 1 / ln(1.02 + p) for the classes' pixel frequencies p: from 1.4 to 50.

    Source: Paszke et al., "ENet", 2016, section 5.2.

    Args:
        pixels: Number of pixels by class.
    """
    labelled = max(1, sum(pixels))
    frequencies = (count / labelled for count in pixels)
    return tuple(1 / math.log(1.02 + p) if p else None for p in frequencies)


def by_rule(rule: str, index: ClassIndex) -> Weights:
    """Return the weights of a split, rounded as `gcseg.data stats` prints them.

    So they are the same on every machine, and a list that was pasted makes the same training.

    Args:
        rule: `median_frequency`, `inverse_log`, or `auto`, which is `inverse_log`: its weights
            are bounded, however rare a class is.
        index: Class index of the split.
    """
    pixels = index.counts.sum(axis=0)
    if rule == "median_frequency":
        labelled = index.counts.sum(axis=1, keepdims=True)
        around = (labelled * (index.counts > 0)).sum(axis=0)
        weights = median_frequency(pixels.tolist(), around.tolist())
    else:
        weights = inverse_log(pixels.tolist())
    return tuple(weight and float(printed(weight)) for weight in weights)


def printed(weight: float) -> str:
    """Return a weight with four digits."""
    return f"{weight:.4g}"
