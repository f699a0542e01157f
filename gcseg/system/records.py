"""Read small files of settings and results as plain data, within limits, executing nothing.

Whatever its origin, a file yields only text, numbers, true and false, null, lists, and mappings
with text as keys. A file is refused if it is not a regular file (opening a pipe would wait for a
writer), if it is larger than its kind ever is, or if it expands to more values or more text than
any record has: a few lines of YAML with aliases can stand for billions.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gcseg.system.links import leads_out
from gcseg.system.text import LONGEST, printable, shown

LARGEST_TEXT = 2**26
"""Largest size of JSON or of a list, in bytes; scores of 1000 evaluations take a tenth of it."""
LARGEST_TABLE = 2**28
"""Largest size of a table, in bytes; curves of a million steps, each logged, take half of it."""
LARGEST_YAML = 2**18
"""Largest size of YAML, in bytes; all settings of a training take a twentieth of it."""
MOST_VALUES = 100_000
"""Largest number of values and names in settings, aliases expanded; a training's are 400."""
MOST_RESULTS = 1_000_000
"""Largest number of values and names in JSON; 1000 evaluations of 150 classes are a third."""
MOST_CHARACTERS = 2**21
"""Largest number of characters of settings, each value written out with its full name
(`dataset.crop.height`), aliases expanded; a training's have 15,000."""
MOST_CHARACTERS_OF_RESULTS = 2**27
"""Largest number of characters of JSON; 1000 evaluations of 150 classes are a tenth of it."""
MOST_LEVELS = 50
"""Largest depth of nested lists and mappings; a training's settings have five levels."""
_LONGEST_NUMBER = 4000
"""Largest number of characters in a number; Python converts no number of over 4300 digits."""

_PLAIN_TAGS = {f"tag:yaml.org,2002:{tag}" for tag in
               ("null", "bool", "int", "float", "str", "seq", "map", "merge", "value")}  # fmt: skip
_TEXTS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:null"}


