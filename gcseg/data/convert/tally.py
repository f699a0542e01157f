"""Count what a conversion makes and what it loses, and say both with the remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gcseg.data.convert.drawings import Color
from gcseg.system.text import counted, listed, shown, verb

LOST: Mapping[str, tuple[str, str]] = {
    "box": ("boxes without a mask", "draw the outlines in the tool, or export masks"),
    "keypoints": ("annotations with keypoints alone", "keypoints have no area"),
    "line": ("lines", "lines have no area: draw a polygon around each"),
    "point": ("points", "points have no area: draw a polygon around each"),
    "tag": ("tags of whole pictures", "tags are no regions"),
    "cuboid": ("cuboids", "draw polygons or masks instead"),
    "skeleton": ("skeletons", "skeletons have no area"),
    "annotator": ("annotations of a picture that has a later one", "of several the last counts"),
    "cancelled": ("annotations that were skipped in the tool", "complete them there"),
    "kind": ("regions of another kind", "draw with brush, polygon, rectangle or ellipse"),
    "unnamed": ("regions without a label", "give each a label in the tool"),
    "further": ("further labels of a region", "of several the first counts"),
    "few": ("polygons of fewer than three points", "draw each with three or more"),
}
"""Annotations that become no pixels, by a short name: what they are, and the remedy."""

_EXAMPLES = 3


@dataclass
class Tally:
    """What one picture, or several, were made of.

    Args:
        pixels: Pixels of each class, by class index.
        total: All pixels.
        unlabelled: Pixels that no shape of a known class covers.
        ignored: Pixels of shapes that say that they are ignored.
        overlaps: Pixels in shapes of more than one class.
        unknown: Pixels of each label that is no class.
        colors: Pixels of each colour that is no class's.
        lost: Annotations that are no regions, by a key of `LOST`.
        clipped: Shapes that reach beyond their picture.
        empty: Shapes that cover no pixel.
        without: Pictures without any shape.
    """

    pixels: Counter[int] = field(default_factory=Counter)
    total: int = 0
    unlabelled: int = 0
    ignored: int = 0
    overlaps: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    colors: Counter[Color] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    clipped: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add the numbers of further pictures."""
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    def as_dict(self, names: Sequence[str]) -> dict[str, object]:
        """Return the numbers as a record, for JSON.

        Args:
            names: Class names.
        """
        return {
            "pixels": {name: self.pixels[index] for index, name in enumerate(names)},
            "total": self.total,
            "unlabelled": self.unlabelled,
            "ignored": self.ignored,
            "overlaps": self.overlaps,
            "unknown_labels": dict(self.unknown),
            "lost": dict(self.lost),
            "clipped": len(self.clipped),
            "empty": len(self.empty),
            "without_shapes": len(self.without),
        }

    def lines(
        self, names: Sequence[str], colors: Sequence[Color], background: bool
    ) -> Iterator[str]:
        """Yield what is to be said of the pictures, a line for each thing.

        Args:
            names: Class names.
            colors: Colours of the classes.
            background: Whether unlabelled pixels are the class background.
        """
        if self.unlabelled:
            now, other = ("background", "ignore") if background else ("ignored", "background")
            yield (
                f"{self._share(self.unlabelled)} of the pixels have no label and are {now} "
                f"(unlabelled={other} would {'ignore them' if background else 'make them a class'})"
            )
        if self.ignored:
            yield f"{self._share(self.ignored)} of the pixels are marked as ignored"
        if self.overlaps:
            yield (
                f"{self._share(self.overlaps)} of the pixels are in shapes of two classes: the one "
                "that is drawn later counts"
            )
        if self.unknown:
            some = [
                f"{shown(name)} ({self._share(count)})"
                for name, count in self.unknown.most_common()
            ]
            yield (
                f"labels that are no class: {listed(some)}: their pixels count as unlabelled; add "
                "them to classes= to keep them"
            )
        if self.colors:
            yield self._unknown_colors(names, colors)
        for what, count in sorted(self.lost.items()):
            things, remedy = LOST[what]
            yield f"left out, {things}: {count:,} ({remedy})"
        for cases, told in (
            (self.clipped, "beyond the edge of the picture, clipped"),
            (self.empty, "without a single pixel"),
        ):
            if cases:
                examples = "; ".join(cases[:_EXAMPLES])
                yield f"{counted(len(cases), 'shape')} {told}, such as {examples}"
        if self.without:
            yield (
                f"{counted(len(self.without), 'picture')} without any shape, such as "
                f"{shown(self.without[0])}"
            )
        if never := [shown(name) for index, name in enumerate(names) if not self.pixels[index]]:
            yield f"{verb(len(never), 'class', 'classes')} without a pixel: {listed(never)}"

    def _share(self, pixels: int) -> str:
        return share(pixels, self.total)

    def _unknown_colors(self, names: Sequence[str], colors: Sequence[Color]) -> str:
        table = np.array(colors, np.int64)
        some = []
        for color, count in self.colors.most_common(_EXAMPLES):
            nearest = names[int(((table - np.array(color)) ** 2).sum(1).argmin())]
            some.append(f"{list(color)} ({self._share(count)}, nearest {shown(nearest)})")
        return (
            f"{self._share(sum(self.colors.values()))} of the pixels have one of "
            f"{counted(len(self.colors), 'colour')} of no class, such as {', '.join(some)}: they "
            "count as unlabelled; many colours with few pixels each are smoothed borders, which an "
            "export without smoothing lacks; others belong in the colour table"
        )


def share(part: int, total: int) -> str:
    """Format a part of a number of pixels in percent, with two digits that say something."""
    percent = 100 * part / max(total, 1)
    if part < total and percent > 99.99:
        return "over 99.99 %"
    return f"{percent:.2f} %" if percent >= 0.01 or not part else "under 0.01 %"
