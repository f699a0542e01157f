"""Spare Hydra work that it does again at each start: half a second of --help, a third of eval.

It composes the configuration a first time only to see whether `hydra.mode` asks for a multirun, and
copies all schemas of its ConfigStore whenever it reads a file or lists a group.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra

from gcseg.config.compose import source_folder


@contextmanager
def quicker_hydra(arguments: Iterable[str]) -> Iterator[None]:
    """Let Hydra compose once where the command line leaves `hydra.mode` alone, and copy no schemas.

    Args:
        arguments: The command line, without the command.
    """
    get_mode = Hydra.get_mode
    if not any(map(_may_set_mode, arguments)):
        Hydra.get_mode = _unset  # type: ignore[assignment, method-assign]
    ConfigRepository.__deepcopy__ = _share_schemas  # type: ignore[attr-defined]
    try:
        yield
    finally:
        Hydra.get_mode = get_mode  # type: ignore[method-assign]
        del ConfigRepository.__deepcopy__  # type: ignore[attr-defined]


def _may_set_mode(argument: str) -> bool:
    """Return whether an argument may set `hydra.mode`, itself or by a file that it chooses.

    Files of conf/ do not; those of experiments/ may, and so may any file of a folder that an
    option or `hydra.searchpath` adds.
    """
    if argument.startswith("-"):
        return argument not in ("-m", "--multirun", "-r", "--run")
    group = argument.lstrip("+~").partition("=")[0].partition("@")[0].split("/")[0]
    return group.startswith("hydra") or (source_folder("experiments") / group).is_dir()


def _unset(hydra: Hydra, config_name: str | None, overrides: list[str]) -> None:
    """Mode of a run whose settings leave `hydra.mode` alone."""


def _share_schemas(repository: ConfigRepository, memo: dict[int, Any]) -> ConfigRepository:
    """Copy a repository, whose list of sources Hydra replaces, without what the sources hold."""
    return copy.copy(repository)
