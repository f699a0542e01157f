"""Forms in which predictions are written, besides masks and pictures of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gcseg.predictor.prediction import Prediction
from gcseg.system.files import atomic_write

FOLDERS = {
    "mask": "masks",
    "panel": "pictures",
    "overlay": "overlays",
    "probabilities": "probabilities",
    "csv": "areas",
}
"""Folders of the output with a file per picture or video, by format."""

ANNOTATIONS = ("coco", "labelme", "label_studio")
"""Formats of annotation tools, which are made of the masks; each has a folder of its name."""

OF_PICTURES = ("mask", "panel")
OF_VIDEOS = ("mask", "overlay", "csv")
"""Formats that are written if none are asked for."""

AREAS = "areas.csv"
"""File with the class areas of all pictures."""


def chosen(given: str | Sequence[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the formats of pictures and of videos.

    Args:
        given: Value of the setting format.
    """
    if given is None:
        return OF_PICTURES, OF_VIDEOS
    formats = tuple(dict.fromkeys([given] if isinstance(given, str) else given))
    return formats, formats


def probability_bytes(pixels: int, classes: int) -> int:
    """Return the size of the probabilities of a number of pixels, in bytes."""
    return 2 * pixels * classes


def write_probabilities(prediction: Prediction, folder: Path) -> Path:
    """Write `probabilities/<name>.npz`: probabilities, C x H x W float16, and names of the classes.

    Args:
        prediction: A prediction with probabilities.
        folder: Output folder.

    Raises:
        OutputError: The file can't be written.
    """
    path = folder / FOLDERS["probabilities"] / f"{prediction.name}.npz"
    assert prediction.probabilities is not None
    names = np.array(prediction.classes)  # text of NumPy, which is read without pickle
    with atomic_write(path) as file:
        np.savez(file, probabilities=prediction.probabilities, classes=names)
    return path


def class_areas(prediction: Prediction) -> list[float]:
    """Return the fraction of the image that each class covers, by class index."""
    counts = np.bincount(prediction.mask.ravel(), minlength=prediction.space.num_classes)
    return [float(count / prediction.mask.size) for count in counts]


def write_areas(areas: Mapping[str, Sequence[float]], classes: Sequence[str], folder: Path) -> Path:
    """Write the table of class areas: a row for each picture, a column for each class.

    Args:
        areas: Fractions by class index, by name of the picture.
        classes: Names of the classes.
        folder: Output folder.

    Raises:
        OutputError: The file can't be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["name", *classes])
    for name, fractions in areas.items():
        table.writerow([name, *(f"{fraction:.6f}" for fraction in fractions)])
    with atomic_write(folder / AREAS) as file:
        file.write(text.getvalue().encode())
    return folder / AREAS
