"""Small files of settings and results, read as data: nothing in them acts, and reading ends.

Whoever wrote a file, what is read of it is text, numbers, true and false, null, lists, and mappings
whose names are text. A file is refused that is no regular file (opening a pipe would wait for
someone to write into it), that is larger than its kind ever is, or that unfolds to more values than
any has: a few lines of YAML with aliases can stand for billions.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gcseg.text import shown

LARGEST_TEXT = 2**26
"""Bytes of a table or of JSON; the curves of 160,000 steps, logged at each, take half of it."""
LARGEST_YAML = 2**20
"""Bytes of YAML; all settings of a training take a hundredth of it."""
MOST_VALUES = 100_000
"""Values and names in a record, counted wherever they stand; a training's settings have 200."""
MOST_LEVELS = 50
"""Lists and mappings in one another; a training's settings have five."""

_PLAIN_TAGS = {f"tag:yaml.org,2002:{tag}" for tag in
               ("null", "bool", "int", "float", "str", "seq", "map", "merge", "value")}  # fmt: skip


class RecordError(Exception):
    """Why a record is not read, in a few words."""


def read_text(path: Path, most: int = LARGEST_TEXT, *, errors: str = "strict") -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        most: Bytes that it may have.
        errors: What becomes of bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        FileNotFoundError: It does not exist.
        RecordError: It is no regular file, is too large, is not UTF-8, or can't be opened.
    """
    try:
        # Without waiting, should it be a pipe; a regular file is read as ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123  # of a descriptor
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
                raise RecordError(f"it is {kind}")
            content = file.read(most + 1)
        if len(content) > most:
            raise RecordError(f"it has more than {most:,} bytes")
        return content.decode("utf-8-sig", errors)
    except UnicodeDecodeError:
        raise RecordError("it is not UTF-8") from None
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # a null character in the path is a ValueError
        raise RecordError(getattr(error, "strerror", None) or str(error)) from None


def parse_yaml(text: str) -> Any:
    """Read YAML, as `yaml.safe_load` does, of plain values alone; dates stay text.

    Raises:
        RecordError: It is not YAML, holds something else, or more than a record has.
    """
    if len(text) > LARGEST_YAML:
        raise RecordError(f"it has more than {LARGEST_YAML:,} characters")
    try:
        _check_levels(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_node(node)  # before construction, which unfolds merged mappings
            content = loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecordError(f"it is not YAML: {' '.join(str(error).split())}") from None
    return plain_values(content)


def parse_json(text: str) -> Any:
    """Read JSON.

    Raises:
        RecordError: It is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"it is not JSON: {' '.join(str(error).split())}") from None


def plain_values(content: object) -> Any:
    """A copy of a record in which no list or mapping is shared.

    Args:
        content: Of text, numbers, true and false, None, lists (or tuples) and mappings.

    Raises:
        RecordError: It holds something else, names that are not text, itself, or more values than a
            record has.
    """
    left = MOST_VALUES

    def copy(value: object, levels: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise RecordError(f"it unfolds to more than {MOST_VALUES:,} values")
        if levels > MOST_LEVELS:
            raise RecordError(f"it is nested in more than {MOST_LEVELS} levels")
        if value is None or type(value) in (str, bool, int, float):
            return value
        if isinstance(value, Mapping):
            for name in value:
                if type(name) is not str:
                    raise RecordError(f"a name in it is {_kind(name)} and not text")
            return {name: copy(inner, levels + 1) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [copy(inner, levels + 1) for inner in value]
        raise RecordError(f"it holds {_kind(value)}")

    return copy(content, 0)


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool | int | float):
        return shown(str(value)) if not isinstance(value, int) or abs(value) < 2**64 else "a number"
    return shown(value)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads plain values; a date stays the text that it is."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _PLAIN_TAGS]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def _check_levels(text: str) -> None:
    """Check by the events, one after the other, how deep it is: composing it takes stack."""
    levels = 0
    for event in yaml.parse(text, Loader=_Loader):
        levels += isinstance(event, yaml.CollectionStartEvent)
        levels -= isinstance(event, yaml.CollectionEndEvent)
        if levels > MOST_LEVELS:
            raise RecordError(f"it is nested in more than {MOST_LEVELS} levels")


def _check_node(root: yaml.Node) -> None:
    """Check that a document unfolds to no more than a record has, and to plain values."""
    left = MOST_VALUES
    waiting = [root]
    while waiting:
        node = waiting.pop()
        left -= 1
        if left < 0:
            raise RecordError(f"it unfolds to more than {MOST_VALUES:,} values")
        if node.tag not in _PLAIN_TAGS:
            raise RecordError(f"it holds a value of type {shown(node.tag)}")
        if isinstance(node, yaml.MappingNode):
            waiting += [inner for pair in node.value for inner in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
