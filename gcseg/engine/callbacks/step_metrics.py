"""Metrics of a training step in addition to its losses."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from gcseg.engine.callbacks.progress import peak_memory


class StepMetrics(L.Callback):
    """Logs the norm of the gradients, before they are clipped, and the peak memory so far.

    Only at steps that are logged, as the norm reads every gradient.
    """

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Log both before the optimizer changes the weights."""
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if (trainer.global_step + 1) % every:
            return
        pl_module.log("train/gradient_norm", gradient_norm(optimizer))
        pl_module.log("train/memory_bytes", float(peak_memory()))


def gradient_norm(optimizer: Optimizer) -> Tensor:
    """The Euclidean norm of all gradients together, a scalar on their device.

    Processes that hold parts of the parameters get the norm of the whole; all of them have to
    call this.
    """
    parameters: list[Any] = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
