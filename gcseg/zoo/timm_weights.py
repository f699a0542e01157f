"""ImageNet weights of timm's networks, from the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gcseg.errors import WeightsError
from gcseg.zoo.catalogue import cache_folder
from gcseg.zoo.hub import HUB, from_hub

_FILE = "model.safetensors"
"""Name of the weights in the hub's repositories, in a format without code."""


def timm_weights(model: str) -> Path:
    """Return the file of a network's weights in timm's repository on the hub, fetched once.

    Args:
        model: Name in timm's registry, with or without the tag of the weights.

    Raises:
        ConfigError: If timm is missing or does not know the name.
        WeightsError: If timm names no weights on the hub.
        DownloadError: If the file can't be fetched; the message gives its address and the path to
            put it.
    """
    facts = _facts(model)
    repository = facts.get("hf_hub_id")
    if not repository:
        raise WeightsError(
            f"timm names no weights of {model} on the hub",
            "give a file as backbone.pretrained=, or backbone.model= with a tag of weights",
        )
    by_hand = cache_folder() / "timm" / f"{str(repository).rpartition('/')[2]}.safetensors"
    if by_hand.is_file():
        return by_hand
    return from_hub(f"timm's {model}", f"{HUB}{repository}/resolve/main/{_FILE}", by_hand)


def normalisation_note(model: str, mean: Sequence[float], std: Sequence[float]) -> str | None:
    """Describe how the normalisation of pictures differs from that of timm's weights.

    Args:
        model: See `timm_weights`.
        mean: Mean per channel of the pictures' values in 0..1.
        std: Standard deviation per channel.

    Returns:
        One line; None if they agree.
    """
    facts = _facts(model)
    theirs = [list(map(float, facts.get(name) or ())) for name in ("mean", "std")]
    if not all(theirs) or theirs == [list(mean), list(std)]:
        return None
    return (
        f"note: timm's weights of {model} are of pictures with normalize.mean={theirs[0]} "
        f"normalize.std={theirs[1]}, here they are {list(mean)} and {list(std)}"
    )


def _facts(model: str) -> Mapping[str, Any]:
    """Return what timm records of a network's weights."""
    from gcseg.models.timm_backbones import check_timm_name, timm

    check_timm_name(model)
    found = timm().get_pretrained_cfg(model)
    facts: Mapping[str, Any] = {} if found is None else found.to_dict()
    return facts
