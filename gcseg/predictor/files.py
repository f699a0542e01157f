"""The files of predicted pictures: masks, pictures next to the truth, overlays and tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from gcseg.data.convert.classes import MASKS_CLASSES, class_list
from gcseg.data.convert.masks import Masked
from gcseg.data.convert.write import write as write_annotations
from gcseg.data.datasets import Pair
from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.parallel import Progress
from gcseg.data.reading import UInt8Array, read_image, read_label
from gcseg.engine.picture_outputs import SHEET
from gcseg.predictor.formats import (
    ANNOTATIONS,
    FOLDERS,
    OF_PICTURES,
    class_areas,
    write_areas,
    write_probabilities,
)
from gcseg.predictor.prediction import Prediction
from gcseg.system.files import atomic_write
from gcseg.system.text import say
from gcseg.visualization.pictures import contact_sheet, panel

PARTS = tuple(FOLDERS.values())
"""Folders with one file per image or video."""

_SHEET_ROWS = 8
_SPLIT = "predicted"
"""Name of the split in the files of annotation tools."""
_TOLERANCE = 1.0
"""Largest distance of polygons from the outlines, in pixels, as `gcseg.data convert` has it."""
_IMAGE_URL = "/data/local-files/?d="
"""Beginning of the pictures' addresses in Label Studio, as `gcseg.data convert` has it."""


class PredictionFiles:
    """Writes what is asked for of each prediction, and one sheet of the first few.

    `masks/<name>.png` are palette PNGs of class indices or of the values that stand for them,
    `pictures/<name>.png` show image, truth and prediction, `overview.png` the first eight of them
    with a legend. `masks.yaml` says which value of a mask is which class. `overlays/<name>.png`,
    `probabilities/<name>.npz`, `areas.csv` and the folders of annotation tools are further formats.

    Args:
        folder: Output folder.
        space: Names and colours of the predicted classes.
        values: 256 pixel values of the masks by class index; class indices if None.
        formats: What is written, of the setting `format`.

    Attributes:
        names: Names of the predictions that are written, in order.
    """

    def __init__(
        self,
        folder: Path,
        space: LabelSpace,
        values: UInt8Array | None = None,
        formats: Sequence[str] = OF_PICTURES,
    ) -> None:
        self.folder = folder
        self.space = space
        self.values = values
        self.formats = set(formats)
        if self.formats & set(ANNOTATIONS):
            self.formats.add("mask")  # of which they are made
        self.names: list[str] = []
        self._areas: dict[str, Sequence[float]] = {}

    def write(self, prediction: Prediction) -> list[Path]:
        """Write the files of one prediction, and return their paths.

        Raises:
            OutputError: The folder can't be written.
        """
        written = []
        if "mask" in self.formats:
            picture = prediction.picture("mask", self.values)
            written.append(self._save(picture, "mask", prediction.name))
        if "panel" in self.formats:
            drawn = panel(prediction.image, prediction.label, prediction.mask, self.space)
            written.append(self._save(Image.fromarray(drawn), "panel", prediction.name))
        if "overlay" in self.formats:
            written.append(self._save(prediction.picture("overlay"), "overlay", prediction.name))
        if "probabilities" in self.formats:
            written.append(write_probabilities(prediction, self.folder))
        self.keep(prediction.name, class_areas(prediction) if "csv" in self.formats else ())
        return written

    def keep(self, name: str, areas: Sequence[float]) -> None:
        """Count a prediction whose files are written.

        Args:
            name: Its name.
            areas: Fraction of the image of each class, by class index.
        """
        self.names.append(name)
        self._areas[name] = areas

    def areas(self, name: str) -> Sequence[float]:
        """Return the fraction of the image of each class, of a prediction that is written."""
        return self._areas[name]

    def in_order(self, names: Sequence[str]) -> None:
        """Put the predictions in the order of all names, some of which may have none."""
        self.names = [name for name in names if name in self._areas]
        self._areas = {name: self._areas[name] for name in self.names}

    def finish(self, pairs: Sequence[Pair], progress: Progress) -> list[Path]:
        """Write what is one file for all predictions, and return the paths to name.

        Args:
            pairs: The pictures, of which some have no prediction.
            progress: Callback that is passed the numbers of pictures done and of all.

        Raises:
            OutputError: The folder can't be written.
            ConfigError: A folder of annotations holds other files.
        """
        if not self.names:
            return []
        if "mask" in self.formats:
            self.write_classes()
        written = []
        if "panel" in self.formats:
            names = self.names[:_SHEET_ROWS]
            panels = [read_image(self._path("panel", name)) for name in names]
            sheet = contact_sheet(panels, self.space, names=names)
            with atomic_write(self.folder / SHEET) as file:
                sheet.save(file, format="PNG")
            written.append(self.folder / SHEET)
        if "csv" in self.formats:
            written.append(write_areas(self._areas, self.space.names, self.folder))
        for form in ANNOTATIONS:
            if form in self.formats:
                written.append(self._annotations(form, pairs, progress))
        return written

    def write_classes(self) -> None:
        """Write the list of classes with the values that the masks have for them.

        Raises:
            OutputError: The folder can't be written.
        """
        with atomic_write(self.folder / MASKS_CLASSES) as file:
            file.write(class_list(self._classes()))

    def _annotations(self, form: str, pairs: Sequence[Pair], progress: Progress) -> Path:
        written = set(self.names)
        masks = [
            Masked(
                pair.name,
                _SPLIT,
                pair.image,
                partial(read_label, self._path("mask", pair.name), self._classes()),
            )
            for pair in pairs
            if pair.name in written
        ]
        write_annotations(
            masks,
            self.space,
            form,
            self.folder / form,
            pictures="link" if form == "labelme" else "none",
            tolerance=_TOLERANCE,
            image_url=_IMAGE_URL,
            overwrite=True,
            sources=tuple({pair.image.parent for pair in pairs}),
            progress=progress,
            say=say,
        )
        return self.folder / form

    def _classes(self) -> LabelSpace:
        """Return the classes with the values that the masks have for them."""
        names, colors = self.space.names, self.space.colors
        values = range(len(names)) if self.values is None else self.values[: len(names)].tolist()
        return LabelSpace(names, colors, {value: index for index, value in enumerate(values)})

    def _path(self, form: str, name: str) -> Path:
        return self.folder / FOLDERS[form] / f"{name}.png"

    def _save(self, picture: Image.Image, form: str, name: str) -> Path:
        path = self._path(form, name)
        with atomic_write(path) as file:
            picture.save(file, format="PNG")
        return path


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
