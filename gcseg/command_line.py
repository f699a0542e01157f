"""What a command line gives to single settings, as Hydra reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from gcseg.errors import ConfigError


def is_override(argument: str) -> bool:
    """Whether an argument is about a setting, and no option of the command."""
    return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))


def given(arguments: Sequence[str], key: str) -> Any:
    """The value that a command line gives to a setting that has one value in all jobs.

    Args:
        arguments: The command line, without the command.
        key: The setting, as `checkpoint`.

    Returns:
        The last value; None where there is none, or null.

    Raises:
        ConfigError: There are several, as for a multirun, or it can't be read.
    """
    value = None
    for override in overrides_of(arguments, key):
        if override.is_sweep_override():
            raise ConfigError(
                f"{override.input_line} means several",
                f"give each command one; quote a comma of a name: \"{key}='a,b'\"",
            )
        value = None if override.is_delete() else override.value()
    return value


def overrides_of(arguments: Sequence[str], key: str) -> Iterator[Override]:
    """What of a command line is about a setting or a group, also with + or ~ in front of it.

    Raises:
        ConfigError: It can't be read.
    """
    parser = OverridesParser.create()
    for argument in filter(is_override, arguments):
        if argument.lstrip("+~").partition("=")[0] != key:
            continue
        try:
            yield parser.parse_override(argument)
        except HydraException:
            raise ConfigError(
                f"{argument} can't be read", f"put its value into quotes: \"{key}='...'\""
            ) from None
