"""Label Studio's run lengths of brush masks.

Source: rle-pack of thi.ng/umbrella, packages/rle-pack/src/index.ts, as Label Studio's
label_studio_converter/brush.py uses it. A stream of bits, the highest of each byte first:

- 32 bits: number of values; 5: bits of a value, less 1; four times 4: sizes of lengths, less 1;
- then blocks: 1 bit: whether one value is repeated; 2: which of the four sizes the length has; the
  length, less 1; then that one value, or as many values as the length says.

The values are red, green, blue and opacity of each pixel, along the rows. Opacity is the mask.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from gcseg.data.images import UInt8Array
from gcseg.errors import DataError

_SIZES = (3, 4, 8, 16)
"""Bits of lengths, as Label Studio writes them."""
_CHANNELS = 4
_INSIDE = 255


def decoded(content: object, height: int, width: int, where: str) -> UInt8Array:
    """Return the mask of a brush.

    Args:
        content: List of bytes.
        height: Rows of the picture.
        width: Columns of the picture.
        where: Place of the region, for messages.

    Returns:
        height x width uint8 of 0 and 1.

    Raises:
        DataError: The content is no such mask, or one of another size.
    """
    cause = f"{where} has a brush mask that can't be read"
    try:
        if not isinstance(content, list) or len(content) < 8:
            raise ValueError
        stream = bytes(content)
    except (TypeError, ValueError):
        raise DataError(f"{cause} (no list of bytes)", "export the annotations again") from None
    bits = _Bits(stream)
    total = bits.read(32)
    if total != height * width * _CHANNELS:
        raise DataError(
            f"{where} has a brush mask of {total // _CHANNELS:,} pixels, and not of "
            f"{height}x{width} (height x width)",
            "export the annotations again",
        )
    word = bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint8 if word <= 8 else np.uint32)
    done = 0
    try:
        while done < total:
            repeated = bits.read(1)
            end = done + 1 + bits.read(sizes[bits.read(2)])
            if repeated:
                values[done:end] = bits.read(word)
            else:
                values[done:end] = [bits.read(word) for _ in range(min(end, total) - done)]
            done = end
    except EOFError:
        raise DataError(f"{cause} (it is cut off)", "export the annotations again") from None
    opacity = values.reshape(height, width, _CHANNELS)[..., 3]
    return (opacity > 0).astype(np.uint8)


def encoded(mask: UInt8Array) -> list[int]:
    """Return the bytes of a mask, H x W of 0 and others, as Label Studio's converter writes them.

    Its four channels are 255 inside and 0 outside.
    """
    flat = mask.ravel() != 0
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    parts = [f"{flat.size * _CHANNELS:032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for start, end in pairwise(edges):
        value = f"{_INSIDE if flat[start] else 0:08b}"
        left = (end - start) * _CHANNELS
        while left:
            length = min(left, 1 << _SIZES[-1])
            which = next(index for index, size in enumerate(_SIZES) if length <= 1 << size)
            parts.append(f"1{which:02b}{length - 1:0{_SIZES[which]}b}{value}")
            left -= length
    stream = "".join(parts)
    stream += "0" * (8 - len(stream) % 8)
    return list(int(stream, 2).to_bytes(len(stream) // 8, "big"))


class _Bits:
    """Reader of whole numbers from a stream of bits.

    Args:
        content: The bytes; of each the highest bit is first.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    def read(self, count: int) -> int:
        """Return the number in the next bits, 32 or fewer.

        Raises:
            EOFError: The stream has ended.
        """
        start, end = self._place, self._place + count
        if end > 8 * len(self._content):
            raise EOFError
        self._place = end
        last = (end + 7) // 8
        part = int.from_bytes(self._content[start // 8 : last], "big")
        return part >> (8 * last - end) & ((1 << count) - 1)
