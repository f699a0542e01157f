"""Log pictures of the same few validation images with their predictions, during training."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import pytorch_lightning as L
import torch
from PIL import Image

from gcseg.data.datasets import SegmentationDataset
from gcseg.data.images import displayed
from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.data.samples import evenly
from gcseg.errors import ConfigError

ERRORS = {0: "right", 1: "wrong", IGNORE_INDEX: "ignored"}
"""Meaning of the values of an error mask."""


@dataclass(frozen=True)
class PanelImage:
    """One picture of a panel.

    Args:
        name: Name of the image in its split.
        image: H x W x 3 RGB.
        truth: H x W class indices.
        prediction: H x W class indices.
    """

    name: str
    image: UInt8Array
    truth: UInt8Array
    prediction: UInt8Array

    @property
    def errors(self) -> UInt8Array:
        """Error mask, H x W, of the values of `ERRORS`."""
        wrong: UInt8Array = (self.prediction != self.truth).astype(np.uint8)
        wrong[self.truth == IGNORE_INDEX] = IGNORE_INDEX
        return wrong


def of_one_size(images: Sequence[PanelImage]) -> list[PanelImage]:
    """Pad pictures at the bottom and right, as ignored pixels, to the size of the largest."""
    height = max(one.image.shape[0] for one in images)
    width = max(one.image.shape[1] for one in images)

    def padded(pixels: UInt8Array, value: int) -> UInt8Array:
        missing = ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]))
        return np.pad(pixels, (*missing, (0, 0))[: pixels.ndim], constant_values=value)

    return [
        PanelImage(one.name, padded(one.image, 0), *(padded(label, IGNORE_INDEX)
                                                     for label in (one.truth, one.prediction)))
        for one in images
    ]  # fmt: skip


def encoded(pixels: UInt8Array, file_type: str) -> int:
    """Size in bytes of a picture, H x W or H x W x 3, as a file of Pillow's type."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_type)
    return file.tell()


class TakesPanels(Protocol):
    """Interface of a logger that takes pictures."""

    def panel_bytes(self, image: PanelImage, space: LabelSpace) -> int:
        """Size of a logged picture, in bytes."""

    def log_panel(self, images: Sequence[PanelImage], space: LabelSpace, step: int) -> None:
        """Log pictures at a step."""


