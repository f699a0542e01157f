"""Names and values out of files, in a form that is safe to print."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping

LONGEST = 100
"""Characters of a name that a message shows."""

_NO_TEXT = {"null", "true", "false", "nan", "inf"}
"""Words that Hydra reads as something else."""


def printable(text: str) -> str:
    """A text in which nothing acts on a terminal: control characters become escapes.

    Letters of any language, spaces and brackets stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def shown(value: object) -> str:
    """A name or value out of a file, short and safe enough for a message."""
    text = value if isinstance(value, str) else f"an object of type {type(value).__name__}"
    text = text if len(text) <= LONGEST else text[:LONGEST] + "..."
    return printable(text)


def listed(words: Iterable[str], between: str = ", ", most: int = 10) -> str:
    """The first of many words, and how many more there are.

    Args:
        words: As they are shown.
        between: What stands between two.
        most: Of which there are no more.
    """
    words = list(words)
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return between.join([*words[:most], *more])


def brief(value: object, most: int = LONGEST) -> str:
    """A plain value as `str` writes it, cut off where it is longer than wanted.

    What is cut off is not written out first, which of lists in lists may take long.

    Args:
        value: Text, a number, true or false, None, or lists and mappings of these.
        most: Characters of it that are kept.
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
    """What `str` writes of a value, piece by piece, none of them much longer than wanted."""
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
    """A fraction in percent with two decimals, without the sign of percent.

    Args:
        fraction: 0.5 for 50 %; None where it is not known or not defined.
        absent: The text for None.
        sign: "+" to write the sign of positive numbers too.
    """
    return absent if fraction is None else f"{100 * fraction:{sign}.2f}"


def clock(seconds: float) -> str:
    """Seconds as hours:minutes:seconds."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def as_override(key: str, value: object) -> str:
    """A setting of a command line with a value that Hydra takes for text as it is.

    Args:
        key: The setting, as `checkpoint`.
        value: Its value, as a path; in quotes where Hydra's grammar wants them.
    """
    text = str(value)
    plain = r"[A-Za-z_./][\w./:+@%-]*( [\w./:+@%-]+)*"
    if re.fullmatch(plain, text, re.ASCII) and text.lower() not in _NO_TEXT:
        return f"{key}={text}"
    # Within quotes, a backslash is one unless it is before a quote.
    escaped = re.sub(r"(\\*)('|$)", lambda at: at[1] * 2 + ("\\'" if at[2] else ""), text)
    return f"{key}='{escaped}'"


def say(*lines: object, error: bool = False) -> None:
    """Print lines, as `printable` has them: the names in them do nothing to a terminal.

    Args:
        lines: One line each, whatever is in them.
        error: Whether they go to stderr and not to stdout.
    """
    for line in lines:
        print(printable(str(line)), file=sys.stderr if error else sys.stdout, flush=True)
