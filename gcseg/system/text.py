"""Format names and values from files so that they are safe to print."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping

LONGEST = 100
"""Largest number of characters of a name in a message."""

_NO_TEXT = {"null", "true", "false", "nan", "inf"}
"""Words that Hydra does not read as text."""


def printable(text: str) -> str:
    """Replace control characters by escapes, so that a text can't control a terminal.

    Letters of any language, spaces and brackets stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def shown(value: object) -> str:
    """Format a name or value from a file, short and safe enough for a message."""
    text = value if isinstance(value, str) else f"an object of type {type(value).__name__}"
    text = text if len(text) <= LONGEST else text[:LONGEST] + "..."
    return printable(text)


def listed(words: Iterable[str], between: str = ", ", most: int = 10) -> str:
    """Join the first of many words, and the number of further ones.

    Args:
        words: Words in the form to print.
        between: Separator.
        most: Largest number of words to print.
    """
    words = list(words)
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return between.join([*words[:most], *more])


def counted(number: int, noun: str, ending: str = "s") -> str:
    """Return a number of things in words: 1 picture, 2,000 pictures.

    Args:
        number: Number of things.
        noun: Noun for one of them.
        ending: Ending of the noun for several, or none.
    """
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def verb(number: int, one: str, several: str) -> str:
    """Return the form of a verb that suits a number: 1 of 2 pictures is, 2 of 2 pictures are.

    Args:
        number: Number of things that the verb is about.
        one: Form for one thing.
        several: Form for several, or none.
    """
    return one if number == 1 else several


def brief(value: object, most: int = LONGEST) -> str:
    """Format a plain value as `str` does, cut off if it is too long.

    The rest is not formatted first, which may take long for nested lists.

    Args:
        value: Text, a number, true or false, None, or lists and mappings of these.
        most: Largest number of characters to keep.
    """
    parts: list[str] = []
    left = most
    for part in [value[: most + 1]] if isinstance(value, str) else _parts(value, most):
        parts.append(part)
        left -= len(part)
        if left < 0:
            return f"{''.join(parts)[:most]}..."
    return "".join(parts)


def _parts(value: object, most: int) -> Iterator[str]:
    """Pieces of a value's `str`, none of them much longer than `most`."""
    if isinstance(value, str):
        yield repr(value[: most + 1])
    elif isinstance(value, Mapping):
        yield "{"
        for place, (name, inner) in enumerate(value.items()):
            yield ", " if place else ""
            yield from _parts(name, most)
            yield ": "
            yield from _parts(inner, most)
        yield "}"
    elif isinstance(value, list | tuple):
        yield "["
        for place, inner in enumerate(value):
            yield ", " if place else ""
            yield from _parts(inner, most)
        yield "]"
    elif isinstance(value, int) and value.bit_length() > 4 * most:
        yield "a huge number"
    else:
        yield str(value)


def percent(fraction: float | None, absent: str = "", *, sign: str = "") -> str:
    """Format a fraction in percent with two decimals, without the percent sign.

    Args:
        fraction: Fraction, such as 0.5 for 50 %; None if it is unknown or undefined.
        absent: Text for None.
        sign: "+" to write the sign of positive numbers too.
    """
    return absent if fraction is None else f"{100 * fraction:{sign}.2f}"


def clock(seconds: float) -> str:
    """Format seconds as hours:minutes:seconds."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def as_override(key: str, value: object) -> str:
    """Format a setting for a command line so that Hydra reads its value as text.

    Args:
        key: Name of the setting, such as `checkpoint`.
        value: Its value, such as a path; quoted if Hydra's grammar requires it.
    """
    text = str(value)
    plain = r"[A-Za-z_./][\w./:+@%-]*( [\w./:+@%-]+)*"
    if re.fullmatch(plain, text, re.ASCII) and text.lower() not in _NO_TEXT:
        return f"{key}={text}"
    # Within quotes, a backslash is literal unless it is before a quote.
    escaped = re.sub(r"(\\*)('|$)", lambda at: at[1] * 2 + ("\\'" if at[2] else ""), text)
    return f"{key}='{escaped}'"


def say(*lines: object, error: bool = False) -> None:
    """Print lines through `printable`, so that names in them can't control a terminal.

    Args:
        lines: Values to print, one line each.
        error: Whether to print to stderr instead of stdout.
    """
    for line in lines:
        print(printable(str(line)), file=sys.stderr if error else sys.stdout, flush=True)
