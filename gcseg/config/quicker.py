"""Spare Hydra what it composes twice: the settings of a command, and those of a multirun's jobs.

It composes a command's settings a first time only to see whether `hydra.mode` asks for a multirun,
and those of all jobs a first time only to see that they can be composed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from hydra._internal.hydra import Hydra
from hydra.plugins.sweeper import Sweeper

from gcseg.config.compose import source_folder
from gcseg.config.composing import composing_quickly


@contextmanager
def quicker_hydra(arguments: Iterable[str]) -> Iterator[None]:
    """Let Hydra compose once where the command line leaves `hydra.mode` alone.

    Args:
        arguments: The command line, without the command.
    """
    get_mode, rehearse = Hydra.get_mode, Sweeper.validate_batch_is_legal

    def rehearse_if_needed(sweeper: Sweeper, batch: Sequence[Sequence[str]]) -> None:
        if not getattr(getattr(sweeper, "launcher", None), "composes_before_it_runs", False):
            rehearse(sweeper, batch)

    if not any(map(_may_set_mode, arguments)):
        Hydra.get_mode = _unset  # type: ignore[assignment, method-assign]
    Sweeper.validate_batch_is_legal = (  # type: ignore[method-assign]
        rehearse_if_needed  # type: ignore[assignment]
    )
    try:
        with composing_quickly():
            yield
    finally:
        Hydra.get_mode = get_mode  # type: ignore[method-assign]
        Sweeper.validate_batch_is_legal = rehearse  # type: ignore[method-assign]


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
