"""Stop a training whose loss is no number any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor

from gcseg.errors import TrainingError


class FiniteLoss(L.Callback):
    """Stops before the step that a loss of NaN or infinity would be part of.

    Weights and optimizer as they are before that step are saved to a file of their own: they may be
    what is broken, so last.ckpt stays.

    Args:
        path: The checkpoint to save.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: list[str] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: dict[str, Any], *_: Any
    ) -> None:
        """Note what the batch holds."""
        self._names = list(batch["name"])

    def on_before_backward(
        self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor
    ) -> None:
        """Look at the loss, on all processes together, as saving takes them all.

        Raises:
            TrainingError: It is not finite on one of them.
            OutputError: The checkpoint can't be written.
        """
        finite = bool(torch.isfinite(loss))
        if trainer.strategy.reduce_boolean_decision(finite, all=True):
            return
        found: list[tuple[float, list[str]] | None] = [
            None if finite else (float(loss.detach()), self._names)
        ]
        if trainer.world_size > 1:
            found *= trainer.world_size
            torch.distributed.all_gather_object(found, found[0])
        trainer.save_checkpoint(self.path)
        bad = [entry for entry in found if entry is not None]
        names = [name for _, of_one in bad for name in of_one]
        raise TrainingError(
            f"the loss is {bad[0][0]} after {trainer.global_step} steps, on {', '.join(names)}",
            "look at these files, lower optim.lr, or use precision=32 (weights and optimizer as "
            f"they were are in {self.path})",
        )
