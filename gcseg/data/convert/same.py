"""Count the pixels of masks that are the same after a way through polygons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gcseg.data.images import UInt8Array
from gcseg.data.label_spaces import IGNORE_INDEX


@dataclass
class Same:
    """Pixels of masks that an annotation tool would draw again.

    Args:
        pixels: All labelled pixels.
        equal: Those that have the same class.
        ignored: Pixels that are ignored, and become nothing or a shape of that name.
    """

    pixels: int = 0
    equal: int = 0
    ignored: int = 0

    @classmethod
    def of(cls, mask: UInt8Array, drawn: UInt8Array) -> Same:
        """Compare two masks of class indices with 255 ignored, H x W."""
        ignored = mask == IGNORE_INDEX
        equal = int(np.count_nonzero((mask == drawn) & ~ignored))
        return cls(int(mask.size - ignored.sum()), equal, int(ignored.sum()))

    def add(self, other: Same) -> None:
        """Add the numbers of another mask."""
        self.pixels += other.pixels
        self.equal += other.equal
        self.ignored += other.ignored
