"""Default settings of networks, read from the constructors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from gcseg.models.context import (
    DisentangledNonLocalBlock,
    GlobalContextBlock,
    NonLocalBlock,
    SimplifiedNonLocalBlock,
    SqueezeExcitationBlock,
)
from gcseg.models.heads import (
    AuxiliaryHead,
    CCNetHead,
    DANetHead,
    DeepLabV3PlusHead,
    FCNHead,
    GCHead,
    OCRHead,
    PSPHead,
    UPerNetHead,
)
from gcseg.models.insertion import insert_context
from gcseg.models.resnets import resnet
from gcseg.models.segmentor import Segmentor

_NO_SETTINGS = {"in_channels", "checkpoint_activations", "multi_grid"}
"""Arguments that depend on data or memory and do not belong to a network's description, and one
that conf/ leaves out."""


def _defaults(constructor: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(constructor).parameters.values()
    return {
        parameter.name: _plain(parameter.default)
        for parameter in parameters
        if parameter.default is not parameter.empty and parameter.name not in _NO_SETTINGS
    }


def _plain(value: Any) -> Any:
    """Return a default as it stands in YAML, which has lists and no tuples."""
    return list(value) if isinstance(value, tuple) else value


HEAD_CLASSES: Mapping[str, type[nn.Module]] = {
    "gc": GCHead,
    "fcn": FCNHead,
    "psp": PSPHead,
    "danet": DANetHead,
    "ccnet": CCNetHead,
    "deeplabv3plus": DeepLabV3PlusHead,
    "upernet": UPerNetHead,
    "ocr": OCRHead,
}
"""Heads by their names in conf/head."""

_ALIGN_CORNERS = inspect.signature(Segmentor).parameters["align_corners"].default

HEADS: Mapping[str, Mapping[str, Any]] = {
    name: {
        "_target_": f"gcseg.models.{head.__name__}",
        **{key: value for key, value in _defaults(head).items() if key != "context"},
        "align_corners": _ALIGN_CORNERS,
        **({"asymmetric": False} if name in ("fcn", "danet") else {}),
    }
    for name, head in HEAD_CLASSES.items()
}
"""Default settings of each head; conf/head has the same."""

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "backbone": _defaults(resnet),
    "head": {key: value for key, value in HEADS["gc"].items() if key != "_target_"},
    "auxiliary_head": _defaults(AuxiliaryHead),
}
"""Default settings by part of the network; conf/ and `gcnet` have the same."""

CONTEXT_CLASSES: Mapping[str, type[nn.Module]] = {
    "gc": GlobalContextBlock,
    "nl": NonLocalBlock,
    "snl": SimplifiedNonLocalBlock,
    "se": SqueezeExcitationBlock,
    "dnl": DisentangledNonLocalBlock,
}
"""Context blocks by their names in conf/context."""

CONTEXT_BLOCKS: Mapping[str, Mapping[str, Any]] = {
    name: {"_target_": f"gcseg.models.{block.__name__}", **_defaults(block)}
    for name, block in CONTEXT_CLASSES.items()
}
"""Default settings of each context block; conf/context has the same."""

_PLACES = inspect.signature(insert_context).parameters

INSERTED_BLOCKS: Mapping[str, Mapping[str, Any]] = {
    name: {
        **usual,
        **({"ratio": 0.0625} if name == "gc" else {}),
        "position": _PLACES["position"].default,
        "stages": list(_PLACES["stages"].default),
        "blocks": _PLACES["blocks"].default,
    }
    for name, usual in CONTEXT_BLOCKS.items()
}
"""Default settings of context blocks in a backbone; conf/backbone/context has the same."""
