"""How well labels fit their pictures, and which two labels were exchanged: seen from content."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gcseg.data.reading import UInt8Array

CANDIDATES = 1000
"""How many pairs, the poorest fits, are compared with each other."""

FEWEST = 20
"""With fewer pairs nothing is known of how well any label fits any picture."""

_HEIGHT, _WIDTH = 96, 128  # of the grid on which all pictures are compared
_SAMPLES = 4  # at most, of each cell and along each axis
_STEEP = 3  # steps count up to so many times their mean
_NORMAL = 1.4826  # standard deviation of normal values whose median absolute deviation is 1
_FIT = 4.0  # standard deviations by which both exchanged labels must fit better than others do
_GAIN = 2.5  # standard deviations by which both must fit better than the own labels

Float32Array = npt.NDArray[np.float32]


class Outline(NamedTuple):
    """The edges of a picture and the boundaries of its label, on one grid for all pictures.

    Args:
        edges: Steps between neighbouring cells, 255 the steepest.
        boundaries: Whether the label changes between these cells, 8 to a byte.
        fit: Their correlation, -1 to 1.
        height: Of the picture, in pixels.
        width: Likewise.
    """

    edges: UInt8Array
    boundaries: UInt8Array
    fit: float
    height: int
    width: int


class Exchange(NamedTuple):
    """Two pairs whose labels fit much better when they are exchanged.

    Args:
        first: Index of a pair.
        second: Index of the other.
        before: The fits of the two pictures and their own labels.
        after: The fits of the two pictures and each other's labels.
    """

    first: int
    second: int
    before: tuple[float, float]
    after: tuple[float, float]


def outline(image: UInt8Array, label: UInt8Array) -> Outline | None:
    """Compare where a picture has edges with where its label has boundaries.

    Args:
        image: H x W x 3.
        label: H x W.

    Returns:
        None where the picture has no edge or the label no boundary.
    """
    height, width = label.shape
    grid = (_WIDTH, _HEIGHT)
    # The mean of a few pixels of each cell instead of all: the picture's size hardly matters.
    across, down = (
        min(max(size // cells, 1), _SAMPLES) for size, cells in ((width, _WIDTH), (height, _HEIGHT))
    )
    sparse = cv2.resize(image, (across * _WIDTH, down * _HEIGHT), interpolation=cv2.INTER_NEAREST)
    picture = np.asarray(cv2.resize(sparse, grid, interpolation=cv2.INTER_AREA), np.uint8)
    small = cv2.resize(label, grid, interpolation=cv2.INTER_NEAREST)
    edges = np.concatenate(
        [_steps(picture[:, 1:], picture[:, :-1]), _steps(picture[1:], picture[:-1])]
    )
    boundaries = np.concatenate(
        [(small[:, 1:] != small[:, :-1]).ravel(), (small[1:] != small[:-1]).ravel()]
    )
    if edges.min() == edges.max() or boundaries.min() == boundaries.max():
        return None
    fit = float(_standardised(edges) @ _standardised(boundaries))
    return Outline(edges, np.packbits(boundaries), fit, height, width)


def _steps(one: UInt8Array, other: UInt8Array) -> UInt8Array:
    """Differences of colour, cut off so that a few steep ones do not outweigh all others."""
    red, green, blue = cv2.split(cv2.absdiff(one, other))
    steps = cv2.max(cv2.max(red, green), blue)
    # Of those that are no 0: a small picture that was enlarged has many of these.
    limit = max(_STEEP * float(steps.sum()) / max(cv2.countNonZero(steps), 1), 1.0)
    return np.asarray(cv2.convertScaleAbs(steps, alpha=255 / limit), np.uint8).ravel()


def _standardised(values: npt.NDArray[np.uint8 | np.bool_]) -> Float32Array:
    """Values of mean 0 and norm 1, so that the dot product of two is their correlation."""
    centred = values.astype(np.float32)
    centred -= centred.mean()
    return np.asarray(centred / np.linalg.norm(centred), np.float32)


def poorest(outlines: Sequence[tuple[int, Outline]]) -> list[tuple[int, Outline]]:
    """The `CANDIDATES` pairs, index and outline, in which an exchange is looked for."""
    return sorted(heapq.nsmallest(CANDIDATES, outlines, key=lambda item: (item[1].fit, item[0])))


def exchanged(outlines: Sequence[tuple[int, Outline]]) -> list[Exchange]:
    """Find pairs of one size whose labels were exchanged.

    Every label is laid over every picture. How well labels fit pictures that are not theirs says
    what is chance, for this picture and this label: all street scenes have much in common. Two
    labels count as exchanged if each fits the other's picture far better than chance, and better
    than its own picture. Where most labels do not fit their own pictures that well (sparse ones,
    drawn loosely), nothing is known and nothing is found. The frames of a video that differ little
    are found only where their labels differ enough.

    Args:
        outlines: Indices of pairs, and their outlines; the poorest fits where there are many.

    Returns:
        The exchanges, best first; no pair is in two.
    """
    if len(outlines) < FEWEST:
        return []
    fits = _all_fits([outline for _, outline in outlines])
    scores = _scores(fits)
    own = scores.diagonal()
    if np.median(own) < _FIT:  # these labels fit no better than chance: it would tell of exchanges
        return []
    both = np.minimum(scores, scores.T)
    gain = np.minimum(scores - own[:, None], (scores - own[:, None]).T)
    found = []
    taken: set[int] = set()
    rows, columns = np.nonzero(np.triu((both >= _FIT) & (gain >= _GAIN), 1))
    for one, other in sorted(
        zip(rows.tolist(), columns.tolist(), strict=True), key=lambda ij: -float(gain[ij])
    ):
        (first, a), (second, b) = outlines[one], outlines[other]
        if (a.height, a.width) != (b.height, b.width) or taken & {one, other}:
            continue
        taken |= {one, other}
        after = (float(fits[one, other]), float(fits[other, one]))
        found.append(Exchange(first, second, (a.fit, b.fit), after))
    return found


def _all_fits(outlines: Sequence[Outline]) -> Float32Array:
    """Correlations of every picture (rows) with every label (columns)."""
    count = outlines[0].edges.size
    edges = np.stack([_standardised(one.edges) for one in outlines])
    unpacked = (np.unpackbits(one.boundaries, count=count) for one in outlines)
    boundaries = np.stack([_standardised(bits) for bits in unpacked])
    return np.asarray(edges @ boundaries.T, np.float32)


def _scores(fits: Float32Array) -> Float32Array:
    """Fits in standard deviations above what the picture and the label have with any other.

    What is usual is told by medians, which an exchange hardly moves. Means would be moved by the
    very fit that is judged: among n others no fit is further than sqrt(n - 1) deviations from
    their mean, so that few pairs would hide each exchange.
    """
    by_picture, by_label = _medians(_others(fits)), _medians(_others(fits.T))
    usual = by_picture[:, None] + by_label[None, :] - np.median(_others(fits))
    rest = np.abs(fits - usual)
    of_pictures, of_labels = _others(rest), _others(rest.T)
    # The largest of three estimates: better to miss an exchange than to invent one.
    spread = np.maximum(_medians(of_pictures)[:, None], _medians(of_labels)[None, :])
    spread = _NORMAL * np.maximum(spread, np.median(of_pictures))
    return np.asarray((fits - usual) / np.maximum(spread, 1e-6), np.float32)  # 0: all are alike


def _others(values: Float32Array) -> Float32Array:
    """The rows of a square matrix without its diagonal."""
    count = len(values)
    return values[~np.eye(count, dtype=bool)].reshape(count, count - 1)


def _medians(rows: Float32Array) -> Float32Array:
    return np.asarray(np.median(rows, axis=1), np.float32)
