"""Words in pictures, shortened to the room that they have."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gcseg.data.reading import UInt8Array
from gcseg.system.text import printable

LINE = 18
"""Height of a line of text, in pixels."""
_FONT = "mpl-data/fonts/ttf/DejaVuSans.ttf"
_SIZE = 11
_INDENT = 4

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size: int = _SIZE) -> Font:
    """Return the font of all pictures.

    It is DejaVu Sans of matplotlib, as Pillow's font has neither accents nor Greek or Cyrillic.

    Args:
        size: Height of the letters, in pixels.
    """
    found = find_spec("matplotlib")  # which need not be imported for it
    try:
        return ImageFont.truetype(Path(str(found and found.origin)).parent / _FONT, size)
    except OSError:
        return ImageFont.load_default(size)


def text_width(text: str) -> int:
    """Return the width of a line of text, in pixels."""
    return int(np.ceil(font().getlength(text)))


def fitted(text: str, room: int) -> str:
    """Return a text that fits into some room, with dots for what is cut off in its middle.

    Args:
        text: Any name.
        room: Width of the room, in pixels.
    """
    text = printable(text)
    if text_width(text) <= room:
        return text
    fewest, most = 0, len(text)
    while fewest < most:  # characters that are kept
        kept = (fewest + most + 1) // 2
        fewest, most = (kept, most) if text_width(_cut(text, kept)) <= room else (fewest, kept - 1)
    return _cut(text, fewest)


def _cut(text: str, kept: int) -> str:
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


def caption(text: str, width: int) -> UInt8Array:
    """Draw a line of text on white.

    Args:
        text: Any name.
        width: Width of the picture, in pixels.

    Returns:
        The picture, LINE x W x 3 RGB.
    """
    canvas = Image.new("RGB", (width, LINE), "white")
    room = width - 2 * _INDENT
    ImageDraw.Draw(canvas).text((_INDENT, 2), fitted(text, room), fill="black", font=font())
    return np.asarray(canvas, np.uint8)
