"""Read each file of settings once in a process, and copy none of Hydra's schemas.

Hydra reads and parses all files again for each job of a multirun, and copies everything in its
ConfigStore whenever it composes or lists a group.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.plugins.config_source import ConfigResult

_LOADED: dict[object, ConfigResult] = {}
"""Parsed files, by their names and by when they were last changed."""


@contextmanager
def files_read_once() -> Iterator[None]:
    """Let Hydra take what was read before of files that have not changed since."""
    load = ConfigRepository.load_config

    def load_once(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
        key = (config_path, _stamps(repository, config_path))
        if key in _LOADED:
            return copy.deepcopy(_LOADED[key])  # Hydra makes its parts those of the composed one
        loaded = load(repository, config_path)
        if loaded is not None and loaded.path.startswith(("file://", "pkg://")):
            _LOADED[key] = copy.deepcopy(loaded)
        return loaded

    ConfigRepository.load_config = load_once  # type: ignore[assignment, method-assign]
    ConfigRepository.__deepcopy__ = _share_schemas  # type: ignore[attr-defined]
    try:
        yield
    finally:
        ConfigRepository.load_config = load  # type: ignore[method-assign]
        if hasattr(ConfigRepository, "__deepcopy__"):
            del ConfigRepository.__deepcopy__


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