class RecordError(Exception):
    """Reason why a record is not read, in a few words."""


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
        most: Largest size, in bytes.
        errors: Handling of bytes that are not UTF-8, as for `bytes.decode`.
        within: Folder that contains the file and that no link may lead it out of.

    Raises:
        FileNotFoundError: The file does not exist.
        RecordError: The file is not a regular file, is too large, is not UTF-8, is led out of its
            folder by a link, or can't be opened.
    """
    try:
        if within is not None and leads_out(path, within):
            raise RecordError("it is a link to a place outside its folder")
        # Non-blocking, in case it is a pipe; a regular file is read as usual.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
                raise RecordError(f"it is {kind}")
            if found.st_size > most:
                raise RecordError(f"it has more than {most:,} bytes")
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(most + 1) or b""
        finally:
            os.close(descriptor)
        if len(content) > most:  # files of /proc have size 0
            raise RecordError(f"it has more than {most:,} bytes")
        return content.decode("utf-8-sig", errors)
    except UnicodeDecodeError:
        raise RecordError("it is not UTF-8") from None
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # a null character in the path is a ValueError
        raise RecordError(getattr(error, "strerror", None) or str(error)) from None


def read_yaml(path: Path, *, within: Path | None = None) -> Any:
    """Read a YAML file; see `read_text` and `parse_yaml`.

    Args:
        path: The file.
        within: Folder that contains the file and that no link may lead it out of.

    Raises:
        FileNotFoundError: The file does not exist.
        RecordError: The file can't be read, or holds no settings.
    """
    return parse_yaml(read_text(path, LARGEST_YAML, within=within))


def read_json(path: Path, *, within: Path | None = None) -> Any:
    """Read a JSON file; see `read_text` and `parse_json`.

    Args:
        path: The file.
        within: Folder that contains the file and that no link may lead it out of.

    Raises:
        FileNotFoundError: The file does not exist.
        RecordError: The file can't be read, or holds no JSON.
    """
    return parse_json(read_text(path, within=within))


def parse_yaml(text: str) -> Any:
    """Parse YAML, as `yaml.safe_load` does, but only plain values; dates stay text.

    Raises:
        RecordError: The text is not YAML, holds other values, or more than a record has.
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
            _check_node(node)  # before construction, which expands merged mappings
            content = loader.construct_document(node)
        finally:
            loader.dispose()
    # A value that does not fit its tag, such as !!bool x, raises any of these.
    except (yaml.YAMLError, ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise RecordError(f"it is not YAML: {_in_short(error)}") from None
    return plain_values(content)


def parse_json(text: str) -> Any:
    """Parse JSON, with NaN and Infinity as `json` writes them.

    Raises:
        RecordError: The text is not JSON, or holds more than a record has.
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
    """Copy a record so that no list or mapping is shared, and that it can be written as UTF-8.

    Lone surrogates, which JSON and pickles may hold, become JSON's escapes.

    Args:
        content: Text, numbers, true and false, None, lists (or tuples) and mappings.
        most: Largest number of values and names.
        most_characters: Largest number of characters, each value written out with its full name.

    Raises:
        RecordError: The record holds other values, names that are not text, itself, or more
            values or characters than a record has.
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
                    raise RecordError(f"a name in it is {_kind(name)}, not text")
            return {
                _whole(name): copy(inner, levels + 1, name_length + len(name) + 1)
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [copy(inner, levels + 1, name_length) for inner in value]
        raise RecordError(f"it holds {_kind(value)}")

    return copy(content, 0, 0)


def _length(value: object) -> int:
    """Approximate number of characters of a value as text, without its contents."""
    if isinstance(value, int):
        return value.bit_length() // 3
    return len(value) if isinstance(value, str) else 0


def _whole(text: str) -> str:
    """Replace lone surrogates in a text by escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _in_short(error: Exception) -> str:
    """Format a parser's error in one line; some errors quote the text."""
    text = " ".join(str(error).replace(' in "<unicode string>", line', " at line").split())
    return printable(text if len(text) <= 2 * LONGEST else f"{text[: 2 * LONGEST]}...")


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool | int | float):
        return shown(str(value)) if not isinstance(value, int) or abs(value) < 2**64 else "a number"
    return shown(value)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Loader of plain values; dates stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _PLAIN_TAGS]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def _check_levels(text: str) -> None:
    """Check the depth by parser events, one after the other, as composing needs stack."""
    levels = 0
    for event in yaml.parse(text, Loader=_Loader):
        levels += isinstance(event, yaml.CollectionStartEvent)
        levels -= isinstance(event, yaml.CollectionEndEvent)
        if levels > MOST_LEVELS:
            raise RecordError(f"it is nested in more than {MOST_LEVELS} levels")


def _check_node(root: yaml.Node) -> None:
    """Check that a document expands to plain values, and no more than a record has."""
    left = MOST_VALUES
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.tag not in _PLAIN_TAGS:
            raise RecordError(f"it holds a value of type {shown(node.tag)}")
        if isinstance(node, yaml.ScalarNode):
            # Such as 1:59:59:..., a number in base 60 that takes long to compute.
            if node.tag not in _TEXTS and len(node.value) > _LONGEST_NUMBER:
                raise RecordError("it holds a number of thousands of digits")
            continue
        pairs = isinstance(node, yaml.MappingNode)
        if isinstance(node, yaml.MappingNode):
            _check_names(node)
        left -= len(node.value) * (1 + pairs)
        if left < 0:  # before they are waited for, which takes memory
            raise RecordError(f"it unfolds to more than {MOST_VALUES:,} values")
        waiting += [inner for pair in node.value for inner in pair] if pairs else node.value


def _check_names(node: yaml.MappingNode) -> None:
    """Check that a mapping has each name once: of two, YAML would take the second."""
    names = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
    twice = next((name for name, count in Counter(names).items() if count > 1), "<<")
    if twice != "<<":
        raise RecordError(f"it has {shown(twice)} twice in one mapping")
