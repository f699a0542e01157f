"""A row of the table of settings: allowed values, and the message about any other value."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gcseg.system.text import printable

Kind = Literal["whole number", "number", "switch", "choice", "text", "name", "pattern", "ending",
               "template", "fold", "path", "source",
               "callable", "transform", "callback", "anything", "settings"]  # fmt: skip

MANY = 10**6
"""Smallest bound that is only a sanity limit; a message names it only where it is exceeded."""
LARGEST_NUMBER = 1e100
"""Limit of numbers; products of two or three larger ones are infinite."""
LONGEST_NAME = 255
"""Largest number of bytes in a file's name."""
LONGEST = 60
"""Largest number of characters of a value in a message."""


@dataclass(frozen=True)
class Row:
    """A setting, or several whose names match `*` in a part of the row's name.

    Args:
        name: Name of the setting on the command line.
        kind: Kind of its value, or of each value in a list. `settings` has rows for its contents.
        meaning: Description of the setting, in a few words.
        least: Smallest number.
        most: Largest number.
        unit: Unit of the number.
        open: Bounds that are themselves too small or too large.
        choices: Values of a choice, or conf/'s own values of a callable.
        also: Other values that are allowed, such as None.
        listed: Whether a list of such values is required ("must") or allowed ("may").
        count: Smallest and largest number of values in a list, or of settings in a mapping.
        needed: Whether a command needs the setting.
        added: Whether it is absent from conf/, and given with `+`.
        own: Whether gcseg reads it also if the group's `_target_` is a user-defined callable.
        topic: Heading of the documentation that lists the setting.
        commands: Primary configurations that have the setting.
    """

    name: str
    kind: Kind
    meaning: str
    least: float = -math.inf
    most: float = math.inf
    unit: str = ""
    open: Literal["", "least", "most", "both"] = ""
    choices: tuple[Any, ...] = ()
    also: tuple[Any, ...] = ()
    listed: Literal["", "may", "must"] = ""
    count: tuple[int, int] = (1, 1000)
    needed: bool = False
    added: bool = False
    own: bool = False
    topic: str = ""
    commands: tuple[str, ...] = ()

    def takes(self, value: object) -> bool:
        """Return whether the setting may have this value."""
        if any(value is other or (type(value) is str and value == other) for other in self.also):
            return True
        if isinstance(value, float) and math.isnan(value) and "nan" in self.also:
            return True  # Hydra reads nan as a number
        if isinstance(value, list):
            fewest, most = self.count
            return (
                self.listed != "" and fewest <= len(value) <= most and all(map(self._is_one, value))
            )
        return self.listed != "must" and self._is_one(value)

    def _is_one(self, value: object) -> bool:
        if not _KINDS[self.kind](value):
            return False
        if self.kind in ("whole number", "number"):
            return self._is_between(value)  # type: ignore[arg-type]
        if self.kind == "choice":
            return value in self.choices
        if self.kind == "settings":
            return self.count[0] <= len(value) <= self.count[1]  # type: ignore[arg-type]
        return True

    def _is_between(self, number: float) -> bool:
        above = number > self.least if self.open in ("least", "both") else number >= self.least
        below = number < self.most if self.open in ("most", "both") else number <= self.most
        return above and below

    def wanted(self, value: object = None, *, in_full: bool = False) -> str:
        """Describe the allowed values, as a request.

        Args:
            value: Rejected value; of two bounds far apart, only the one that it violates is named.
            in_full: Whether to name both bounds.
        """
        others = "".join(f", or {as_given(other)}" for other in self.also)
        if self.kind == "choice":
            *first, last = dict.fromkeys(map(as_given, self.choices))
            listed = f"{first[0]} or {last}" if len(first) == 1 else f"one of {', '.join(first)}"
            if self.listed == "must":
                listed = listed.replace("one of", "one or more of")
                return f"give a list of {listed}{f', {last}' if len(first) > 1 else ''}{others}"
            return f"use {listed}{f', {last}' if len(first) > 1 else ''}{others}"
        one, several = _NOUNS[self.kind]
        if self.kind in ("whole number", "number"):
            of = f" of {self.unit}" if self.unit else ""
            too_large = isinstance(value, (int, float)) and value > self.most
            span = self._span(too_large=too_large, in_full=in_full)
            one, several = (f"{noun}{of}{span}" for noun in (one, several))
        fewest, most = self.count
        several = f"a list of {f'{fewest} ' if fewest == most else ''}{several}"
        forms = {"": (one,), "may": (one, several), "must": (several,)}[self.listed]
        return f"give {' or '.join(forms)}{self._as_text(value)}{others}"

    def _as_text(self, value: object) -> str:
        """Explain how to write a number or a switch where text is required."""
        if isinstance(value, (bool, int, float)) and self.kind == "path":
            return f"; write digits alone as ./{as_given(value)}"
        if isinstance(value, (bool, int, float)) and self.kind in ("text", "name"):
            return f", in quotes as \"{self.name}='{as_given(value)}'\""
        return ""

    def _span(self, *, too_large: bool, in_full: bool) -> str:
        """Describe the bounds in words."""
        least, most = f"{self.least:,}", f"{self.most:,}"
        lower = f" above {least}" if self.open in ("least", "both") else f", {least} or more"
        upper = f" below {most}" if self.open in ("most", "both") else f", at most {most}"
        if self.most == math.inf:
            return "" if self.least == -math.inf else lower
        if self.most >= MANY and not in_full:
            return upper if too_large else lower
        if not self.open:
            return f", {least} to {most}"
        if self.open == "both":
            return f" between {least} and {most}"
        return f"{lower}{upper}" if self.open == "least" else f", {least} or more and below {most}"


