"""Measure how well labels fit their pictures, and find exchanged labels, from content alone."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gcseg.data.reading import UInt8Array

CANDIDATES = 1000
"""Number of pairs, the poorest fits, that are compared with each other."""

FEWEST = 20
"""Smallest number of pairs; with fewer, the fit of labels to pictures can't be judged."""

_HEIGHT, _WIDTH = 96, 128  # of the grid on which all pictures are compared
_SAMPLES = 4  # largest number in each cell along each axis
_STEEP = 3  # steps are cut off at this multiple of their mean
_NORMAL = 1.4826  # standard deviation of normal values whose median absolute deviation is 1
_FIT = 4.0  # standard deviations by which both exchanged labels must fit better than others do
_GAIN = 2.5  # standard deviations by which both must fit better than the own labels

Float32Array = npt.NDArray[np.float32]


class Outline(NamedTuple):
    """The edges of a picture and the boundaries of its label, on one grid for all pictures.

    Args:
        edges: Steps between neighbouring cells, 255 the steepest.
        boundaries: Whether the label changes between these cells, packed 8 to a byte.
        fit: Correlation of edges and boundaries, -1 to 1.
        height: Height of the picture, in pixels.
        width: Width of the picture, in pixels.
    """

    edges: UInt8Array
    boundaries: UInt8Array
    fit: float
    height: int
    width: int


class Exchange(NamedTuple):
    """Two pairs whose labels fit much better when they are exchanged.

    Args:
        first: Index of one pair.
        second: Index of the other pair.
        before: Fits of the two pictures and their own labels.
        after: Fits of the two pictures and each other's labels.
    """

    first: int
    second: int
    before: tuple[float, float]
    after: tuple[float, float]


def outline(image: UInt8Array, label: UInt8Array) -> Outline | None:
    """Compare a picture's edges with its label's boundaries.

    Args:
        image: Picture, H x W x 3.
        label: Class indices, H x W.

    Returns:
        The outline; None where the picture has no edge or the label no boundary.
    """
    height, width = label.shape
    grid = (_WIDTH, _HEIGHT)
    # The mean of a few pixels per cell instead of all, so that the picture's size hardly matters.
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
    """Return differences of colour, cut off so that a few steep ones do not dominate the others."""
    red, green, blue = cv2.split(cv2.absdiff(one, other))
    steps = cv2.max(cv2.max(red, green), blue)
    # Zeros do not count: a small picture that was enlarged has many of them.
    limit = max(_STEEP * float(steps.sum()) / max(cv2.countNonZero(steps), 1), 1.0)
    return np.asarray(cv2.convertScaleAbs(steps, alpha=255 / limit), np.uint8).ravel()


def _standardised(values: npt.NDArray[np.uint8 | np.bool_]) -> Float32Array:
    """Scale values to mean 0 and norm 1, so that the dot product of two is their correlation."""
    centred = values.astype(np.float32)
    centred -= centred.mean()
    return np.asarray(centred / np.linalg.norm(centred), np.float32)


def poorest(outlines: Sequence[tuple[int, Outline]]) -> list[tuple[int, Outline]]:
    """Return the `CANDIDATES` pairs (index and outline) among which exchanges are searched."""
    return sorted(heapq.nsmallest(CANDIDATES, outlines, key=lambda item: (item[1].fit, item[0])))


def exchanged(outlines: Sequence[tuple[int, Outline]]) -> list[Exchange]:
    """Find pairs of one size whose labels were exchanged.

    Every label is compared with every picture. The fit of labels to other pictures gives the level
    of chance for this picture and this label, as all street scenes have much in common. Two labels
    count as exchanged if each fits the other's picture far better than chance, and better than its
    own picture. Where most labels do not fit their own pictures that well (sparse ones, drawn
    loosely), nothing is found. Frames of a video that differ little are found only where their
    labels differ enough.

    Args:
        outlines: Indices of pairs, and their outlines; with many pairs, the poorest fits.

    Returns:
        The exchanges, best first; no pair is in two.
    """
    if len(outlines) < FEWEST:
        return []
    fits = _all_fits([outline for _, outline in outlines])
    scores = _scores(fits)
    own = scores.diagonal()
    if np.median(own) < _FIT:  # no better than chance: chance would be reported
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
    """Compute the correlation of every picture (rows) with every label (columns)."""
    count = outlines[0].edges.size
    edges = np.stack([_standardised(one.edges) for one in outlines])
    unpacked = (np.unpackbits(one.boundaries, count=count) for one in outlines)
    boundaries = np.stack([_standardised(bits) for bits in unpacked])
    return np.asarray(edges @ boundaries.T, np.float32)


def _scores(fits: Float32Array) -> Float32Array:
    """Express fits in standard deviations above those with any other picture or label.

    The usual fit is estimated by medians, which an exchange hardly moves. Means would be moved by
    the judged fit itself: among n others no fit is further than sqrt(n - 1) deviations from their
    mean, so that with few pairs each exchange would be hidden.
    """
    by_picture, by_label = _medians(_others(fits)), _medians(_others(fits.T))
    usual = by_picture[:, None] + by_label[None, :] - np.median(_others(fits))
    rest = np.abs(fits - usual)
    of_pictures, of_labels = _others(rest), _others(rest.T)
    # The largest of three estimates: better to miss an exchange than to invent one.
    spread = np.maximum(_medians(of_pictures)[:, None], _medians(of_labels)[None, :])
    spread = _NORMAL * np.maximum(spread, np.median(of_pictures))
    return np.asarray((fits - usual) / np.maximum(spread, 1e-6), np.float32)  # 0 if all are equal


def _others(values: Float32Array) -> Float32Array:
    """Return the rows of a square matrix without its diagonal."""
    count = len(values)
    return values[~np.eye(count, dtype=bool)].reshape(count, count - 1)


def _medians(rows: Float32Array) -> Float32Array:
    return np.asarray(np.median(rows, axis=1), np.float32)
