"""Compare the parameters of a framework's network with those of a row of `published=`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from gcseg.builders import model as build
from gcseg.weights import describe
from gcseg.weights.architecture import empty_state, without_values
from gcseg.zoo.published import Record

SHOWN = {"dropout", "pooled_channels", "attention_channels"}
"""Settings of heads that may be read as another value of the same effect."""


def differences(
    record: Record, config: Mapping[str, Any], state: Mapping[str, Tensor]
) -> list[str]:
    """Return how the parameters that gcseg reads differ from the row's network's.

    Args:
        record: The published network.
        config: Settings of the row.
        state: The framework's parameters and buffers by its names; their values do not matter.
    """
    with without_values():
        ours = build.model(OmegaConf.create(config), record.architecture["num_classes"])
    described = describe(
        state,
        variant=record.architecture["variant"],
        align_corners=record.architecture["align_corners"],
    )
    theirs = {name: tuple(one.shape) for name, one in empty_state(described).items()}
    here = {name: tuple(one.shape) for name, one in ours.state_dict().items()}
    found = [
        f"{name} {theirs.get(name)}, here {here.get(name)}"
        for name in theirs.keys() | here.keys()
        if theirs.get(name) != here.get(name)
    ]
    for key, value in described.head.items() if described.head else ():
        if key in config["head"] and key not in SHOWN and config["head"][key] != value:
            found.append(f"head.{key} is read as {value}, here {config['head'][key]}")
    read = sum(state[name].numel() for name in described.names.values())
    count = sum(one.numel() for name, one in ours.state_dict().items() if "num_batches" not in name)
    batches = sum(state[name].numel() for name in described.names.values() if "num_batches" in name)
    if read - batches != count:
        found.append(f"{read - batches:,} numbers, here {count:,}")
    return sorted(found)
