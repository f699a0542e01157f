"""Masks in colours: a table from each colour to its class, and what is said of other colours."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from gcseg.data.images import UInt8Array
from gcseg.errors import ConfigError

Color = tuple[int, int, int]
UnknownColors = Literal["error", "nearest", "ignored"]

NO_CLASS = 254
"""Entry of the table for colours of no class, as in a label space's table of values."""

_COLORS = 1 << 24
_LISTED = 4  # colours in a message
_SEVERAL = 3  # so many colours along borders are what antialiasing leaves


@dataclass(frozen=True)
class ColorKey:
    """The class index of each colour of masks.

    Args:
        colors: RGB colours, each once.
        names: Name of each colour's class.
        indices: Class index of each colour, 255 for ignored.
        unknown: What becomes of other colours: an error, the class of the nearest colour, or
            ignored pixels.

    Raises:
        ConfigError: A colour stands for two classes.
    """

    colors: tuple[Color, ...]
    names: tuple[str, ...]
    indices: tuple[int, ...]
    unknown: UnknownColors = "error"

    def __post_init__(self) -> None:
        """Check that each colour has one meaning."""
        first: dict[Color, str] = {}
        for color, name in zip(self.colors, self.names, strict=True):
            if color in first:
                raise ConfigError(
                    f"{first[color]} and {name} have the same colour {list(color)}, and masks are "
                    "in colours",
                    "give each its own colour in the class list",
                )
            first[color] = name

    def class_indices(self, mask: UInt8Array) -> UInt8Array:
        """Map a mask, H x W x 3 RGB, to class indices, H x W; `NO_CLASS` for unknown colours."""
        codes = _codes(mask)
        # The fastest of NumPy's ways to look up: with positions of its own kind, unchecked.
        label: UInt8Array = _table(self).take(codes.astype(np.intp), mode="clip")
        if self.unknown != "nearest":
            return label
        other = label == NO_CLASS
        if other.any():
            colors, places = np.unique(codes[other], return_inverse=True)
            nearest = np.array(self.indices, np.uint8)[self.nearest(_split(colors))]
            label[other] = nearest[places]
        return label

    def nearest(self, colors: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the position of the nearest colour, by distance in RGB, for N x 3 colours."""
        return np.concatenate(
            [
                ((part[:, None] - np.array(self.colors, np.int64)) ** 2).sum(-1).argmin(1)
                for part in np.array_split(colors, 1 + len(colors) // 4096)
            ]
        )

    def complaint(self, mask: UInt8Array, label: UInt8Array) -> tuple[str, str] | None:
        """Describe the colours of a mask that no class has, and the remedy; None if there are none.

        Args:
            mask: Mask, H x W x 3 RGB.
            label: Its class indices, H x W, as `class_indices` returns them.
        """
        other = label == NO_CLASS
        if not other.any():
            return None
        codes, pixels = np.unique(_codes(mask)[other], return_counts=True)
        order = np.argsort(-pixels, kind="stable")[:_LISTED]
        colors = _split(codes[order])
        named = [
            f"{color.tolist()} ({100 * count / label.size:.2g} % of the pixels, nearest "
            f"{self.names[at]} {list(self.colors[at])})"
            for color, count, at in zip(colors, pixels[order], self.nearest(colors), strict=True)
        ]
        more = f" and {len(codes) - _LISTED:,} more" if len(codes) > _LISTED else ""
        share = 100 * other.sum() / label.size
        cause = (
            f"has {len(codes):,} colour{'s' * (len(codes) > 1)} of no class in {share:.2g} % of "
            f"its pixels: {', '.join(named)}{more}"
        )
        if len(codes) >= _SEVERAL and _is_along_borders(other):
            cause += "; they lie along borders, as antialiasing leaves them"
        if (mask[..., :1] == mask).all():
            cause += "; all its pixels are grey"
            return cause, (
                "if they are class values, set dataset.reader.masks=values; else give the classes "
                "these colours in the class list"
            )
        return cause, (
            "give the colour to a class or to ignore in the class list, or set "
            "dataset.reader.unknown_colors=nearest or ignored"
        )


@functools.lru_cache(maxsize=4)
def _table(key: ColorKey) -> UInt8Array:
    """Return the class index of each of the 2^24 colours: one step for each pixel."""
    others = 255 if key.unknown == "ignored" else NO_CLASS
    table = np.full(_COLORS, others, np.uint8)
    table[_codes(np.array([key.colors], np.uint8))[0]] = key.indices
    table.flags.writeable = False
    return table


def _codes(mask: UInt8Array) -> npt.NDArray[np.int32]:
    """Return each pixel's colour as one number, H x W: red + 256 green + 65536 blue."""
    mask = np.ascontiguousarray(mask)
    with_fourth = np.empty((*mask.shape[:2], 4), np.uint8)
    cv2.cvtColor(mask, cv2.COLOR_RGB2RGBA, dst=with_fourth)
    codes = with_fourth.view("<i4")[..., 0]
    codes &= _COLORS - 1  # without the fourth channel
    return codes


def _split(codes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return colours, N x 3, from their numbers."""
    return np.stack([codes >> shift & 255 for shift in (0, 8, 16)], axis=1).astype(np.int64)


def _is_along_borders(other: npt.NDArray[np.bool_]) -> bool:
    """Return whether most of the pixels lie in strokes of at most four pixels' width."""
    thick = cv2.erode(other.astype(np.uint8), np.ones((5, 5), np.uint8))
    return int(thick.sum()) * 20 < int(other.sum())


def colors_of(mask: UInt8Array, most: int = _LISTED) -> str:
    """List the commonest colours of a mask, H x W x 3 RGB, with their shares."""
    codes, pixels = np.unique(_codes(mask), return_counts=True)
    order = np.argsort(-pixels, kind="stable")[:most]
    shares = 100 * pixels[order] / pixels.sum()
    named = [
        f"{color.tolist()} {share:.2g} %"
        for color, share in zip(_split(codes[order]), shares, strict=True)
    ]
    more = f" and {len(codes) - most:,} more" if len(codes) > most else ""
    return ", ".join(named) + more
