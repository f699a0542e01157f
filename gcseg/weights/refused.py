"""Why a checkpoint file is not read, before it is known which file it is."""

from __future__ import annotations


class RefusedError(Exception):
    """What is wrong with a file, in a few words."""


def shown(value: object) -> str:
    """A name out of a file, in a form that is safe and short enough for a message."""
    text = value if isinstance(value, str) else f"an object of type {type(value).__name__}"
    text = text if len(text) <= 100 else text[:100] + "..."
    return text if text.isprintable() else ascii(text)
