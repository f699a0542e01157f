"""Small files of settings and results, read as data: nothing in them acts, and reading ends.

Whoever wrote a file, what is read of it is text, numbers, true and false, null, lists, and mappings
whose names are text. A file is refused that is no regular file (opening a pipe would wait for
someone to write into it), that is larger than its kind ever is, or that unfolds to more values or
more text than any has: a few lines of YAML with aliases can stand for billions.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gcseg.system.links import leads_out
from gcseg.system.text import LONGEST, printable, shown

LARGEST_TEXT = 2**26
"""Bytes of JSON or of a list; the scores of 1000 evaluations take a tenth of it."""
LARGEST_TABLE = 2**28
"""Bytes of a table; the curves of a million steps, logged at each, take half of it."""
LARGEST_YAML = 2**18
"""Bytes of YAML; all settings of a training take a twentieth of it."""
MOST_VALUES = 100_000
"""Values and names of settings, counted wherever they stand; a training's are 400."""
MOST_RESULTS = 1_000_000
"""The same of JSON; 1000 evaluations of 150 classes are a third of it."""
MOST_CHARACTERS = 2**21
"""Characters of settings, each value written out with its full name (`dataset.crop.height`)
wherever it stands; a training's have 15,000."""
MOST_CHARACTERS_OF_RESULTS = 2**27
"""The same of JSON; 1000 evaluations of 150 classes are a tenth of it."""
MOST_LEVELS = 50
"""Lists and mappings in one another; a training's settings have five."""
_LONGEST_NUMBER = 4000
"""Characters; Python writes no number out that has 4300 digits, and reads none."""

_PLAIN_TAGS = {f"tag:yaml.org,2002:{tag}" for tag in
               ("null", "bool", "int", "float", "str", "seq", "map", "merge", "value")}  # fmt: skip
_TEXTS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:null"}


class RecordError(Exception):
    """Why a record is not read, in a few words."""


def read_text(
    path: Path,
    most: int = LARGEST_TEXT,
    *,
    errors: str = "strict",
    within: Path | None = None,
) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        most: Bytes that it may have.
        errors: What becomes of bytes that are not UTF-8, as for `bytes.decode`.
        within: A folder that it is in, and that no link may lead it out of.

    Raises:
        FileNotFoundError: It does not exist.
        RecordError: It is no regular file, is too large, is not UTF-8, is led out of its folder, or
            can't be opened.
    """
    try:
        if within is not None and leads_out(path, within):
            raise RecordError("it is a link that leads out of its folder")
        # Without waiting, should it be a pipe; a regular file is read as ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
                raise RecordError(f"it is {kind}")
            if found.st_size > most:
                raise RecordError(f"it has more than {most:,} bytes")
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(most + 1) or b""
        finally:
            os.close(descriptor)
        if len(content) > most:  # as files of /proc, which have no size
            raise RecordError(f"it has more than {most:,} bytes")
        return content.decode("utf-8-sig", errors)
    except UnicodeDecodeError:
        raise RecordError("it is not UTF-8") from None
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # a null character in the path is a ValueError
        raise RecordError(getattr(error, "strerror", None) or str(error)) from None


def read_yaml(path: Path, *, within: Path | None = None) -> Any:
    """Read a file as `read_text` does, and its YAML as `parse_yaml` does, which both say more.

    Args:
        path: The file.
        within: A folder that it is in, and that no link may lead it out of.

    Raises:
        FileNotFoundError: It does not exist.
        RecordError: It can't be read, or holds no settings.
    """
    return parse_yaml(read_text(path, LARGEST_YAML, within=within))


def read_json(path: Path, *, within: Path | None = None) -> Any:
    """Read a file as `read_text` does, and its JSON as `parse_json` does, which both say more.

    Args:
        path: The file.
        within: A folder that it is in, and that no link may lead it out of.

    Raises:
        FileNotFoundError: It does not exist.
        RecordError: It can't be read, or holds no JSON.
    """
    return parse_json(read_text(path, within=within))


def parse_yaml(text: str) -> Any:
    """Read YAML, as `yaml.safe_load` does, of plain values alone; dates stay text.

    Raises:
        RecordError: It is not YAML, holds something else, or more than a record has.
    """
    if len(text) > LARGEST_YAML:
        raise RecordError(f"it is YAML of more than {LARGEST_YAML:,} characters")
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
    # A value that its tag does not fit, as !!bool x, is whatever Python makes of it.
    except (yaml.YAMLError, ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise RecordError(f"it is not YAML: {_in_short(error)}") from None
    return plain_values(content)


def parse_json(text: str) -> Any:
    """Read JSON; also NaN and Infinity, as `json` writes them.

    Raises:
        RecordError: It is not JSON, or more than a record has.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise RecordError(f"it is nested in more than {MOST_LEVELS} levels") from None
    except ValueError as error:
        raise RecordError(f"it is not JSON: {_in_short(error)}") from None
    return plain_values(content, MOST_RESULTS, MOST_CHARACTERS_OF_RESULTS)


