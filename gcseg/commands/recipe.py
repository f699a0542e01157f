"""python -m gcseg.recipe diff A B: the settings in which two recipes differ."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gcseg.commands.arguments import ArgumentParser
from gcseg.config.compose import compose
from gcseg.config.messages import errors_in_one_line
from gcseg.config.trained import published_config
from gcseg.errors import ConfigError
from gcseg.runs.folder import RunFolder
from gcseg.system.records import RecordError, read_yaml
from gcseg.system.text import brief, say

DERIVED_KEYS = {"protocol.name", "protocol.mean", "protocol.std", "protocol.average",
            "protocol.scales", "tta.scales", "published.checkpoint"}  # fmt: skip
"""Settings that act only through others, which are compared themselves."""
_LONGEST = 2000
"""Largest number of characters of a value in the table."""


def main(arguments: list[str] | None = None) -> None:
    """Print a table of the differences of two recipes."""
    parser = ArgumentParser(
        prog="python -m gcseg.recipe",
        description="Compare two recipes of training and scoring, setting by setting.",
    )
    commands = parser.add_subparsers(required=True, metavar="diff")
    diff = commands.add_parser(
        "diff",
        help="list the settings in which two recipes differ",
        description="List the settings in which two recipes differ. A recipe is a row of "
        "docs/published.md (paddleseg_r50_voc), a run folder or its config.yaml, or "
        "overrides of gcseg.train in quotes ('recipe=mmseg dataset=voc').",
    )
    diff.add_argument("a", metavar="A")
    diff.add_argument("b", metavar="B")
    given = parser.parse_args(arguments)
    with errors_in_one_line("train"):
        rows = list(differences(settings(given.a), settings(given.b)))
    if not rows:
        say("no difference")
        return
    from rich.table import Table

    from gcseg.system.terminal import TextConsole

    table = Table()
    table.add_column("setting", no_wrap=True)
    for title in (given.a, given.b):
        table.add_column(title, overflow="fold")
    for key, first, second in rows:
        table.add_row(key, _shown(first), _shown(second))
    TextConsole().print(table)


def settings(recipe: str) -> Mapping[str, Any]:
    """Resolve all settings of a recipe.

    Args:
        recipe: A row of docs/published.md, a run folder or YAML file, or overrides of
            gcseg.train separated by blanks.

    Raises:
        ConfigError: The recipe is none of these.
        HydraException: An override does not exist.
    """
    if re.match(r"[+~]*[\w./@]+=", recipe):
        try:
            overrides = shlex.split(recipe)
        except ValueError as error:
            raise ConfigError(f"{recipe} can't be read ({error})", "close the quotes") from None
        cfg = compose("train", overrides)
        return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]
    path = Path(recipe)
    if os.path.exists(path):  # noqa: PTH110  # which takes any text for a name
        path = RunFolder(path).config if path.is_dir() else path
        try:
            content = read_yaml(path)
        except (FileNotFoundError, RecordError) as error:
            content = getattr(error, "strerror", None) or error
        if not isinstance(content, dict):
            raise ConfigError(f"{path} holds no settings ({content})", "give a config.yaml")
        return content
    return published_config(recipe)


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Each setting in which two recipes differ, with both values; None for a missing one."""
    left, right = dict(_flat(first)), dict(_flat(second))
    for key in {**left, **right}:
        if left.get(key) != right.get(key) and key not in DERIVED_KEYS:
            yield key, left.get(key), right.get(key)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: Any) -> str:
    return "-" if value is None else brief(value, _LONGEST)
