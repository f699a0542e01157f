"""Samples for a loader: read, augmented (a function of seed and counter alone) and collated."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from gcseg.data.augment import TrainingPipeline, check_window
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.images import Picture
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.rare import RareClasses, paste
from gcseg.data.reading import UInt8Array
from gcseg.data.sampling import Key


class TrainingSamples(Dataset[dict[str, Any]]):
    """Augmented samples by (counter, index).

    The augmentation's randomness depends on the seed and the counter alone, not on the worker or
    the process that draws a sample. No two counters are alike.

    Args:
        dataset: A split with labels.
        pipeline: Augmentation of the samples.
        seed: Seed of the augmentation.
        rare: Adds rare classes to the samples; None for no such step.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        pipeline: TrainingPipeline,
        seed: int,
        rare: RareClasses | None = None,
    ) -> None:
        self.dataset = dataset
        self.pipeline = pipeline
        self.seed = seed
        self.rare = rare

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Draw a sample.

        Returns:
            `image`, C x height x width float32; `label`, height x width uint8; `name`. Where the
            device finishes the augmentation, the input of `DeviceAugmentation`: `image`,
            height x width x C; `height` and `width` of the part that is not padding;
            `augmentation`, the drawn values.
        """
        counter, index = key
        generator = np.random.default_rng((self.seed, counter))
        draw = random.Random(int(generator.integers(2**63)))
        image, label = self._window(counter, index, generator, draw)
        # By default albumentations gives all its transforms one seed, so that flips and crops are
        # correlated, and all workers the same stream.
        self.pipeline.finish.set_random_state(generator, draw)
        augmented = self.pipeline.finish(image=image, mask=label)
        sample = {"name": self.dataset.pairs[index].name}
        if self.pipeline.device is None:
            return {
                "image": to_tensor(augmented["image"]),
                "label": torch.from_numpy(np.ascontiguousarray(augmented["mask"])),
                **sample,
            }
        device = self.pipeline.device
        check_window(augmented["image"], device.height, device.width, device.pictures)
        height, width = augmented["mask"].shape
        full = (device.height, device.width)
        return {
            "image": torch.from_numpy(_padded(augmented["image"], *full, 0)),
            "label": torch.from_numpy(_padded(augmented["mask"], *full, IGNORE_INDEX)),
            "height": height,
            "width": width,
            "augmentation": device.draw(draw),
            **sample,
        }

    def _window(
        self, counter: int, index: int, generator: np.random.Generator, draw: random.Random
    ) -> tuple[Picture, UInt8Array]:
        """Make a scaled window of an image and its label, perhaps with a rare class pasted in."""
        if self.rare is None:
            return self._crop(index, generator, draw)
        # Separate random numbers: all other draws are the same with and without rare classes.
        own = np.random.default_rng((self.seed, counter, 1))
        image, label = self._crop(index, generator, draw, self.rare.focus(index, own))
        if (donor := self.rare.donor(own)) is not None:
            other = self._crop(
                donor.image, own, random.Random(int(own.integers(2**63))), donor.focus
            )
            image, label = paste(donor.class_index, *other, image, label)
        return image, label

    def _crop(
        self,
        index: int,
        generator: np.random.Generator,
        draw: random.Random,
        focus: tuple[int, int] | None = None,
    ) -> tuple[Picture, UInt8Array]:
        image, label = self.dataset.read(index)
        self.pipeline.crop.set_random_state(generator, draw)
        window = self.pipeline.crop(image=image, mask=label, focus=focus)
        return window["image"], window["mask"]


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of training samples; sizes and drawn values stay lists of plain numbers.

    As tensors they would move to the device, and reading them would wait for it.
    """
    told = [key for key in ("height", "width", "augmentation") if key in samples[0]]
    lists = {key: [sample[key] for sample in samples] for key in told}
    rest = [{key: sample[key] for key in sample if key not in told} for sample in samples]
    return {**default_collate(rest), **lists}


def evenly(count: int, total: int) -> list[int]:
    """Return indices that are spread evenly over a split, always the same.

    Args:
        count: Number of indices, at most `total`.
        total: Number of images of the split.
    """
    return [position * total // count for position in range(count)]


class EvaluationSamples(Dataset[dict[str, Any]]):
    """Samples at native size, each once, split over several processes.

    Args:
        dataset: The split that is evaluated.
        pipeline: From `gcseg.data.augment.evaluation_pipeline`.
        rank: Rank of this process, 0 to world_size - 1.
        world_size: Number of processes that share the split; none repeats an image.
        only: Indices of the images that are taken; None for all.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        pipeline: A.Compose,
        rank: int = 0,
        world_size: int = 1,
        only: Sequence[int] | None = None,
    ) -> None:
        self.dataset = dataset
        self.pipeline = pipeline
        self.indices = (range(len(dataset)) if only is None else only)[rank::world_size]

    def __len__(self) -> int:
        """Return the number of images that this process evaluates."""
        return len(self.indices)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Read a sample.

        Returns:
            `image`, C x h x w float32, padded; `height` and `width` of the image before padding;
            `name`; `index` in the split; and, where there are labels, `label`,
            height x width uint8.
        """
        index = self.indices[position]
        image, label = self.dataset.read(index)
        sample: dict[str, Any] = {
            "image": to_tensor(self.pipeline(image=image)["image"]),
            "height": image.shape[0],
            "width": image.shape[1],
            "index": index,
            "name": self.dataset.pairs[index].name,
        }
        if label is not None:
            sample["label"] = torch.tensor(label)  # a copy: cached arrays are read-only
        return sample


def one_thread(_worker: int) -> None:
    """Keep a loader process to one core; a loader's parallelism is its number of processes."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def to_tensor(image: Picture) -> Tensor:
    """Return an image, H x W x C, as a tensor, C x H x W."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _padded(array: Picture, height: int, width: int, value: int) -> Picture:
    if array.shape[:2] == (height, width):
        return np.ascontiguousarray(array)
    padded = np.full((height, width, *array.shape[2:]), value, array.dtype)
    padded[: array.shape[0], : array.shape[1]] = array
    return padded
