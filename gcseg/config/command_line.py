"""Command lines in the form that Hydra reads, and what they give to single settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from gcseg.errors import ConfigError

_JOB = ("job", "hydra", "all")
TAKES_A_VALUE: dict[str, tuple[str, ...]] = {
    "--cfg": _JOB, "-c": _JOB, "--package": (), "-p": (), "--config-path": (), "-cp": (),
    "--config-name": (), "-cn": (), "--config-dir": (), "-cd": (), "--experimental-rerun": (),
    "--resolved": (),
}  # fmt: skip
"""Options whose value may be the next argument, each with the values that it may have, if few."""
MAY_TAKE_ONE = {"--info": {"all", "config", "defaults", "defaults-tree", "plugins", "searchpath"}}
MAY_TAKE_ONE["-i"] = MAY_TAKE_ONE["--info"]
"""Options whose value may be the next argument, if it is one of these."""
OPTIONS = {
    *TAKES_A_VALUE, *MAY_TAKE_ONE, "--help", "-h", "--hydra-help", "--version", "--resolve",
    "--run", "-r", "--multirun", "-m", "--shell-completion", "-sc",
} - {"--resolved"}  # fmt: skip
"""All that Hydra has."""
INFORMATION = {"-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "--version"}
"""Options with which a command runs nothing."""

_HOME = re.compile(r"""((?:^|[=,\[])\s*["']?)~(?=/|$|[,\]"'])""")
"""The home folder where a value begins, in quotes or not."""


def asks_for_information(arguments: Iterable[str]) -> bool:
    """Whether a command line has an option with which a command runs nothing."""
    return any(argument.partition("=")[0] in INFORMATION for argument in arguments)


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


def options_first(arguments: Iterable[str]) -> list[str]:
    """Put options before settings; Hydra refuses them in between.

    A file of resolved settings comes first of all.

    Args:
        arguments: A command line without the command.
    """
    left = list(arguments)
    resolved: list[str] = []
    options: list[str] = []
    settings: list[str] = []
    while left:
        argument = left.pop(0)
        if not argument.startswith("-") or argument == "-":
            settings.append(argument)
            continue
        place = resolved if argument == "--resolved" else options
        place.append(argument)
        if left and (
            argument in TAKES_A_VALUE or left[0] in MAY_TAKE_ONE.get(argument, frozenset())
        ):
            place.append(left.pop(0))
    return resolved + options + settings


def home_expanded(argument: str) -> str:
    """Put the user's home folder in the place of `~`, which Hydra's grammar does not have.

    Args:
        argument: Of a command line, as `dataset.root=~/data` or `source=[~/a.zip,~/b.zip]`.
    """
    if argument == "~" or argument.startswith("~/"):  # of an option
        return str(Path.home()) + argument[1:]
    key, equals, value = argument.partition("=")
    if not equals:
        return argument
    return key + _HOME.sub(lambda found: found[1] + str(Path.home()), equals + value)
