"""Settings of a network's parts by the names and shapes of their tensors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gcseg.errors import WeightsError
from gcseg.models.defaults import DEFAULTS, HEADS
from gcseg.models.resnets import DEPTHS, VARIANTS, Bottleneck
from gcseg.system.text import brief, shown
from gcseg.weights.context_blocks import inserted_context
from gcseg.weights.heads import KNOWN_HEADS
from gcseg.weights.heads.known import KnownHead, whole_numbers
from gcseg.weights.names import KeyMap, Shapes
from gcseg.weights.records import REMEDY

Node = dict[str, Any]

# Settings that a file may record and its weights do not show: a test of each, and it in words.
CAN_BE: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "output_stride": (lambda value: type(value) is int and value in (8, 16, 32), "8, 16 or 32"),
    "multi_grid": (
        lambda value: value is None or (whole_numbers(1, 16)[0](value) and len(value) == 3),
        "a list of three whole numbers from 1 to 16, or null",
    ),
    "dropout": (lambda value: type(value) in (int, float) and 0 <= value < 1, "a fraction"),
    "align_corners": (lambda value: type(value) is bool, "true or false"),
}

_BLOCK = re.compile(r"backbone\.layer([0-9]+)\.([0-9]+)\.")


def depth_of(names: Iterable[str]) -> int | None:
    """Return the depth of the ResNet that has these parameters; None if there is none."""
    if "backbone.stem.0.weight" not in names:
        return None
    blocks = {match.groups() for name in names if (match := _BLOCK.match(name))}
    counts = Counter(int(stage) for stage, _ in blocks)
    widens = "backbone.layer1.0.conv3.weight" in names
    for depth, (block, wanted) in DEPTHS.items():
        if (block is Bottleneck) == widens and counts == dict(enumerate(wanted, start=1)):
            return depth
    return None


def backbone_of(
    keys: KeyMap, shapes: Shapes, variant: str | None, said: Mapping[str, Any]
) -> tuple[Node, tuple[str, ...]]:
    """Return the settings of the backbone, and all variants that it may be.

    Raises:
        WeightsError: If it is of no known variant, or not of the given one.
    """
    depth = depth_of(shapes)
    first = shapes["backbone.stem.0.weight"]
    stem = "7x7" if first[-1] == 7 else "3x3"
    # The shortcut's convolution comes second, after the pool, or first.
    pooled = len(shapes.get("backbone.layer2.0.downsample.1.weight", ())) == 4
    widens = "backbone.layer1.0.conv3.weight" in shapes
    projects = any(name.startswith("backbone.layer1.0.downsample.") for name in shapes)
    fitting = tuple(
        name
        for name in keys.variants
        if (known := VARIANTS[name]).stem == stem
        and known.pooled_shortcut == pooled
        and (widens or known.always_project == projects)
    )
    if not fitting:
        raise WeightsError(
            f"{keys.source} r{depth} has an unknown variant, with a {stem} stem",
            f"give one of variant {' or '.join(keys.variants)}",
        )
    if said.get("variant") in fitting:
        fitting = (said["variant"],)
    variant = variant or fitting[0]
    if variant not in fitting:
        raise WeightsError(
            f"{keys.source} r{depth} does not have variant {variant}",
            f"give {' or '.join(fitting)}",
        )
    node = {
        "name": f"r{depth}",
        "_target_": "gcseg.models.resnet",
        "depth": depth,
        "variant": variant,
        "output_stride": said.get("output_stride", DEFAULTS["backbone"]["output_stride"]),
        "pretrained": None,
    }
    if said.get("multi_grid") is not None:
        node["multi_grid"] = list(said["multi_grid"])
    if first[1] != 3:
        node["in_channels"] = first[1]
    recorded = said.get("context")
    recorded = recorded if isinstance(recorded, Mapping) else {}
    if (inserted := inserted_context(shapes, recorded)) is not None:
        node["context"] = inserted
    return node, fitting


def head_of(shapes: Shapes, said: Mapping[str, Any]) -> Node | None:
    """Return the settings of the head; None if there is none.

    Raises:
        WeightsError: If no head can have the recorded settings.
    """
    known = next((head for head in KNOWN_HEADS if f"head.{head.mark}.weight" in shapes), None)
    if known is None or channels_of(shapes, "head.classifier") is None:
        return None
    shown_by_weights = known.settings(shapes, said)
    name = shown_by_weights["name"]
    usual = HEADS[name]
    settings = {**usual, **_recorded(known, said, usual), **shown_by_weights}
    order = ("name", "_target_", *usual, "context")
    return {key: settings[key] for key in order if key in settings}


def _recorded(
    known: KnownHead, said: Mapping[str, Any], usual: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the recorded settings of a head that its weights do not show.

    Raises:
        WeightsError: If one of them has a value that it can't have.
    """
    for key, (can_be, wanted) in known.unseen.items():
        if key in said and not can_be(said[key]):
            raise WeightsError(
                f"the file's record says head.{key}={shown(brief(said[key]))}, but that is "
                f"{wanted}",
                REMEDY,
            )
    keys = {*known.unseen, *CAN_BE} & usual.keys() & said.keys()
    return {key: said[key] for key in keys}


def auxiliary_head_of(shapes: Shapes, said: Mapping[str, Any]) -> Node:
    """Return the settings of the auxiliary head."""
    conv = shapes.get("auxiliary_head.conv.0.weight")
    if conv is None:
        return {"_target_": None}
    return {
        "_target_": "gcseg.models.AuxiliaryHead",
        "channels": None if conv[0] == conv[1] // 4 else conv[0],
        "conv_bias": "auxiliary_head.conv.0.bias" in shapes,
        "dropout": said.get("dropout", DEFAULTS["auxiliary_head"]["dropout"]),
    }


def channels_of(shapes: Shapes, module: str) -> int | None:
    """Return the output channels of a convolution; None if it is missing."""
    shape = shapes.get(f"{module}.weight")
    return None if shape is None else shape[0]
