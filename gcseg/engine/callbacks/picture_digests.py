"""Digests of the labels that an evaluation predicts, picture by picture."""

from __future__ import annotations

import hashlib
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor

from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.engine.module import SegmentationModule

_DIGITS = 16
"""Hexadecimal digits of a digest; two of a million pictures share one by chance once in 10^7."""


class PictureDigests(L.Callback):
    """Keeps a digest of each picture's predicted labels at the pixels that are scored.

    After an evaluation, `by_mode` has the digests of the whole split in every process, by mode and
    index of the picture.
    """

    def __init__(self) -> None:
        self.by_mode: dict[str, dict[int, str]] = {}

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget an earlier evaluation."""
        assert isinstance(pl_module, SegmentationModule)
        self.by_mode = {mode: {} for mode in pl_module.modes}

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the digests of a picture."""
        for mode, labels in outputs.items():
            self.by_mode[mode][int(batch["index"])] = digest(labels[0], batch["label"][0])

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gather the digests of all processes."""
        if trainer.world_size == 1:
            return
        gathered: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(gathered, self.by_mode)
        self.by_mode = {
            mode: {index: one for part in gathered for index, one in part[mode].items()}
            for mode in self.by_mode
        }


def digest(labels: Tensor, truth: Tensor) -> str:
    """Return hexadecimal digits that identify predicted labels, where the truth is not ignored.

    Args:
        labels: Predicted class indices, H x W.
        truth: Class indices of the label, H x W; 255 is ignored.
    """
    counted = labels.masked_fill(truth == IGNORE_INDEX, IGNORE_INDEX).to(torch.uint8).cpu()
    content = f"{counted.shape[0]}x{counted.shape[1]} ".encode() + counted.numpy().tobytes()
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