def plain_values(
    content: object, most: int = MOST_VALUES, most_characters: int = MOST_CHARACTERS
) -> Any:
    """A copy of a record in which no list or mapping is shared, and that can be written as UTF-8.

    Halves of characters, which JSON and pickles may hold, become the escapes that JSON has.

    Args:
        content: Of text, numbers, true and false, None, lists (or tuples) and mappings.
        most: Values and names that it may have.
        most_characters: Characters that it may have, each value written out with its full name.

    Raises:
        RecordError: It holds something else, names that are not text, itself, or more values or
            characters than a record has.
    """
    left, left_characters = most, most_characters

    def copy(value: object, levels: int, name_length: int) -> Any:
        nonlocal left, left_characters
        left -= 1
        if left < 0:
            raise RecordError(f"it unfolds to more than {most:,} values")
        left_characters -= name_length + _length(value)
        if left_characters < 0:
            raise RecordError(f"it unfolds to more than {most_characters:,} characters")
        if levels > MOST_LEVELS:
            raise RecordError(f"it is nested in more than {MOST_LEVELS} levels")
        if type(value) is int and value.bit_length() > 3 * _LONGEST_NUMBER:
            raise RecordError("it holds a number of thousands of digits")
        if type(value) is str:
            return _whole(value)
        if value is None or type(value) in (bool, int, float):
            return value
        if isinstance(value, Mapping):
            for name in value:
                if type(name) is not str:
                    raise RecordError(f"a name in it is {_kind(name)} and not text")
            return {
                _whole(name): copy(inner, levels + 1, name_length + len(name) + 1)
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [copy(inner, levels + 1, name_length) for inner in value]
        raise RecordError(f"it holds {_kind(value)}")

    return copy(content, 0, 0)


def _length(value: object) -> int:
    """About how many characters a value is written with, without those of what is in it."""
    if isinstance(value, int):
        return value.bit_length() // 3
    return len(value) if isinstance(value, str) else 0


def _whole(text: str) -> str:
    """A text without halves of characters (surrogates)."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _in_short(error: Exception) -> str:
    """An error of a parser in one line; some quote what they have read."""
    text = " ".join(str(error).replace(' in "<unicode string>", line', " at line").split())
    return printable(text if len(text) <= 2 * LONGEST else f"{text[: 2 * LONGEST]}...")


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
        if node.tag not in _PLAIN_TAGS:
            raise RecordError(f"it holds a value of type {shown(node.tag)}")
        if isinstance(node, yaml.ScalarNode):
            # As 1:59:59:..., which is a number to the base of 60 and takes long to work out.
            if node.tag not in _TEXTS and len(node.value) > _LONGEST_NUMBER:
                raise RecordError("it holds a number of thousands of digits")
            continue
        pairs = isinstance(node, yaml.MappingNode)
        left -= len(node.value) * (1 + pairs)
        if left < 0:  # before they are waited for, which takes memory
            raise RecordError(f"it unfolds to more than {MOST_VALUES:,} values")
        waiting += [inner for pair in node.value for inner in pair] if pairs else node.value
