"""Random numbers of a training step that do not depend on the steps before it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytorch_lightning as L
import torch


class StepSeed(L.Callback):
    """Seeds torch, random and numpy for each optimizer step, from seed, process and step.

    So an interrupted training draws the same dropout as an uninterrupted one, and random numbers
    drawn between two steps change nothing. The forward passes that one step accumulates share one
    sequence, as each needs different numbers; training never resumes in the middle of a step.

    Args:
        seed: Seed of the training.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._step: int | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget the steps of an earlier training."""
        self._step = None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Seed at the first forward pass of a step."""
        if trainer.global_step != self._step:
            self._step = trainer.global_step
            seed_all(self.seed, trainer.global_rank, trainer.global_step)


def seed_all(*numbers: int) -> None:
    """Seed torch (on all devices), random and numpy.

    Args:
        numbers: Integers of 0 or more; other numbers give unrelated seeds.
    """
    # Source: NumPy's SeedSequence mixes its words so that near ones do not give near states.
    first, second, third = np.random.SeedSequence(numbers).generate_state(3, np.uint64)
    torch.manual_seed(int(first) >> 1)
    random.seed(int(second))
    np.random.seed(int(third) & 0xFFFFFFFF)  # noqa: NPY002 - what transforms may draw from
