"""Patterns of paths and names: *, ? and **, and the text that they stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WILDCARD = re.compile(r"(\*+|\{group\})")

GROUP = "{group}"
"""Wildcard of a template of names that stands for the group's name."""


def has_wildcard(pattern: str) -> bool:
    """Return whether a pattern has * or ?."""
    return "*" in pattern or "?" in pattern


def fixed_part(pattern: str) -> tuple[str, str]:
    """Split a pattern of paths into the folder before its first wildcard, and the rest."""
    parts = pattern.split("/")
    first = next((i for i, part in enumerate(parts) if has_wildcard(part)), len(parts))
    return "/".join(parts[:first]), "/".join(parts[first:])


def matched_path(pattern: str, path: str) -> list[str] | None:
    """Match a relative path against a pattern, folder by folder.

    Args:
        pattern: Path in which `*` and `?` stand for text without a slash, and one part may be
            `**`, for any number of folders.
        path: Path with forward slashes.

    Returns:
        The texts that the wildcards stand for, in order; None without a match.

    Example:
        >>> matched_path("*/img/*.jpg", "oslo/img/a.jpg")
        ['oslo', 'a']
        >>> matched_path("**/*.jpg", "oslo/img/a.jpg")
        ['oslo/img', 'a']
    """
    wanted, parts = pattern.split("/"), path.split("/")
    if "**" not in wanted:
        return _matched_parts(wanted, parts)
    place = wanted.index("**")
    before, after = wanted[:place], wanted[place + 1 :]
    end = len(parts) - len(after)
    if end < len(before):
        return None
    first = _matched_parts(before, parts[: len(before)])
    last = _matched_parts(after, parts[end:])
    if first is None or last is None:
        return None
    folders = "/".join(parts[len(before) : end])
    return [*first, *([folders] if folders else []), *last]


def _matched_parts(wanted: Sequence[str], parts: Sequence[str]) -> list[str] | None:
    if len(wanted) != len(parts):
        return None
    found: list[str] = []
    for pattern, part in zip(wanted, parts, strict=True):
        texts = matched_name(pattern, part)
        if texts is None:
            return None
        found += texts
    return found


def matched_name(pattern: str, name: str) -> list[str] | None:
    """Match a text against a pattern whose wildcards stand for the shortest text that fits.

    This takes time in proportion to the lengths alone, whatever the pattern.

    Args:
        pattern: Text with `*` (any text) and `?` (one character).
        name: Text to match as a whole.

    Returns:
        The texts that the runs of `*` stand for, and each `?`, in order; None without a match.

    Example:
        >>> matched_name("*_mask.png", "a_b_mask.png")
        ['a_b']
    """
    spans = _spans(pattern, name)
    return None if spans is None else [text for _, text in spans]


def group_of(template: str, name: str) -> str | None:
    """Return the text that `{group}` stands for in a name; None if the template does not match.

    Example:
        >>> group_of("{group}_*", "0001TP_006690")
        '0001TP'
    """
    spans = _spans(template, name)
    return None if spans is None else next(text for kind, text in spans if kind == GROUP)


def _spans(pattern: str, name: str) -> list[tuple[str, str]] | None:
    """Match a text; the result has each wildcard with the text that it stands for."""
    pieces = _WILDCARD.split(pattern)  # texts at even places, wildcards between them
    found: list[tuple[str, str]] = []
    if (start := _fits_at(pieces[0], name, 0)) is None:
        return None
    found += _singles(pieces[0], name, 0)
    for wildcard, piece in zip(pieces[1:-2:2], pieces[2:-2:2], strict=True):
        place = next(
            (at for at in range(start, len(name) + 1) if _fits_at(piece, name, at) is not None),
            None,
        )
        if place is None:
            return None
        found += [(wildcard, name[start:place]), *_singles(piece, name, place)]
        start = place + len(piece)
    if len(pieces) == 1:
        return found if start == len(name) else None
    place = len(name) - len(pieces[-1])  # the last text is at the end
    if place < start or _fits_at(pieces[-1], name, place) is None:
        return None
    return [*found, (pieces[-2], name[start:place]), *_singles(pieces[-1], name, place)]


def _fits_at(piece: str, name: str, place: int) -> int | None:
    """Return where a text with `?` ends if it is at a place of the name, else None."""
    end = place + len(piece)
    if end > len(name):
        return None
    fits = all(a in ("?", b) for a, b in zip(piece, name[place:end], strict=True))
    return end if fits else None


def _singles(piece: str, name: str, place: int) -> list[tuple[str, str]]:
    return [("?", name[place + i]) for i, one in enumerate(piece) if one == "?"]
