"""Check the values of settings, before anything heavy is imported."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gcseg.config.foreign_names import remedy_for
from gcseg.config.plain import plain
from gcseg.config.row import Row, as_given, is_name
from gcseg.config.rules import RULES
from gcseg.config.table import TABLE
from gcseg.errors import ConfigError
from gcseg.system.files import at_home

_EXACT = 2.0**53
"""Bound below which every whole number is exact as a float."""
_FEW = 12
"""Largest number of a group's settings that a message lists."""


def check(cfg: DictConfig, command: str = "train") -> None:
    """Check all settings of a command by the table, and by the rules between settings.

    Args:
        cfg: The settings.
        command: The command's primary configuration, such as `eval`.

    Raises:
        SettingError: A value is wrong, a setting is missing, or one is not read by anything.
        ConfigError: Two settings do not go together.
    """
    settings = plain(cfg)  # every interpolation resolves
    _check_group(settings, _tree(command), "", command)
    for rule in RULES:
        rule(settings, command)


def check_one(name: str, value: object, command: str = "train") -> None:
    """Check one setting by the table, with the settings inside it.

    Args:
        name: Name of a row without `*`.
        value: Value to check.
        command: The command's primary configuration.

    Raises:
        ConfigError: The setting may not have that value.
    """
    node = _tree(command)
    for part in name.split("."):
        node = node.inside[part]
    _check_value(node, name, value)
    if isinstance(value, Mapping):
        _check_group(value, node, f"{name}.", command)


def take_whole_numbers(cfg: DictConfig, command: str) -> None:
    """Replace `1e4` by `10000` wherever a whole number is required.

    So the same training has the same name, however its numbers are written.

    Args:
        cfg: Settings, checked or not.
        command: The command's primary configuration.
    """
    for row in TABLE:
        if row.kind == "whole number" and command in row.commands:
            with suppress(OmegaConfBaseException):  # which the check reports
                value = OmegaConf.select(cfg, row.name)
                if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
                    OmegaConf.update(cfg, row.name, int(value))


def expand_home(cfg: DictConfig, command: str) -> None:
    """Replace `~` at the beginning of every path by the user's home folder.

    Args:
        cfg: Checked settings.
        command: The command's primary configuration.
    """
    for row in TABLE:
        if row.kind == "path" and command in row.commands:
            value = OmegaConf.select(cfg, row.name)
            if isinstance(value, str) and value.partition("/")[0] == "~":
                OmegaConf.update(cfg, row.name, str(at_home(value)))


class SettingError(ConfigError):
    """A setting has a wrong value, is missing, or is read by nothing.

    Args:
        name: Full name of the setting.
        cause: As in `GcsegError`.
        remedy: As in `GcsegError`.
    """

    def __init__(self, name: str, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.name = name


@dataclass
class _Node:
    """A row with the rows below it, by the last part of their names."""

    row: Row | None = None
    inside: dict[str, _Node] = field(default_factory=dict)


@cache
def _tree(command: str) -> _Node:
    root = _Node()
    for row in TABLE:
        if command in row.commands:
            node = root
            for part in row.name.split("."):
                node = node.inside.setdefault(part, _Node())
            node.row = row
    return root


def _check_group(settings: Mapping[str, Any], node: _Node, prefix: str, command: str) -> None:
    """Check the contents of a mapping that its own row already allows."""
    if _calls_users_own(settings, node, prefix):  # what it takes, its own signature says
        node = _Node(node.row, {key: one for key, one in node.inside.items() if _is_own(one)})
        settings = {key: value for key, value in settings.items() if _known(node, key)}
    for key, inner in node.inside.items():
        if inner.row and inner.row.needed and key not in settings:
            name = f"{prefix}{key}"
            remedy = _option(inner.row) or f"give {name}=..."
            raise SettingError(name, f"{name} is not set", remedy)
    for key, value in settings.items():
        name = f"{prefix}{key}"
        known = _known(node, key)
        if known is None or known.row is None:
            raise _unknown(name, value, node, prefix, command)
        _check_value(known, name, value)
        if known.row.kind == "settings" and isinstance(value, Mapping):
            _check_group(value, known, f"{name}.", command)


def _calls_users_own(settings: Mapping[str, Any], node: _Node, prefix: str) -> bool:
    """Check `_target_`, and return whether it names a callable that is not gcseg's.

    Raises:
        SettingError: It is no name of a callable.
    """
    target = node.inside.get("_target_")
    if target is None or target.row is None or "_target_" not in settings:
        return False
    _check_value(target, f"{prefix}_target_", settings["_target_"])
    return settings["_target_"] not in (*target.row.choices, *target.row.also)


def _is_own(node: _Node) -> bool:
    return node.row is not None and node.row.own


def _known(node: _Node, key: object) -> _Node | None:
    """Return the node of a key; that of any name, where the table allows it; None if unknown."""
    return node.inside.get(str(key)) or (node.inside.get("*") if is_name(key) else None)


def _check_value(node: _Node, name: str, value: object) -> None:
    row = node.row
    if row is None or row.takes(value):
        return
    remedy = row.wanted(value)
    if row.kind == "settings":
        inside = [f"{name}.{part}" for part in node.inside if part not in ("_target_", "*")]
        remedy = _option(row) or (f"set {', '.join(inside[:_FEW])}" if inside else remedy)
        remedy += ", or null" if None in row.also else ""
    raise SettingError(name, f"{name}={as_given(value)}", remedy)


def _option(row: Row) -> str:
    """Remedy that names an option of a group, if the group's meaning ends with one."""
    option = row.meaning.rpartition(": ")[2]
    return f"choose one, as {option}" if option.startswith(f"{row.name}=") else ""


def _unknown(name: str, value: object, node: _Node, prefix: str, command: str) -> SettingError:
    """Make the error for a setting that has no row."""
    here = [f"{prefix}{known}" for known in node.inside]
    close = difflib.get_close_matches(name.rpartition(".")[2], node.inside, n=3, cutoff=0.6)
    rows = [row for row in TABLE if command in row.commands]
    if foreign := remedy_for(name, as_given(value), command.partition("_")[0], rows):
        remedy = foreign
    elif elsewhere := readers_of(name):
        remedy = f"leave it out; it is one of {elsewhere}"
    elif close:
        remedy = f"did you mean {' or '.join(f'{prefix}{one}' for one in close)}?"
    elif prefix and len(here) <= _FEW:
        remedy = f"use one of {', '.join(here)}"
    else:
        remedy = "leave it out; --cfg job lists all settings"
    cause = f"{name}={as_given(value)} is not a setting of {_modules([command])}"
    return SettingError(name, cause, remedy)


def readers_of(name: str) -> str:
    """List the commands that read a setting, by module name; empty if none does."""
    return _modules(user for row in TABLE if row.name == name for user in row.commands)


def _modules(commands: Iterable[str]) -> str:
    """List commands by module name."""
    return ", ".join(sorted({f"gcseg.{command.partition('_')[0]}" for command in commands}))
