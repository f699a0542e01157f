"""Which samples an optimizer step sees, and how each is augmented: pure functions of the seed."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator
from typing import Any

import albumentations as A
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from gcseg.data.datasets import SegmentationDataset
from gcseg.data.reading import UInt8Array

Key = tuple[int, int]


class StepSampler(Sampler[list[Key]]):
    """Endless batches of (sample counter, index), a pure function of the seed and the batch.

    The counter numbers all samples that training draws, over all processes; every
    `size` consecutive counters are one epoch and draw each image once. Batch `k` of process `r`
    of `R` holds the counters from `(k * R + r) * batch_size` on, so the processes together see
    what a single one with `R` times the batch would see.

    Args:
        size: Images in the split.
        batch_size: Per process and forward pass.
        seed: Of the order.
        rank: This process, 0 to world_size - 1.
        world_size: How many processes train together.
        start: First batch, to continue a run.
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
    ) -> None:
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.start = start
        self._order = functools.lru_cache(maxsize=2)(self._draw_order)

    def _draw_order(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng((self.seed, epoch)).permutation(self.size)

    def key(self, counter: int) -> Key:
        """The sample that a counter stands for."""
        epoch, position = divmod(counter, self.size)
        return counter, int(self._order(epoch)[position])

    def __iter__(self) -> Iterator[list[Key]]:
        """Batches from `start` on, without an end."""
        for batch in itertools.count(self.start):
            first = (batch * self.world_size + self.rank) * self.batch_size
            yield [self.key(counter) for counter in range(first, first + self.batch_size)]


class TrainingSamples(Dataset[dict[str, Any]]):
    """Augmented samples by (counter, index).

    The augmentation's randomness depends on the seed and the counter alone: neither the worker
    nor the process that draws a sample matters, and no two counters are alike.

    Args:
        dataset: A split with labels.
        pipeline: From `gcseg.data.augment.training_pipeline`.
        seed: Of the augmentation.
    """

    def __init__(self, dataset: SegmentationDataset, pipeline: A.Compose, seed: int) -> None:
        self.dataset = dataset
        self.pipeline = pipeline
        self.seed = seed

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Draw a sample.

        Returns:
            `image`, 3 x height x width float32; `label`, height x width uint8; `name`.
        """
        counter, index = key
        image, label = self.dataset.read(index)
        generator = np.random.default_rng((self.seed, counter))
        # Left to itself, albumentations gives all its transforms one seed, so that flips and
        # crops come out correlated, and all workers the same stream.
        self.pipeline.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        augmented = self.pipeline(image=image, mask=label)
        return {
            "image": _to_tensor(augmented["image"]),
            "label": torch.from_numpy(np.ascontiguousarray(augmented["mask"])),
            "name": self.dataset.pairs[index].name,
        }


class EvaluationSamples(Dataset[dict[str, Any]]):
    """Samples at native size, each once, those of one process among several.

    Args:
        dataset: The split.
        pipeline: From `gcseg.data.augment.evaluation_pipeline`.
        rank: This process.
        world_size: How many processes share the split; none repeats an image.
    """

    def __init__(
        self, dataset: SegmentationDataset, pipeline: A.Compose, rank: int = 0, world_size: int = 1
    ) -> None:
        self.dataset = dataset
        self.pipeline = pipeline
        self.indices = range(rank, len(dataset), world_size)

    def __len__(self) -> int:
        """How many images this process evaluates."""
        return len(self.indices)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Read a sample.

        Returns:
            `image`, 3 x h x w float32, padded; `height` and `width` of the image before padding;
            `name`; `index` in the split; and, where there are labels, `label`,
            height x width uint8.
        """
        index = self.indices[position]
        image, label = self.dataset.read(index)
        sample: dict[str, Any] = {
            "image": _to_tensor(self.pipeline(image=image)["image"]),
            "height": image.shape[0],
            "width": image.shape[1],
            "index": index,
            "name": self.dataset.pairs[index].name,
        }
        if label is not None:
            sample["label"] = torch.from_numpy(label)
        return sample


def _to_tensor(image: npt.NDArray[np.float32] | UInt8Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
