"""Pyramid pooling, a part of several heads, in files of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gcseg.errors import WeightsError
from gcseg.models.heads.psp import BINS
from gcseg.weights.heads.known import Node, Test, channels_of, whole_numbers
from gcseg.weights.names import Orders, Shapes
from gcseg.weights.records import REMEDY

UNSEEN: Mapping[str, Test] = {"bins": whole_numbers(1, 64)}
"""Settings of pyramid pooling that the weights do not show."""


def pooling_settings(shapes: Shapes, pooling: str, joining: str, recorded: object) -> Node:
    """Return the settings `bins` and `pooled_channels` of a head.

    Args:
        shapes: Shapes by gcseg's names.
        pooling: Module of the pooling.
        joining: Convolution over the features and the pooled maps.
        recorded: Bins that the file records, which count if they are as many as the weights show.

    Raises:
        WeightsError: If the file records none, and they are not four as in published networks.
    """
    count = _count(shapes, pooling)
    channels = channels_of(shapes, f"{pooling}.projections.0.0")
    joined = (*shapes.get(f"{joining}.weight", ()), 0, 0)[1]
    usual = (joined - count * channels) // count if count else 0
    for bins in (recorded, BINS):
        if isinstance(bins, list | tuple) and len(bins) == count:
            pooled = None if channels == usual else channels
            return {"bins": list(bins), "pooled_channels": pooled}
    raise WeightsError(f"the head pools to {count} sizes, and the file does not say which", REMEDY)


def reversed_maps(shapes: Shapes, pooling: str, joining: str) -> Orders:
    """Return the order in which PaddleSeg joins the pooled maps: the last comes first.

    Args:
        shapes: Shapes by gcseg's names.
        pooling: Module of the pooling.
        joining: Convolution over the features and the pooled maps.
    """
    count = _count(shapes, pooling)
    channels = channels_of(shapes, f"{pooling}.projections.0.0")
    joined = (*shapes.get(name := f"{joining}.weight", ()), 0, 0)[1]
    first = joined - count * channels
    if first < 0:
        return {}
    starts = [first + number * channels for number in reversed(range(count))]
    maps = (channel for start in starts for channel in range(start, start + channels))
    return {name: [*range(first), *maps]}


def pooled_channels(head: Mapping[str, Any], in_channels: int) -> int:
    """Return the channels of each pooled map of a head, by its node."""
    given = head["pooled_channels"]
    return in_channels // len(head["bins"]) if given is None else int(given)


def _count(shapes: Shapes, pooling: str) -> int:
    count = 0
    while f"{pooling}.projections.{count}.0.weight" in shapes:
        count += 1
    return count
