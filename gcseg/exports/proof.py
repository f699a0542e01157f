"""Proof that an export predicts what the trained network does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.reading import UInt8Array
from gcseg.exports.form import Precision
from gcseg.metrics.scores import scores

LIMITS: Mapping[Precision, Mapping[str, float]] = {
    "fp32": {"equal": 0.99999, "miou": 0.0001},
    "fp16": {"equal": 0.995, "miou": 0.001},
    "int8": {"equal": 0.0, "miou": 0.003},
}
"""By precision, the smallest share of equal pixels, and the largest loss of mIoU as a fraction."""


class Comparison:
    """Counts the pixels that a network and its export predict, over pictures.

    Args:
        classes: Names of the classes.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.images = 0
        self.pixels = 0
        self.equal = 0
        count = len(classes)
        self.matrices = {name: np.zeros((count, count), np.int64) for name in ("pytorch", "export")}

    def add(self, trained: UInt8Array, exported: UInt8Array, truth: UInt8Array | None) -> None:
        """Count a picture.

        Args:
            trained: Class indices by the network in PyTorch, H x W.
            exported: Class indices by the export, H x W.
            truth: True class indices, H x W, with 255 ignored; None if they are not known.
        """
        self.images += 1
        self.pixels += trained.size
        self.equal += int(np.count_nonzero(trained == exported))
        if truth is not None:
            for name, mask in (("pytorch", trained), ("export", exported)):
                self.matrices[name] += _confusion(truth, mask, len(self.classes))

    def proof(self, precision: Precision, source: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result as plain values.

        Args:
            precision: Precision of the export, which decides what is allowed.
            source: Description of the pictures.
        """
        labelled = bool(self.matrices["pytorch"].any())
        found = {
            name: scores(torch.from_numpy(matrix), self.classes).miou if labelled else None
            for name, matrix in self.matrices.items()
        }
        before, after = found["pytorch"], found["export"]
        lost = None if before is None or after is None else before - after
        limits = LIMITS[precision]
        share = self.equal / self.pixels
        within = share >= limits["equal"] and (lost is None or _within(lost, precision))
        return {
            "passed": within and (labelled or precision == "fp32"),
            **source,
            "images": self.images,
            "pixels": self.pixels,
            "equal_pixels": self.equal,
            "equal": share,
            "miou": None if not labelled else {**found, "lost": lost},
            "limits": {"equal_at_least": limits["equal"], "miou_lost_at_most": limits["miou"]},
            "confusion": {n: m.tolist() for n, m in self.matrices.items()} if labelled else None,
        }


def _within(lost: float, precision: Precision) -> bool:
    """Return whether a change of mIoU is allowed; float32 may not gain either."""
    return (abs(lost) if precision == "fp32" else lost) <= LIMITS[precision]["miou"]


def _confusion(truth: UInt8Array, mask: UInt8Array, count: int) -> npt.NDArray[np.int64]:
    counted = truth != IGNORE_INDEX
    pairs = truth[counted].astype(np.int64) * count + mask[counted]
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def in_words(proof: Mapping[str, Any]) -> str:
    """Describe a proof in a line."""
    line = (
        f"{100 * proof['equal']:.5f} % of {proof['pixels']:,} pixels of {proof['images']:,} "
        "pictures equal"
    )
    miou = proof["miou"]
    if miou is None:
        return f"{line}, without labels"
    return f"{line}, mIoU {100 * miou['export']:.3f} % and {100 * miou['pytorch']:.3f} % in PyTorch"