def as_given(value: object) -> str:
    """Format a value as on the command line, shortened and safe to print."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        text = "{" + ",".join(f"{key}: {as_given(one)}" for key, one in _few(value.items())) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ",".join(as_given(one) for one in _few(value)) + "]"
    else:
        text = str(value) if not isinstance(value, int) or abs(value) < 2**256 else "a huge number"
    text = printable(text) if text.strip() else f"'{text}'"
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def _few(values: Iterable[Any]) -> list[Any]:
    return [one for _, one in zip(range(LONGEST), values, strict=False)]


def _is_number(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) < LARGEST_NUMBER  # type: ignore[arg-type]  # nor NaN


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _is_path(value: object) -> bool:
    if not _is_text(value):
        return False
    parts = os.fsencode(str(value)).split(b"/")
    return all(len(part) <= LONGEST_NAME for part in parts)


def is_name(value: object) -> bool:
    """Return whether a value can be part of a file's name."""
    return _is_path(value) and "/" not in str(value) and value not in (".", "..")


def is_fold(value: object) -> bool:
    """Return whether a value is the number of a fold, as 0/5; 00/5 would be a second name of it."""
    form = r"(0|[1-9][0-9]{0,5})/([1-9][0-9]{0,5})"
    found = re.fullmatch(form, value) if isinstance(value, str) else None
    return found is not None and int(found[1]) < int(found[2]) and int(found[2]) > 1


_KINDS: Mapping[Kind, Callable[[Any], bool]] = {
    "whole number": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": _is_number,
    "switch": lambda value: isinstance(value, bool),
    "choice": lambda value: isinstance(value, (str, int)) and not isinstance(value, bool),
    "text": _is_text,
    "name": is_name,
    "pattern": lambda value: _is_text(value) and not set(value.replace("{split}", "")) & {"{", "}"},
    "ending": lambda value: value == "" or is_name(value),
    "template": lambda value: _is_text(value) and value.count("{group}") == 1,
    "fold": is_fold,
    "path": _is_path,
    "source": lambda value: _is_text(value) or (type(value) is int and 0 <= value < 1000),
    "callable": lambda value: _is_text(value) and re.fullmatch(r"[\w.]+", value) is not None,
    "transform": lambda value: isinstance(value, dict) and _is_text(value.get("_target_")),
    "callback": lambda value: isinstance(value, dict) and _is_text(value.get("_target_")),
    "anything": lambda value: True,
    "settings": lambda value: isinstance(value, dict),
}

_NOUNS: Mapping[Kind, tuple[str, str]] = {
    "whole number": ("a whole number", "whole numbers"),
    "number": ("a number", "numbers"),
    "switch": ("true or false", "true or false each"),
    "choice": ("", ""),
    "text": ("a name", "names"),
    "name": ("a name without /", "names without /"),
    "pattern": (
        "a folder, a pattern with * or a list, with {split} for the split's name",
        "patterns",
    ),
    "ending": ("an ending of names, as _mask", "endings"),
    "template": ("the form of the names with {group} in it, as {group}_*", "templates"),
    "fold": ("the number of a fold, which count from 0, as 0/5 to 4/5", "folds"),
    "path": ("a path", "paths"),
    "source": ("a path, a pattern, the number of a camera or an address", "such"),
    "callable": ("the dotted name of a class or function", "dotted names"),
    "transform": ("{_target_: albumentations.NAME, ...}", "transforms"),
    "callback": ("{_target_: my_module.MyCallback, ...}", "callbacks"),
    "anything": ("another value", "other values"),
    "settings": ("settings by name", "settings"),
}
