"""Suggest what a command line means where a setting or an option does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from gcseg.config.checks import readers_of
from gcseg.config.command_line import is_override
from gcseg.config.compose import source_folder
from gcseg.config.foreign_names import remedy_for
from gcseg.config.row import Row
from gcseg.config.table import TABLE
from gcseg.errors import ConfigError

_ALIKE = 0.6
"""Smallest similarity, of at most 1, at which names are alike."""
_AS_ALIKE = 0.1
"""Largest distance from the best similarity at which a name is suggested, too."""


def unknown_setting(key: str, config_name: str, arguments: Sequence[str]) -> ConfigError:
    """Make the error for a setting that a command's composed configuration does not have.

    Args:
        key: Name of the setting as given, without `+`.
        config_name: The command's primary configuration.
        arguments: The command line, without the command.
    """
    rows = _rows(config_name)
    row = next((row for row in rows if _is_of(key, row.name)), None)
    if row is not None and row.added:
        return ConfigError(f"{key} is not set yet", f"write {_given('+', key, arguments)}")
    cause = f"there is no setting {key!r}"
    if row is not None and (options := list(_options_with(key))):
        return ConfigError(
            f"{cause} as the groups are chosen", f"it belongs to {' or '.join(options)}"
        )
    value = next((one.partition("=")[2] for one in arguments if one.startswith(f"{key}=")), "")
    if remedy := _of_another_framework(key, value, config_name):
        return ConfigError(cause, remedy)
    if elsewhere := readers_of(key):
        return ConfigError(
            cause, f"it is a setting of {elsewhere}; --cfg job lists those of this command"
        )
    names = {row.name: f"{'+' * row.added}{row.name}" for row in rows if "*" not in row.name}
    close = _closest(key, names)
    if not close:  # perhaps the right name in another group
        close = [name for name in names if name.split(".")[-1] == key.split(".")[-1]][:3]
    meant = f"did you mean {' or '.join(names[name] for name in close)}? " if close else ""
    return ConfigError(cause, f"{meant}--cfg job lists them all")


def first_unknown(arguments: Sequence[str], config_name: str) -> ConfigError | None:
    """Make the error for the first group or setting that no option of a command has, if any.

    Args:
        arguments: The command line, without the command.
        config_name: The command's primary configuration.
    """
    known = {row.name.partition(".")[0] for row in _rows(config_name)} | {"hydra"}
    for argument in filter(is_override, arguments):
        key = argument.partition("=")[0]
        if key.startswith(("+", "~")) or "/" in key or "@" in key:
            continue
        if key.partition(".")[0] not in known:
            return unknown_setting(key, config_name, arguments)
    return None


def unknown_option(
    argument: str, value: str, config_name: str, known: Iterable[str]
) -> ConfigError:
    """Make the error for an option that a command does not have.

    Args:
        argument: The option, as given.
        value: Its value, or nothing.
        config_name: The command's primary configuration.
        known: The command's options.
    """
    option = argument.partition("=")[0]
    cause = f"there is no option {option}"
    key = option.lstrip("-").replace("-", "_")
    names = [row.name for row in _rows(config_name)]
    settings = [name for name in names if name == key]
    settings += [name for name in names if name.rpartition(".")[2] == key]
    if settings:
        return ConfigError(cause, f"write {settings[0]}={value or '...'}")
    if remedy := _of_another_framework(key, value, config_name):
        return ConfigError(cause, remedy)
    if close := _closest(option, known):
        return ConfigError(cause, f"did you mean {' or '.join(close)}?")
    return ConfigError(cause, "settings are written as key=value; --help lists the most common")


def _of_another_framework(key: str, value: str, config_name: str) -> str | None:
    """Return what to write for a setting of another framework; None if it is of none."""
    return remedy_for(key, value, config_name.partition("_")[0], _rows(config_name))


def _rows(config_name: str) -> list[Row]:
    """Rows of a command's settings, in any of its configurations."""
    command = config_name.partition("_")[0]
    return [row for row in TABLE if command in {one.partition("_")[0] for one in row.commands}]


def _is_of(key: str, pattern: str) -> bool:
    """Return whether a setting matches the name of a row, in which `*` stands for any part."""
    parts, wanted = key.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(
        theirs in (ours, "*") for ours, theirs in zip(parts, wanted, strict=True)
    )


def _options_with(key: str) -> Iterator[str]:
    """Options of a group that have a setting, such as `optim=sgd` or `backbone/context=gc`."""
    parts = key.split(".")
    for length in range(1, len(parts)):
        package, inside = parts[:length], parts[length:]
        for path, group in _options_of(package):
            node: Any = yaml.safe_load(path.read_text())
            for part in inside:
                node = node.get(part, ...) if isinstance(node, dict) else ...
            if node is not ...:
                yield f"{group}={path.stem}"


def _options_of(package: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Yield the files of the options that make a part of the settings, and their group."""
    conf = source_folder("conf")
    group = "/".join(package)
    yield from ((path, group) for path in sorted((conf / group).glob("*.yaml")))
    header = f"# @package {'.'.join(package)}\n"
    for path in sorted((conf / package[-1]).glob("*.yaml")):
        if path.read_text().startswith(header):
            yield path, package[-1]


def _given(sign: str, key: str, arguments: Sequence[str]) -> str:
    """Copy a setting from the command line with another sign in front."""
    return sign + next((one for one in arguments if one.startswith(f"{key}=")), f"{key}=...")


def _closest(name: str, known: Iterable[str]) -> list[str]:
    """At most three names similar to `name`, the most similar first."""
    matcher = difflib.SequenceMatcher(b=name)
    scores = {}
    for one in difflib.get_close_matches(name, known, n=3, cutoff=_ALIKE):
        matcher.set_seq1(one)
        scores[one] = matcher.ratio()
    least = max(scores.values(), default=0.0) - _AS_ALIKE
    return [one for one in scores if scores[one] >= least]