class Panel(L.Callback):
    """Logs the same validation images with their predictions at validations in training.

    The images are spread evenly over the split, whatever the number of processes. All pictures of
    a run together stay within a byte budget: if they would not, some validations log none, and if
    need be there are fewer images. It draws no random numbers.

    Args:
        dataset: The validation split.
        images: Largest number of images.
        longest: Length of the longer side, in pixels, to which larger images are scaled down.
        megabytes: Budget for all pictures of the run, in 10^6 bytes.
        validations: Number of validations in the whole training.
        only: Indices of the images that training validates; None for all of the split.

    Raises:
        ConfigError: A number is too small.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        *,
        images: int = 8,
        longest: int = 512,
        megabytes: float = 50,
        validations: int,
        only: Sequence[int] | None = None,
    ) -> None:
        for name, value in (("images", images), ("longest", longest)):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(
                    f"logger.panel.{name}={value}",
                    "give a whole number, 1 or more, or logger.panel=null for no pictures",
                )
        if megabytes <= 0:
            raise ConfigError(
                f"logger.panel.megabytes={megabytes}",
                "give a number above 0, or logger.panel=null for no pictures",
            )
        self.dataset = dataset
        validated = range(len(dataset)) if only is None else only
        count = min(images, len(validated))
        self.indices = [validated[position] for position in evenly(count, len(validated))]
        self.longest = longest
        self.budget = int(megabytes * 1e6)
        self.validations = validations
        self.seen = 0
        self.next = 1
        self.spent = 0
        self._predictions: dict[int, UInt8Array] = {}
        self._read: dict[int, tuple[UInt8Array, UInt8Array]] = {}

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Discard the predictions of an interrupted validation."""
        self._predictions = {}

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        *_: Any,
        **__: Any,
    ) -> None:
        """Keep the prediction of an image of the panel, scaled down.

        Args:
            trainer: Trainer whose loggers may take pictures.
            pl_module: Not used.
            outputs: Class indices, 1 x H x W, by mode of test-time augmentation.
            batch: Batch of one image, with its `index` in the split.
        """
        if not self._takers(trainer) or (index := int(batch["index"])) not in self.indices:
            return
        predicted = next(iter(outputs.values()))[0]
        self._predictions[index] = self._small(predicted.to(torch.uint8).cpu().numpy())

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gather the predictions of all processes, and log as many as the budget allows.

        Raises:
            DataError: An image can't be read.
        """
        takers = self._takers(trainer)
        if not takers:
            return
        predictions = self._of_all_processes(trainer)
        if len(predictions) < len(self.indices):  # the validation was interrupted, and is repeated
            return
        self.seen += 1
        if not trainer.is_global_zero or self.seen < min(self.next, self.validations):
            return
        panel = [self._picture(index, predictions) for index in self.indices]
        space = self.dataset.label_space
        sizes = [sum(taker.panel_bytes(one, space) for taker in takers) for one in panel]
        panel = panel[: self._affordable(sizes)]
        if panel:
            # The step under which the other metrics of this validation are logged.
            step = trainer.fit_loop.epoch_loop._batches_that_stepped
            for taker in takers:
                taker.log_panel(panel, space, step)

    def state_dict(self) -> dict[str, Any]:
        """Bytes spent, and when the next panel is due; correct in the first process only."""
        return {"seen": self.seen, "next": self.next, "spent": self.spent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both from a checkpoint."""
        self.seen, self.next = state_dict["seen"], state_dict["next"]
        self.spent = state_dict["spent"]

    def _takers(self, trainer: L.Trainer) -> list[TakesPanels]:
        """Loggers that take pictures, in training; the same in every process."""
        if trainer.state.fn != "fit":
            return []
        loggers: list[Any] = trainer.loggers
        return [logger for logger in loggers if hasattr(logger, "log_panel")]

    def _of_all_processes(self, trainer: L.Trainer) -> Mapping[int, UInt8Array]:
        if trainer.world_size == 1:
            return self._predictions
        gathered: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(gathered, self._predictions)
        return {index: one for part in gathered for index, one in part.items()}

    def _picture(self, index: int, predictions: Mapping[int, UInt8Array]) -> PanelImage:
        if index not in self._read:
            image, truth = self.dataset.read(index)
            if truth is None:
                raise RuntimeError("the panel is of a split with labels")
            self._read[index] = self._small(displayed(image)), self._small(truth)
        image, truth = self._read[index]
        return PanelImage(self.dataset.pairs[index].name, image, truth, predictions[index])

    def _affordable(self, sizes: Sequence[int]) -> int:
        """Count the images of a panel that the budget allows; plan when the next panel is due.

        Args:
            sizes: Bytes of each image.
        """
        left = max(0, self.validations - self.seen)
        # A panel at the end is worth more than more images now.
        allowed = (self.budget - self.spent) / (2 if left else 1)
        count = len(sizes)
        while sum(sizes[:count]) > allowed:
            count -= 1
        size = sum(sizes[:count])
        self.spent += size
        further = (self.budget - self.spent) // size if size else 0
        self.next = self.seen + (math.ceil(left / further) if further else left)
        return count

    def _small(self, pixels: UInt8Array) -> UInt8Array:
        """Scale an image, or class indices, down to a longer side of at most `longest`."""
        height, width = pixels.shape[:2]
        scale = self.longest / max(height, width)
        if scale >= 1:
            return pixels
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        how = cv2.INTER_AREA if pixels.ndim == 3 else cv2.INTER_NEAREST
        return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)
