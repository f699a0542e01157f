"""The files of predictions: masks, pictures next to the truth, and a sheet of the first few."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gcseg.data.convert.classes import MASKS_CLASSES, class_list
from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.engine.picture_outputs import SHEET
from gcseg.predictor.prediction import Prediction
from gcseg.system.files import atomic_write
from gcseg.visualization.pictures import contact_sheet, panel

PARTS = ("masks", "pictures")
"""Folders with one file per image."""

_SHEET_ROWS = 8


class PredictionFiles:
    """Writes an index mask and a picture per prediction, and one sheet of the first few.

    `masks/<name>.png` are palette PNGs of class indices or of the values that stand for them,
    `pictures/<name>.png` show image, truth and prediction, `overview.png` the first eight of them
    with a legend. `masks.yaml` says which value of a mask is which class.

    Args:
        folder: Output folder.
        space: Names and colours of the predicted classes.
        values: 256 pixel values of the masks by class index; class indices if None.

    Attributes:
        names: Names of the predictions that are written.
    """

    def __init__(self, folder: Path, space: LabelSpace, values: UInt8Array | None = None) -> None:
        self.folder = folder
        self.space = space
        self.values = values
        self.names: list[str] = []
        self._panels: list[UInt8Array] = []

    def write(self, prediction: Prediction) -> None:
        """Write the files of one prediction.

        Raises:
            OutputError: The folder can't be written.
        """
        picture = panel(prediction.image, prediction.label, prediction.mask, self.space)
        self._save(prediction.picture("mask", self.values), f"masks/{prediction.name}.png")
        self._save(Image.fromarray(picture), f"pictures/{prediction.name}.png")
        self.names.append(prediction.name)
        if len(self._panels) < _SHEET_ROWS:
            self._panels.append(picture)

    def write_sheet(self) -> bool:
        """Write the sheet and the class list, and return whether there was anything to show.

        Raises:
            OutputError: The folder can't be written.
        """
        if not self._panels:
            return False
        self._save(contact_sheet(self._panels, self.space, names=self.names[:_SHEET_ROWS]), SHEET)
        with atomic_write(self.folder / MASKS_CLASSES) as file:
            file.write(class_list(self._classes()))
        return True

    def _classes(self) -> LabelSpace:
        """Return the classes with the values that the masks have for them."""
        names, colors = self.space.names, self.space.colors
        values = range(len(names)) if self.values is None else self.values[: len(names)].tolist()
        return LabelSpace(names, colors, {value: index for index, value in enumerate(values)})

    def _save(self, picture: Image.Image, name: str) -> None:
        with atomic_write(self.folder / name) as file:
            picture.save(file, format="PNG")


def file_values(space: LabelSpace) -> UInt8Array:
    """Map class indices to the pixel values that a dataset's label files have for them.

    Args:
        space: Classes and their values; the smallest counts where several stand for one class.

    Returns:
        256 values by class index, 255 for unused indices.
    """
    values = np.full(256, IGNORE_INDEX, np.uint8)
    for value in sorted(space.values, reverse=True):
        values[space.values[value]] = value
    return values
