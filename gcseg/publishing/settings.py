"""Settings of a training without what is only of its machine and its user."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from gcseg.zoo import catalogue

KEPT = ("backbone", "head", "auxiliary_head", "dataset", "protocol", "normalize", "inference",
        "augment", "augment_on", "loss", "auxiliary_weight", "class_weights", "count_ignored",
        "optim", "sampling", "ema", "iters", "batch_size", "accumulate", "seed", "precision",
        "channels_last", "monitor", "patience", "limit_val", "val_every", "skip_not_finite",
        "checkpoint", "strict", "trainer")  # fmt: skip
"""Settings that a published folder has: the network, its protocol and its recipe."""

_OF_MACHINE = {"dataset": ("cache", "cache_folder")}
"""Settings of kept groups that are only of a machine."""

_PRIVATE = re.compile(r"(^|[\s,:={\[(\"'])([~/](?=\S)|\\\\|[A-Za-z]:[\\/])")
"""Begin of an absolute path, also within a text, such as a list or an address."""

_WEIGHTS = ("checkpoint", "backbone.pretrained")
"""Settings that name weights: a name of the catalogue, or a file."""


def shareable(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the settings of a training that may be shared.

    No path in them is absolute or leads up. `dataset.root` is where datasets are by default.

    Args:
        config: Resolved settings of the training, plain values.

    Returns:
        The settings, and lines on what was replaced and what was left out.
    """
    replaced: list[str] = []
    kept = {name: value for name, value in config.items() if name in KEPT}
    root = config["dataset"]["root"]
    for group, names in _OF_MACHINE.items():
        kept[group] = {name: value for name, value in kept[group].items() if name not in names}
    kept = {name: _shared(value, name, str(root), replaced) for name, value in kept.items()}
    usual = default_root(str(kept["dataset"]["name"]))
    replaced = [line for line in replaced if not line.startswith("dataset.root")]
    if root != usual:
        replaced.insert(0, f"dataset.root is now {usual}")
    kept["dataset"]["root"] = usual
    notes = [f"in the settings, {line}" for line in replaced]
    others = sorted(name for name in config if name not in KEPT)
    others += [f"{group}.{name}" for group, names in _OF_MACHINE.items()
               for name in names if name in config[group]]  # fmt: skip
    if others:
        notes.append(f"left out of the settings: {', '.join(others)}")
    return kept, notes


def default_root(name: str) -> str:
    """Return where a dataset is by default, relative to the working folder.

    Args:
        name: Name of the dataset.
    """
    return f"data/{name}"


def _shared(value: Any, name: str, root: str, replaced: list[str]) -> Any:
    if isinstance(value, dict):
        return {
            _shared(key, f"a name in {name}", root, replaced): _shared(
                one, f"{name}.{key}", root, replaced
            )
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [_shared(one, name, root, replaced) for one in value]
    if not isinstance(value, str):
        return value
    shared = _of_weights(value) if name in _WEIGHTS else _relative(value, root)
    if shared != value:
        replaced.append(f"{name} is now {shared}")
    return shared


def _of_weights(value: str) -> str:
    """Return a name of the catalogue or of the hub as it is, and the name of any other file."""
    known = any(record.name.startswith(value) for record in catalogue.records())
    return value if known or value.startswith("hf://") else _last(value)


def _relative(value: str, root: str) -> str:
    """Return a path below the dataset's root relative to it, and of other paths the last part."""
    if not _is_private(value):
        return value
    path = PurePosixPath(posixpath.normpath(value))
    if path.is_absolute() and root and path.is_relative_to(posixpath.normpath(root)):
        return path.relative_to(posixpath.normpath(root)).as_posix()
    return _last(value)


def _is_private(value: str) -> bool:
    """Return whether a text has a path that says where it is on a machine, or an address."""
    return ".." in re.split(r"[\\/]", value) or _PRIVATE.search(value) is not None or "://" in value


def _last(value: str) -> str:
    """Return what follows the last separator."""
    last = re.split(r"[\\/]", value.rstrip("\\/"))[-1].strip(" ,:={}[]()")
    return "file" if last in ("", ".", "..", "~") else last.lstrip("~")
