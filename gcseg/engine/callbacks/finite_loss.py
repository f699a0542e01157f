"""Skip steps whose loss is NaN or infinite, or stop training; stop on non-finite scores too."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer

from gcseg.engine.module import SegmentationModule
from gcseg.errors import TrainingError
from gcseg.system.terminal import announce
from gcseg.system.text import counted


class FiniteLoss(L.Callback):
    """Keeps a loss of NaN or infinity out of the weights.

    The first steps with such a loss, as many as are allowed, are skipped: weights, running
    statistics and the optimizer's state stay unchanged, while the step counts, so that the
    learning rate and the order of the images continue as planned. Before the next such step the
    training stops. The state before that step is saved to a separate file: it may be the state
    that is broken, so last.ckpt stays.

    The last step before a validation has no loss after it. If its weights give scores of NaN or
    infinity in the validation, the training stops in the same way, and best.ckpt stays too.

    With half precision, non-finite gradients of a finite loss are left to the gradient scaler: it
    skips such steps by itself, and they are not counted here.

    Args:
        path: Path of the checkpoint to save.
        allowed: Number of steps that may be skipped in the whole training.
    """

    def __init__(self, path: Path, allowed: int = 0) -> None:
        self.path = path
        self.allowed = allowed
        self.skipped = 0
        self._step: int | None = None
        self._finite = True
        self._names: list[str] = []
        self._statistics: list[Tensor] = []

    @property
    def finite(self) -> bool:
        """Whether the last step was made, not skipped."""
        return self._finite

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget the steps of an earlier training."""
        self._step = None
        self._statistics = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: dict[str, Any], *_: Any
    ) -> None:
        """Store the names in the batch, and the running statistics at the first pass of a step.

        Every forward pass changes the statistics before its loss is known.
        """
        self._names = list(batch["name"])
        if trainer.global_step != self._step:
            self._step = trainer.global_step
            self._finite = True
            if self._statistics:
                _copy(pl_module.buffers(), self._statistics)
            else:
                self._statistics = [buffer.clone() for buffer in pl_module.buffers()]

    def on_before_backward(
        self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor
    ) -> None:
        """Check the loss on all processes together, as the backward pass needs all of them.

        Raises:
            TrainingError: It is not finite on one of them, and no more steps may be skipped.
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
        bad = [entry for entry in found if entry is not None]
        names = ", ".join(name for _, of_one in bad for name in of_one)
        skipped = f", after {counted(self.skipped, 'skipped step')}" if self.skipped else ""
        cause = f"the loss is {bad[0][0]} in step {trainer.global_step + 1}{skipped}, on {names}"
        if not self._finite:  # by an earlier pass of the same step
            announce(f"warning: {cause}: part of the same step")
            return
        if self.skipped >= self.allowed:
            _copy(self._statistics, pl_module.buffers())
            trainer.save_checkpoint(self.path)
            raise TrainingError(
                cause,
                "look at these files, lower optim.lr, use precision=32, or skip such steps with "
                f"skip_not_finite={self.skipped + 10} (the state before this step is in "
                f"{self.path})",
            )
        self._finite = False
        self.skipped += 1
        announce(f"warning: {cause}: step skipped ({self.skipped} of at most {self.allowed})")

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Skip a step whose loss is not finite.

        The backward pass is made all the same, so that the processes of a training stay in step.
        An optimizer leaves parameters without a gradient, and its state for them, unchanged.
        """
        if not self._finite:
            optimizer.zero_grad(set_to_none=True)
            _copy(self._statistics, pl_module.buffers())

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check the scores of a training's validation before anything uses them.

        Raises:
            TrainingError: Some are not finite.
            OutputError: The checkpoint can't be written.
        """
        if trainer.state.fn != "fit" or not isinstance(pl_module, SegmentationModule):
            return
        if count := pl_module.tally().not_finite:
            trainer.save_checkpoint(self.path)
            raise TrainingError(
                f"the network gives NaN or infinity on {counted(count, 'pixel')} of the validation "
                f"after step {trainer.global_step}",
                "lower optim.lr, use precision=32, or check what your head computes in evaluation "
                f"mode (the state before the validation is in {self.path}; earlier checkpoints "
                "stay)",
            )

    def state_dict(self) -> dict[str, Any]:
        """Number of skipped steps, for the checkpoint."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the count of skipped steps."""
        self.skipped = operator.index(state_dict["skipped"])


@torch.no_grad()
def _copy(source: Iterable[Tensor], target: Iterable[Tensor]) -> None:
    for theirs, ours in zip(source, target, strict=True):
        ours.copy_(theirs)
