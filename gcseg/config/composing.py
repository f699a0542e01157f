"""Let Hydra compose in half the time, and to the same.

It reads and parses all files again for each job of a multirun, copies everything in its ConfigStore
whenever it composes or lists a group, and makes a configuration of all choices for each file, in
case that its defaults name one by `${...}`.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, cast

from hydra._internal import defaults_list
from hydra._internal.config_repository import ConfigRepository
from hydra.core.default_element import InputDefault
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig

_LOADED: dict[object, bytes] = {}
"""Parsed files, by their names and by when they were last changed."""


_load = ConfigRepository.load_config
_map_of_choices = defaults_list._create_interpolation_map
_lock = Lock()
_users = 0


@contextmanager
def composing_quickly() -> Iterator[None]:
    """Let Hydra take what was read before of files that have not changed, and make no copies."""
    global _users
    with _lock:
        _users += 1
        ConfigRepository.load_config = _load_once  # type: ignore[assignment, method-assign]
        ConfigRepository.__deepcopy__ = _share_schemas  # type: ignore[attr-defined]
        defaults_list._create_interpolation_map = _map_if_it_is_used  # type: ignore[assignment]
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                ConfigRepository.load_config = _load  # type: ignore[method-assign]
                del ConfigRepository.__deepcopy__  # type: ignore[attr-defined]
                defaults_list._create_interpolation_map = _map_of_choices


def _load_once(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
    key = (config_path, _stamps(repository, config_path))
    if key in _LOADED:
        # Hydra makes parts of it those of what it composes; copy.deepcopy takes six times as long.
        return cast(ConfigResult, pickle.loads(_LOADED[key]))
    loaded = _load(repository, config_path)
    if loaded is not None and loaded.path.startswith(("file://", "pkg://")):
        _LOADED[key] = pickle.dumps(loaded)
    return loaded


def _stamps(repository: ConfigRepository, config_path: str) -> tuple[object, ...]:
    """Folders that are searched for a file, and when the file in each was last changed."""
    return tuple(
        (source.scheme(), source.path, _stamp(source.path, config_path))
        if source.scheme() == "file"
        else (source.scheme(), source.path)
        for source in repository.sources
    )


def _stamp(folder: str, config_path: str) -> tuple[int, ...]:
    """When a file was last changed, its size and what tells it from others; nothing if absent."""
    name = config_path if config_path.endswith(".yaml") else f"{config_path}.yaml"
    with suppress(OSError):
        status = Path(folder, name).stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return ()


def _share_schemas(repository: ConfigRepository, memo: dict[int, Any]) -> ConfigRepository:
    """Copy a repository, whose list of sources Hydra replaces, without what the sources hold."""
    return copy.copy(repository)


def _map_if_it_is_used(
    overrides: defaults_list.Overrides, defaults: list[InputDefault], self_added: bool
) -> DictConfig | None:
    """Choices that a file's defaults may name; None if none of them names any."""
    if any(default.is_interpolation() for default in defaults):
        return _map_of_choices(overrides, defaults, self_added)
    return None
