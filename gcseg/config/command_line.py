"""Convert command lines to the form that Hydra reads; look up values of single settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from gcseg.errors import ConfigError
from gcseg.system.files import at_home
from gcseg.system.text import as_override

_JOB = ("job", "hydra", "all")
TAKES_A_VALUE: dict[str, tuple[str, ...]] = {
    "--cfg": _JOB, "-c": _JOB, "--package": (), "-p": (), "--config-path": (), "-cp": (),
    "--config-name": (), "-cn": (), "--config-dir": (), "-cd": (), "--experimental-rerun": (),
    "--resolved": (),
}  # fmt: skip
"""Options whose value may be the next argument, each with its allowed values, if few."""
MAY_TAKE_ONE = {"--info": {"all", "config", "defaults", "defaults-tree", "plugins", "searchpath"}}
MAY_TAKE_ONE["-i"] = MAY_TAKE_ONE["--info"]
"""Options whose value may be the next argument, if it is one of these values."""
OPTIONS = {
    *TAKES_A_VALUE, *MAY_TAKE_ONE, "--help", "-h", "--hydra-help", "--version", "--resolve",
    "--run", "-r", "--multirun", "-m", "--shell-completion", "-sc",
} - {"--resolved"}  # fmt: skip
"""All options of Hydra."""
INFORMATION = {"-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "--version"}
"""Options with which a command runs nothing."""

_HOME = re.compile(r"""((?:^|[=,\[])\s*["']?)~(?=/|$|[,\]"'])""")
"""Home folder `~` at the beginning of a value, in quotes or not."""

_SOURCE = re.compile(r"(source|images)=([^\"']*[^\[\]\w./,:@ +-][^\"']*)")
"""Setting of sources, without quotes, with characters that only patterns and addresses have."""

_PLACE = re.compile(r"\{(?:split|group|name)\}")
"""Places in patterns, which in Hydra's grammar begin a mapping."""


def asks_for_information(arguments: Iterable[str]) -> bool:
    """Return whether a command line has an option with which a command runs nothing."""
    return any(argument.partition("=")[0] in INFORMATION for argument in arguments)


def is_override(argument: str) -> bool:
    """Return whether an argument is about a setting, and not an option of the command."""
    return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))


def given(arguments: Sequence[str], key: str) -> Any:
    """Look up the value that a command line gives to a setting, the same in all jobs.

    Args:
        arguments: The command line, without the command.
        key: Name of the setting, such as `checkpoint`.

    Returns:
        The last value; None if there is none, or null.

    Raises:
        ConfigError: There are several values, as for a multirun, or the value can't be read.
    """
    value = None
    for override in overrides_of(arguments, key):
        if override.is_sweep_override():
            raise ConfigError(
                f"{override.input_line} gives several values",
                f"give one value per command; quote a name with a comma: \"{key}='a,b'\"",
            )
        value = None if override.is_delete() else override.value()
    return value


def overrides_of(arguments: Sequence[str], key: str) -> Iterator[Override]:
    """Overrides of a setting or a group on a command line, also with a leading + or ~.

    Raises:
        ConfigError: An override can't be read.
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

    A file of resolved settings comes before everything else.

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
    """Replace `~` by the user's home folder; Hydra's grammar does not know it.

    Args:
        argument: Argument such as `dataset.root=~/data` or `source=[~/a.zip,~/b.zip]`.
    """
    if argument == "~" or argument.startswith("~/"):  # value of an option
        return str(at_home("~")) + argument[1:]
    key, equals, value = argument.partition("=")
    if not equals:
        return argument
    return key + _HOME.sub(lambda found: found[1] + str(at_home("~")), equals + value)


def as_hydra_reads(argument: str) -> str:
    """Convert an argument of a command to the form that Hydra's grammar has for it.

    Args:
        argument: Argument such as `dataset.root=~/data`, `source=in/*.jpg` or
            `output.format=mask,csv`.
    """
    return pattern_quoted(source_quoted(home_expanded(formats_listed(argument))))


def formats_listed(argument: str) -> str:
    """Replace `output.format=mask,csv` by `format=[mask,csv]`, the setting that it stands for."""
    key, equals, value = argument.partition("=")
    if key != "output.format" or not equals:
        return argument
    return f"format=[{value}]" if "," in value and "[" not in value else f"format={value}"


def source_quoted(argument: str) -> str:
    """Quote a pattern or an address, or several in a list, of the settings source and images.

    Args:
        argument: Argument such as `source=in/*.jpg` or `source=[a.png,rtsp://camera/live?x=1]`.
    """
    found = _SOURCE.fullmatch(argument)
    if found is None:
        return argument
    key, value = found.groups()
    if not (value.startswith("[") and value.endswith("]")):
        return as_override(key, value)
    parts = [part.strip() for part in value[1:-1].split(",")]
    return f"{key}=[{','.join(part if part.isdigit() else repr(part) for part in parts)}]"


def pattern_quoted(argument: str) -> str:
    """Quote a setting's value that has {split} or {group}; Hydra would take it for a mapping.

    Args:
        argument: Argument such as `dataset.reader.images={split}/img/*.jpg`, or a list such as
            `dataset.reader.bands=[B02/{split}/{name}.tif,B03/{split}/{name}.tif]`.
    """
    key, equals, value = argument.partition("=")
    in_brackets = value.startswith("[") and value.endswith("]") and not set(value) & set("'\"")
    if in_brackets and _PLACE.search(value):
        return f"{key}=[{','.join(repr(part.strip()) for part in value[1:-1].split(','))}]"
    is_text = value.startswith(("{split}", "{group}")) or value[:1] not in ("'", '"', "[", "{")
    if not equals or key.startswith("-") or not is_text or not _PLACE.search(value):
        return argument
    return as_override(key, value)
