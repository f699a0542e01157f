"""Settings as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as plain, resolved Python values."""
    return cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))


def leaves(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """The name of every setting that is not a group of settings."""
    for key in cfg:
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from leaves(node, f"{prefix}{key!s}.")
        else:
            yield f"{prefix}{key!s}"
