"""Write predictions to files while a split is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as L
from PIL import Image
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from gcseg.data.datasets import SegmentationDataset
from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.engine.picture_outputs import SHEET
from gcseg.errors import DataError, WeightsError
from gcseg.system.files import atomic_write
from gcseg.system.text import counted
from gcseg.visualization.pictures import contact_sheet, panel

PARTS = ("masks", "pictures")
"""Folders with one file per image."""

_SHEET_ROWS = 8


class PredictionWriter(BasePredictionWriter):
    """Writes an index mask and a picture per image, and one sheet of the first few.

    `masks/<name>.png` are palette PNGs of class indices or of the values that stand for them,
    `pictures/<name>.png` show image, truth and prediction, `overview.png` the first eight of them
    with a legend.

    Args:
        folder: Output folder.
        dataset: The predicted images, in the loader's order.
        space: Names and colours of the predicted classes.
        values: 256 pixel values of the masks by class index; class indices if None.
    """

    def __init__(
        self,
        folder: Path,
        dataset: SegmentationDataset,
        space: LabelSpace,
        values: UInt8Array | None = None,
    ) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self.dataset = dataset
        self.space = space
        self.values = np.arange(256, dtype=np.uint8) if values is None else values
        self.written: set[int] = set()
        self._panels: list[UInt8Array] = []
        self._names: list[str] = []

    def write_on_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        prediction: Tensor,
        batch_indices: Sequence[int] | None,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write one image's prediction, 1 x H x W.

        Raises:
            WeightsError: The network's scores of it are NaN or infinite.
            OutputError: The folder can't be written.
        """
        index = int(batch["index"][0])
        name = self.dataset.pairs[index].name
        image, label = self.dataset.read(index)
        found = prediction[0].cpu().numpy()
        if count := int(np.count_nonzero(found < 0)):
            raise WeightsError(
                f"the network gives NaN or infinity on {counted(count, 'pixel')} of {name}",
                "use a checkpoint of before it diverged, or precision=32",
            )
        classes = np.asarray(found, np.uint8)
        mask = Image.fromarray(self.values[classes], "P")
        palette = np.zeros((256, 3), np.uint8)
        palette[self.values[: self.space.num_classes]] = self.space.colors
        mask.putpalette(palette.tobytes())
        picture = panel(image, label, classes, self.space)
        self._save(mask, f"masks/{name}.png")
        self._save(Image.fromarray(picture), f"pictures/{name}.png")
        self.written.add(index)
        if len(self._panels) < _SHEET_ROWS:
            self._panels.append(picture)
            self._names.append(name)

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the sheet, if it has any pictures.

        Raises:
            OutputError: The folder can't be written.
        """
        if self._panels:
            self._save(contact_sheet(self._panels, self.space, names=self._names), SHEET)

    def unwritten(self) -> list[DataError]:
        """Errors of the samples without a prediction, whose files could not be read."""
        return [
            self._reading_error(index)
            for index in range(len(self.dataset))
            if index not in self.written
        ]

    def _reading_error(self, index: int) -> DataError:
        try:
            self.dataset.read(index)
        except DataError as error:
            return error
        name = self.dataset.pairs[index].name
        return DataError(f"{name} could not be read at first", "predict it again")

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
