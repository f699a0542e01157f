"""Two confusion matrices of the same network, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gcseg.system.text import counted, listed, shown, verb

Counts = npt.NDArray[np.int64]
"""Confusion matrix, C x C; rows are true classes, columns predicted ones."""


def moved_pixels(one: Counts, other: Counts) -> int:
    """Return the least number of pixels by which two confusion matrices differ.

    Args:
        one: Confusion matrix.
        other: Another of the same shape.
    """
    difference = one - other
    return int(max(difference.clip(min=0).sum(), (-difference).clip(min=0).sum()))


def in_words(here: Counts, published: Counts, classes: Sequence[str]) -> list[str]:
    """Describe how two confusion matrices differ: the share of the pixels, then the largest cells.

    Args:
        here: Confusion matrix here.
        published: Published confusion matrix.
        classes: Names of the classes.

    Returns:
        The lines; empty if both are equal.
    """
    difference = here - published
    if not difference.any():
        return []
    moved, total = moved_pixels(here, published), int(published.sum())
    share = f" ({100 * moved / total:.6f} %)" if total else ""
    are = verb(moved, "is", "are")
    lines = [f"at least {moved:,} of {counted(total, 'pixel')} {are} counted elsewhere{share}"]
    order = np.argsort(-np.abs(difference), axis=None, kind="stable")
    cells = []
    for place in order[: np.count_nonzero(difference)]:
        true, predicted = divmod(int(place), len(classes))
        cells.append(
            f"{shown(classes[true])} as {shown(classes[predicted])} "
            f"{difference[true, predicted]:+,}"
        )
    lines.append(f"{counted(len(cells), 'cell')} of the matrix: {listed(cells, most=6)}")
    touched = np.flatnonzero(difference.any(0) | difference.any(1))
    names = [shown(classes[int(index)]) for index in touched]
    lines.append(f"{counted(len(names), 'class', 'es')} concerned: {listed(names)}")
    return lines


def changed_pictures(here: Mapping[str, str], published: Mapping[str, str]) -> list[str]:
    """Return the names of the pictures in both whose predicted labels differ.

    Args:
        here: Digest of the predicted labels by name.
        published: The same, as published.
    """
    return [name for name in here if published.get(name, here[name]) != here[name]]
