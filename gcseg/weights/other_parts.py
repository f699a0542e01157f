"""Networks with parts that their weights do not show, such as a backbone of timm: their record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from gcseg.models.defaults import HEADS
from gcseg.system.text import brief, shown
from gcseg.weights.heads import known_head
from gcseg.weights.overrides import unusual
from gcseg.weights.records import own_record

TIMM = "gcseg.models.timm_backbone"
_PARTS = ("backbone", "head", "auxiliary_head")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def other_parts(extra: Mapping[str, Any]) -> list[str]:
    """Return the parts of a network that are of timm or user-defined, or don't show, in words.

    Args:
        extra: Other content of a file, see `CheckpointFile`; its record of the training counts.

    Returns:
        Parts such as `backbone convnext_tiny of timm`; none where gcseg knows all of them by their
        weights.
    """
    parts = []
    for name, node in _nodes(extra).items():
        target = str(node.get("_target_"))
        if target == TIMM:
            parts.append(f"{name} {shown(brief(node.get('model')))} of timm")
        elif node.get("_target_") is not None and not target.startswith("gcseg.models."):
            parts.append(f"{name} {shown(brief(target))}")
        elif name == "head" and (own := _other_head(node)) is not None:
            parts.append(f"head {own}")
    return parts


def _other_head(node: Mapping[str, Any]) -> str | None:
    """Return the name of a head of gcseg that its weights do not show; None for another."""
    target = node.get("_target_")
    name = next((name for name, usual in HEADS.items() if usual["_target_"] == target), None)
    return None if name is None or known_head(name) is not None else name


def recorded_overrides(extra: Mapping[str, Any]) -> list[str]:
    """Return the settings of gcseg.train that build a network with a backbone of timm.

    Args:
        extra: See `other_parts`.

    Returns:
        Settings such as `backbone=timm`, without those at their default; empty for a network with
        user-defined parts, which no settings of gcseg build.
    """
    nodes = _nodes(extra)
    if any(not part.endswith(" of timm") for part in other_parts(extra)):
        return []
    return list(_overrides(nodes))


def _overrides(nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    backbone, head = nodes["backbone"], nodes["head"]
    yield "backbone=timm"
    for key, usual in (("model", None), ("output_stride", 32), ("drop_path_rate", 0.0)):
        if backbone.get(key, usual) != usual:
            yield f"backbone.{key}={shown(brief(backbone[key]))}"
    yield f"head={shown(brief(head.get('name')))}"
    yield from unusual("head", head)
    if nodes["auxiliary_head"].get("_target_") is None:
        yield "auxiliary_head=none"


def parameter_count(tensors: Mapping[str, Tensor]) -> int:
    """Return the number of learnt values, without running statistics."""
    return sum(tensor.numel() for name, tensor in tensors.items() if not name.endswith(_STATISTICS))


def _nodes(extra: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the recorded settings of the network's parts."""
    config = own_record(extra).get("config")
    config = config if isinstance(config, Mapping) else {}
    nodes = {name: config.get(name) for name in _PARTS}
    return {name: node if isinstance(node, Mapping) else {} for name, node in nodes.items()}
