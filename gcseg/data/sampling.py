"""The order of training samples: a pure function of the seed."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

Key = tuple[int, int]


class StepSampler(Sampler[list[Key]]):
    """Endless batches of (sample counter, index), a pure function of the seed and the batch.

    The counter numbers all samples that training draws, over all processes; every
    `epoch_size` consecutive counters are one epoch and draw each image once, or as often as
    `repeats` says. Batch `k` of process `r`
    of `R` holds the counters from `(k * R + r) * batch_size` on, so the processes together see
    what a single one with `R` times the batch would see.

    Args:
        size: Number of images in the split.
        batch_size: Samples per process and forward pass.
        seed: Seed of the order.
        rank: Rank of this process, 0 to world_size - 1.
        world_size: Number of processes that train together.
        start: Index of the first batch, to continue a run.
        repeats: How often an epoch draws each image, on average over the epochs; None for once.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        start: int = 0,
        repeats: npt.NDArray[np.float64] | None = None,
    ) -> None:
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.start = start
        self.repeats = repeats
        self.epoch_size = size if repeats is None else round(repeats.sum())
        self._order = functools.lru_cache(maxsize=2)(self._draw_order)

    def _draw_order(self, epoch: int) -> npt.NDArray[np.int64]:
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(self.epoch_size)
        if self.repeats is None:
            return order
        # Systematic sampling: each factor is rounded down or up by an offset that depends on
        # the epoch. All epochs have one size, so any step is found without computing the others.
        ends = np.cumsum(self.repeats) * (self.epoch_size / self.repeats.sum())
        ends[-1] = self.epoch_size
        counts = np.diff(np.floor(ends + generator.random()).astype(np.int64), prepend=0)
        return np.repeat(np.arange(self.size), counts)[order]

    def key(self, counter: int) -> Key:
        """Return the sample (counter, index) that a counter stands for."""
        epoch, position = divmod(counter, self.epoch_size)
        return counter, int(self._order(epoch)[position])

    def __iter__(self) -> Iterator[list[Key]]:
        """Yield batches from `start` on, without an end."""
        for batch in itertools.count(self.start):
            first = (batch * self.world_size + self.rank) * self.batch_size
            yield [self.key(counter) for counter in range(first, first + self.batch_size)]
