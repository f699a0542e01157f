"""Command-line settings that describe a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gcseg.models.defaults import CONTEXT_BLOCKS, DEFAULTS, HEADS, INSERTED_BLOCKS
from gcseg.weights.architecture import Description


def overrides(description: Description) -> list[str]:
    """Return the settings of gcseg.train that build a network, without those at their default."""
    settings = [f"backbone={description.backbone['name']}"]
    settings += unusual("backbone", description.backbone)
    if "multi_grid" in description.backbone:
        factors = str(description.backbone["multi_grid"]).replace(" ", "")
        settings.append(f"+backbone.multi_grid={factors}")
    if (inserted := description.backbone.get("context")) is not None:
        usual = INSERTED_BLOCKS[inserted["name"]]
        settings.append(f"backbone/context={inserted['name']}")
        settings += _differing("backbone.context", inserted, usual)
    if (channels := description.backbone.get("in_channels", 3)) != 3:
        settings.append(f"dataset.channels={channels}")
    if description.head is None:
        return settings
    settings.append(f"head={description.head['name']}")
    settings += unusual("head", description.head)
    if (block := description.head.get("context")) is not None:
        usual = CONTEXT_BLOCKS[block["name"]]
        settings += [f"context={block['name']}", *_differing("head.context", block, usual)]
    if description.auxiliary_head["_target_"] is None:
        settings.append("auxiliary_head=none")
    else:
        settings += unusual("auxiliary_head", description.auxiliary_head)
    return [*settings, f"protocol={description.protocol}"]


def unusual(group: str, node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings of a part of a network that are not at their default.

    Args:
        group: Name of the part: backbone, head or auxiliary_head.
        node: Settings of the part.
    """
    usual = (
        HEADS.get(str(node.get("name")), DEFAULTS[group]) if group == "head" else DEFAULTS[group]
    )
    yield from _differing(group, node, usual)


def _differing(name: str, node: Mapping[str, Any], usual: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings of a node that differ from the usual ones."""
    for key, default in usual.items():
        if key in node and key != "_target_" and node[key] != default:
            value = str(node[key]).lower() if isinstance(default, bool) else node[key]
            value = str(value).replace(" ", "")  # of lists
            yield f"{name}.{key}={value}"
