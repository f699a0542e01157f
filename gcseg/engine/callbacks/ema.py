"""Exponential moving average of the weights, for validation and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gcseg.system.text import say
from gcseg.weights import RAW_WEIGHTS


class MovingAverage(L.Callback):
    """Averages parameters and batch norm's statistics over the steps.

    Validation scores the average, and checkpoints hold it as their `state_dict`, so that every
    reader gets the average; the weights that the optimizer continues from are stored separately.
    The callback has to come before every callback that saves after a step.

    Lightning's own `EMAWeightAveraging` is not used: it also swaps weights in evaluations after the
    training, so that the best checkpoint's scores would be the last step's; it changes the average
    in a validation, so that what is saved there is wrong; and it has no warm-up.

    Args:
        decay: Decay of the average per step: `average = decay * average + (1 - decay) * weights`.
        warmup: Whether the decay rises to that from small values: at most (1 + n) / (10 + n) after
            n steps. Source: TensorFlow's `ExponentialMovingAverage` with `num_updates`.
        changed: Callback that returns whether the last step changed the weights.
    """

    def __init__(
        self, decay: float, *, warmup: bool = True, changed: Callable[[], bool] = lambda: True
    ) -> None:
        self.decay = decay
        self.warmup = warmup
        self.changed = changed
        self._average: dict[str, Tensor] = {}
        self._raw: dict[str, Tensor] = {}  # while validation has the average in the network
        self._step = 0

    def decay_at(self, step: int) -> float:
        """Decay in a step.

        Args:
            step: Number of optimizer steps done, including this one.
        """
        return min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore an interrupted training's average, and its weights into the network."""
        self._average = checkpoint["state_dict"]
        pl_module.load_state_dict(checkpoint[RAW_WEIGHTS])

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the average from the weights, on their device, or continue a restored one."""
        average = _copied(pl_module.state_dict())
        if self._average:
            _copy(self._average, average)
        self._average = average

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Announce that validation scores the average."""
        self._step = trainer.global_step
        if trainer.is_global_zero:
            say(f"validation scores the moving average of the weights, decay {self.decay:g}")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Add the weights after an optimizer step."""
        if trainer.global_step == self._step:  # still accumulating
            return
        self._step = trainer.global_step
        if not self.changed():
            return
        averages, values = [], []
        for name, value in pl_module.state_dict().items():
            if value.is_floating_point():
                averages.append(self._average[name])
                values.append(value)
            else:  # a count of batches
                self._average[name].copy_(value)
        add = get_ema_multi_avg_fn(self.decay_at(self._step))  # type: ignore[no-untyped-call]
        add(averages, values, None)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the average into the network, in a training's validation."""
        if trainer.state.fn == "fit":
            self._raw = _copied(pl_module.state_dict())
            _copy(self._average, pl_module.state_dict())

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the weights back."""
        if self._raw:
            _copy(self._raw, pl_module.state_dict())
            self._raw = {}

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save both averages and weights, also if a validation was interrupted."""
        checkpoint[RAW_WEIGHTS] = self._raw or checkpoint["state_dict"]
        checkpoint["state_dict"] = self._average

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Free the average's memory."""
        self._average = {}


@torch.no_grad()
def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Copy values by name into existing tensors."""
    for name, value in target.items():
        value.copy_(source[name])
