"""Identify a head's context block by the names and shapes of its tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

from gcseg.errors import WeightsError
from gcseg.models.defaults import CONTEXT_BLOCKS
from gcseg.system.text import brief, shown
from gcseg.weights.records import REMEDY

Node = dict[str, Any]
Shapes = Mapping[str, torch.Size]

_INSERTED = re.compile(r"backbone\.layer([1-4])\.([0-9]{1,2})\.(after_[a-z0-9]+)\.")

# Settings that a file may record and its weights do not show: a test of each, and it in words.
_CAN_BE: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "pairwise": (
        lambda value: value in ("embedded_gaussian", "dot_product"),
        "embedded_gaussian or dot_product",
    ),
    "scale": (lambda value: type(value) is bool, "true or false"),
    "relu": (lambda value: type(value) is bool, "true or false"),
    "temperature": (lambda value: type(value) in (int, float) and value > 0, "a number above 0"),
}


def context_block(shapes: Shapes, at: str, channels: int, said: Mapping[str, Any]) -> Node | None:
    """Return the settings of a context block as in conf/context; None if there is none.

    Args:
        shapes: Shapes of the network's tensors by gcseg's names.
        at: Name of the block in the network, with a dot at its end.
        channels: Channels of the block's input.
        said: Settings that the file records of the block; those that its weights do not show count.

    Raises:
        WeightsError: If no block can have the recorded settings.
    """
    own = {name.removeprefix(at): shape for name, shape in shapes.items() if name.startswith(at)}
    blocks = {"channel_add_conv.0": _global_context, "channel_mul_conv.0": _global_context,
              "g": _non_local, "conv_value": _simplified, "conv1": _squeeze}  # fmt: skip
    for module, settings in blocks.items():
        if f"{module}.weight" in own:
            return settings(own, channels, _checked(said))
    return None


def inserted_context(shapes: Shapes, said: Mapping[str, Any]) -> Node | None:
    """Return the settings of the context blocks in a backbone as in conf/backbone/context.

    Args:
        shapes: Shapes of the network's tensors by gcseg's names.
        said: See `context_block`.

    Returns:
        The settings; None if there are no such blocks.

    Raises:
        WeightsError: If no network of gcseg has its blocks in these places.
    """
    found = {match.groups() for name in shapes if (match := _INSERTED.match(name))}
    if not found:
        return None
    positions = {position for _, _, position in found}
    chosen: dict[int, set[int]] = {}
    for stage, number, _ in found:
        chosen.setdefault(int(stage), set()).add(int(number))
    counts = {stage: _count(shapes, stage) for stage in chosen}
    numbers = _numbers(chosen, counts)
    if len(positions) > 1 or numbers is None:
        raise WeightsError(
            "the backbone has context blocks in places that no settings describe",
            "give a file of a network that gcseg has trained, or mmsegmentation with one plugin",
        )
    (position,) = positions
    stage, number = min(chosen), min(chosen[min(chosen)])
    at = f"backbone.layer{stage}.{number}."
    wide = position == "after_3x3" or f"{at}conv3.weight" not in shapes
    channels = shapes[f"{at}{'conv2' if wide else 'conv3'}.weight"][0]
    block = context_block(shapes, f"{at}{position}.", channels, said)
    if block is None:
        raise WeightsError("the backbone has context blocks that are not whole", REMEDY)
    return {**block, "position": position, "stages": sorted(chosen), "blocks": numbers}


def _count(shapes: Shapes, stage: int) -> int:
    """Return the number of residual blocks of a stage."""
    numbers = set()
    for name in shapes:
        if name.startswith(beginning := f"backbone.layer{stage}."):
            numbers.add(name.removeprefix(beginning).partition(".")[0])
    return len(numbers)


def _numbers(
    chosen: Mapping[int, set[int]], counts: Mapping[int, int]
) -> list[int] | Literal["all"] | None:
    """Return which residual blocks of every stage are chosen; None if that differs by stage."""
    if all(chosen[stage] == set(range(counts[stage])) for stage in chosen):
        return "all"
    from_first = {tuple(sorted(numbers)) for numbers in chosen.values()}
    if len(from_first) == 1:
        return list(*from_first)
    from_last = {
        tuple(sorted(number - counts[stage] for number in numbers))
        for stage, numbers in chosen.items()
    }
    return list(*from_last) if len(from_last) == 1 else None


def _global_context(own: Shapes, channels: int, _: Mapping[str, Any]) -> Node:
    fusions = {
        fusion: own[name][0]
        for fusion, kind in (("add", "add"), ("multiply", "mul"))
        if (name := f"channel_{kind}_conv.0.weight") in own
    }
    return _block(
        "gc",
        ratio=_ratio(next(iter(fusions.values())), channels),
        pooling="attention" if "conv_mask.weight" in own else "average",
        fusion="+".join(fusions),
        layer_norm=any(f"channel_{kind}_conv.1.weight" in own for kind in ("add", "mul")),
    )


def _non_local(own: Shapes, channels: int, said: Mapping[str, Any]) -> Node:
    name = "dnl" if "conv_mask.weight" in own else "nl"
    settings = {**CONTEXT_BLOCKS[name], **said}
    if "concat_project.weight" in own:
        settings["pairwise"] = "concatenation"
    elif "theta.weight" not in own:
        settings["pairwise"] = "gaussian"
    settings["ratio"] = _ratio(own["g.weight"][0], channels)
    settings["batch_norm"] = "conv_out.1.weight" in own
    return _block(name, **settings)


def _simplified(_own: Shapes, _channels: int, _said: Mapping[str, Any]) -> Node:
    return _block("snl")


def _squeeze(own: Shapes, channels: int, _: Mapping[str, Any]) -> Node:
    return _block("se", ratio=_ratio(own["conv1.weight"][0], channels))


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
                f"the file's record says {key}={shown(brief(value))} of a context block, but that "
                f"is {wanted}",
                REMEDY,
            )
    return found
