"""Identify a head's context block by the names and shapes of its tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from gcseg.errors import WeightsError
from gcseg.models.defaults import CONTEXT_BLOCKS
from gcseg.system.text import brief, shown
from gcseg.weights.records import REMEDY

Node = dict[str, Any]
Shapes = Mapping[str, torch.Size]

_AT = "head.context."

# Settings that a file may record and its weights do not show: a test of each, and it in words.
_CAN_BE: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "pairwise": (
        lambda value: value in ("embedded_gaussian", "dot_product"),
        "embedded_gaussian or dot_product",
    ),
    "scale": (lambda value: type(value) is bool, "true or false"),
    "temperature": (lambda value: type(value) in (int, float) and value > 0, "a number above 0"),
}


def context_block(shapes: Shapes, channels: int, said: Mapping[str, Any]) -> Node | None:
    """Return the settings of a head's context block as in conf/context; None if there is none.

    Args:
        shapes: Shapes of the network's tensors by gcseg's names.
        channels: Channels of the block's input.
        said: Settings that the file records of the block; those that its weights do not show count.

    Raises:
        WeightsError: If no block can have the recorded settings.
    """
    blocks = {"channel_add_conv.0": _global_context, "channel_mul_conv.0": _global_context,
              "g": _non_local, "conv_value": _simplified, "conv1": _squeeze}  # fmt: skip
    for module, settings in blocks.items():
        if f"{_AT}{module}.weight" in shapes:
            return settings(shapes, channels, _checked(said))
    return None


def _global_context(shapes: Shapes, channels: int, _: Mapping[str, Any]) -> Node:
    fusions = {
        fusion: shapes[name][0]
        for fusion, kind in (("add", "add"), ("multiply", "mul"))
        if (name := f"{_AT}channel_{kind}_conv.0.weight") in shapes
    }
    return _block(
        "gc",
        ratio=_ratio(next(iter(fusions.values())), channels),
        pooling="attention" if f"{_AT}conv_mask.weight" in shapes else "average",
        fusion="+".join(fusions),
        layer_norm=any(f"{_AT}channel_{kind}_conv.1.weight" in shapes for kind in ("add", "mul")),
    )


def _non_local(shapes: Shapes, channels: int, said: Mapping[str, Any]) -> Node:
    name = "dnl" if f"{_AT}conv_mask.weight" in shapes else "nl"
    settings = {**CONTEXT_BLOCKS[name], **said}
    if f"{_AT}concat_project.weight" in shapes:
        settings["pairwise"] = "concatenation"
    elif f"{_AT}theta.weight" not in shapes:
        settings["pairwise"] = "gaussian"
    settings["ratio"] = _ratio(shapes[f"{_AT}g.weight"][0], channels)
    settings["batch_norm"] = f"{_AT}conv_out.1.weight" in shapes
    return _block(name, **settings)


def _simplified(_shapes: Shapes, _channels: int, _said: Mapping[str, Any]) -> Node:
    return _block("snl")


def _squeeze(shapes: Shapes, channels: int, _: Mapping[str, Any]) -> Node:
    return _block("se", ratio=_ratio(shapes[f"{_AT}conv1.weight"][0], channels))


def _block(name: str, **settings: Any) -> Node:
    """Return a block's node, with its settings in the order of conf/context."""
    usual = CONTEXT_BLOCKS[name]
    known = {key: settings[key] for key in usual if key in settings}
    return {"name": name, "_target_": usual["_target_"], **known}


def _ratio(hidden: int, channels: int) -> float:
    """Return a fraction of the channels that is exactly so many hidden ones, rounded down."""
    ratio = hidden / channels
    return math.nextafter(ratio, 1) if int(channels * ratio) < hidden else ratio


def _checked(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recorded settings that weights do not show.

    Raises:
        WeightsError: One of them has a value that it can't have.
    """
    found = {key: said[key] for key in _CAN_BE if key in said}
    for key, value in found.items():
        can_be, wanted = _CAN_BE[key]
        shows = key == "pairwise" and value in ("gaussian", "concatenation")
        if not shows and not can_be(value):
            raise WeightsError(
                f"the file's record says head.context.{key}={shown(brief(value))}, but that is "
                f"{wanted}",
                REMEDY,
            )
    return found
