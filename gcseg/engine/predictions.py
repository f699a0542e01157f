"""Write predictions as they come."""

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
from gcseg.data.label_spaces import LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.files import atomic_write
from gcseg.report.pictures import contact_sheet, panel

_SHEET_ROWS = 8


class PredictionWriter(BasePredictionWriter):
    """Writes an index mask and a picture per image, and one sheet of the first few.

    `masks/<name>.png` are palette PNGs of class indices, `pictures/<name>.png` show image, truth
    and prediction, `overview.png` the first eight of them with a legend.

    Args:
        folder: Where to write.
        dataset: The images that are predicted, in the loader's order.
        space: Names and colours of the predicted classes.
    """

    def __init__(self, folder: Path, dataset: SegmentationDataset, space: LabelSpace) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self.dataset = dataset
        self.space = space
        self._panels: list[UInt8Array] = []

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
            OutputError: The folder can't be written.
        """
        index = int(batch["index"][0])
        name = self.dataset.pairs[index].name
        image, label = self.dataset.read(index)
        classes = np.asarray(prediction[0].cpu(), np.uint8)
        mask = Image.fromarray(classes, "P")
        mask.putpalette(self.space.palette.tobytes())
        picture = panel(image, label, classes, self.space)
        self._save(mask, f"masks/{name}.png")
        self._save(Image.fromarray(picture), f"pictures/{name}.png")
        if len(self._panels) < _SHEET_ROWS:
            self._panels.append(picture)

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the sheet.

        Raises:
            OutputError: The folder can't be written.
        """
        self._save(contact_sheet(self._panels, self.space), "overview.png")

    def _save(self, picture: Image.Image, name: str) -> None:
        with atomic_write(self.folder / name) as file:
            picture.save(file, format="PNG")
