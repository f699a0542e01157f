"""Measure how fast samples come from files, for each setting and for plain albumentations."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import albumentations as A
import cv2
import torch
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gcseg.data.augment import PADDING_GREY, TrainingPipeline
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.samples import TrainingSamples, collate, one_thread, to_tensor
from gcseg.data.sampling import Key, StepSampler
from gcseg.system.terminal import TextConsole
from gcseg.system.text import counted, say

STILL = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
JITTERS = ({"brightness": 0.4}, {"contrast": 0.4}, {"saturation": 0.4}, {"hue": 25.3125 / 360})
"""The published colour distortions, hue as a fraction of the circle."""

WIDTH = 100
"""Width of the printed table in characters, also where the output is no terminal."""

PLAIN = "plain albumentations"
DECODING = "decoding alone"

Way = Callable[[int], object]
"""A function that makes the sample of a counter."""


class PlainSamples(Dataset[dict[str, Any]]):
    """The published recipe, written with albumentations' own transforms.

    The whole image is resized and padded, then cropped, its colours distorted, normalised and
    mirrored, as in PaddleSeg's and mmsegmentation's pipelines.

    Args:
        dataset: A split with labels.
        height: Height of the crop, in pixels.
        width: Width of the crop, in pixels.
        mean: Mean per channel of values in 0..1.
        std: Standard deviation per channel of values in 0..1.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        *,
        height: int,
        width: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        self.dataset = dataset
        self.pipeline = A.Compose(
            [
                A.RandomScale(scale_limit=(-0.5, 1.0), p=1.0),
                A.PadIfNeeded(
                    height,
                    width,
                    border_mode=cv2.BORDER_CONSTANT,
                    fill=PADDING_GREY,
                    fill_mask=IGNORE_INDEX,
                ),
                A.RandomCrop(height, width),
                A.RandomOrder([A.ColorJitter(**{**STILL, **one}, p=0.5) for one in JITTERS], n=4),
                A.Normalize(mean=tuple(mean), std=tuple(std)),
                A.HorizontalFlip(p=0.5),
            ],
            seed=0,
        )

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Draw a sample: `image`, 3 x height x width float32, and `label`."""
        image, label = self.dataset.read(key[1])
        augmented = self.pipeline(image=image, mask=label)
        return {
            "image": to_tensor(augmented["image"]),
            "label": torch.from_numpy(augmented["mask"]),
        }


Setting = tuple[str, str]
"""Source of decoded pictures (none, ram, disk), and device that finishes them (cpu, device)."""


def measure_all(
    files: SegmentationDataset,
    settings: Mapping[Setting, TrainingSamples],
    *,
    height: int,
    width: int,
    mean: Sequence[float],
    std: Sequence[float],
    samples: int,
    rounds: int,
    workers: Sequence[int],
    batches: int,
    batch_size: int,
    prefetch: int,
) -> dict[str, Any]:
    """Time plain albumentations and each setting on one core, in a loader and step by step.

    Args:
        files: A split with labels.
        settings: Samples of the split for each setting.
        height: Height of the crop, in pixels.
        width: Width of the crop, in pixels.
        mean: Mean per channel of values in 0..1.
        std: Standard deviation per channel of values in 0..1.
        samples: Number of samples that each setting draws in each round on one core.
        rounds: Number of rounds; the median counts.
        workers: Numbers of loader processes.
        batches: Number of batches taken from each loader.
        batch_size: Samples per batch.
        prefetch: Number of batches that each loader process prepares ahead.

    Returns:
        `picture` and `crop` (height and width); samples per second by setting: `one_core` (with
        `decoding`) and, by number of processes, `loader`; `transforms`, milliseconds per sample;
        `device`, samples per second that it finishes, and its name.
    """
    plain = PlainSamples(files, height=height, width=width, mean=mean, std=std)
    named: dict[str, Dataset[dict[str, Any]]] = {
        PLAIN: plain,
        **{
            f"cache={cache} augment_on={place}": drawn for (cache, place), drawn in settings.items()
        },
    }
    size = len(files)
    ways = {name: _through(drawn, size) for name, drawn in named.items()}
    pipeline = settings["none", "cpu"].pipeline
    picture, _ = files.read(0)
    finishing = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def decode(counter: int) -> object:
        return files.read(counter % size)

    in_loader = partial(
        per_loader, size=size, batch_size=batch_size, prefetch=prefetch, batches=batches
    )
    on_this_device = partial(on_device, batch_size=batch_size, batches=batches)
    return {
        "picture": {"height": picture.shape[0], "width": picture.shape[1]},
        "crop": {"height": height, "width": width},
        "one_core": per_core({DECODING: decode, **ways}, samples=samples, rounds=rounds),
        "transforms": transforms_apart(files, pipeline, samples=samples * rounds),
        "loader": {
            name: {count: in_loader(drawn, num_workers=count) for count in workers}
            for name, drawn in named.items()
        },
        "device": {
            "name": finishing.type,
            "samples_per_second": on_this_device(settings["none", "device"], finishing),
        },
    }


@contextmanager
def one_core() -> Iterator[None]:
    """Keep OpenCV and torch to one thread."""
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])


def per_core(ways: Mapping[str, Way], *, samples: int, rounds: int) -> dict[str, float]:
    """Measure samples per second of each way on one core.

    The ways take turns, so that other load on the machine affects all of them alike.

    Args:
        ways: Functions that make a sample, by name.
        samples: Number of samples that each way draws in each round.
        rounds: Number of rounds; the median counts.
    """
    rates: dict[str, list[float]] = {name: [] for name in ways}
    with one_core():
        for way in ways.values():
            way(0)  # opens, compiles and fills what later calls reuse
        for round_number in range(rounds):
            first = round_number * samples
            for name, way in ways.items():
                start = time.perf_counter()
                for counter in range(first, first + samples):
                    way(counter)
                rates[name].append(samples / (time.perf_counter() - start))
    return {name: statistics.median(found) for name, found in rates.items()}


def _through(samples: Dataset[dict[str, Any]], size: int) -> Way:
    """Return a way that goes through all images, one counter after the other."""
    return lambda counter: samples[counter, counter % size]


def transforms_apart(
    dataset: SegmentationDataset, pipeline: TrainingPipeline, *, samples: int
) -> dict[str, float]:
    """Measure milliseconds per sample of each transform alone on one core, in their order.

    Args:
        dataset: A split with labels.
        pipeline: Its augmentation.
        samples: Number of samples drawn.
    """
    spent: dict[str, float] = {}
    with one_core():
        for index in range(samples):
            image, label = dataset.read(index % len(dataset))
            data: dict[str, Any] = {"image": image, "mask": label}
            for transform in (*pipeline.crop.transforms, *pipeline.finish.transforms):
                start = time.perf_counter()
                data = transform(**data)
                name = getattr(transform, "name", type(transform).__name__)
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
    return {name: 1000 * seconds / samples for name, seconds in spent.items()}


def per_loader(
    samples: Dataset[dict[str, Any]],
    size: int,
    *,
    batch_size: int,
    num_workers: int,
    prefetch: int,
    batches: int,
) -> float:
    """Measure samples per second that a loader returns, without its start.

    Args:
        samples: Samples by (counter, index).
        size: Number of images in the split.
        batch_size: Samples per batch.
        num_workers: Number of loader processes.
        prefetch: Number of batches that each process prepares ahead.
        batches: Number of batches timed, after as many as are prepared ahead.
    """
    loader: DataLoader[dict[str, Any]] = DataLoader(
        samples,
        batch_sampler=StepSampler(size, batch_size, seed=0),
        num_workers=num_workers,
        prefetch_factor=prefetch if num_workers else None,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=one_thread,
    )
    iterator = iter(loader)
    for _ in range(num_workers * prefetch + 1):
        next(iterator)
    start = time.perf_counter()
    for _ in itertools.islice(iterator, batches):
        pass
    return batches * batch_size / (time.perf_counter() - start)


def on_device(
    samples: TrainingSamples, device: torch.device, *, batch_size: int, batches: int
) -> float:
    """Measure samples per second that a device transfers and finishes.

    Args:
        samples: Samples whose pipeline leaves colours, mirroring and normalisation to the device.
        device: Device that is measured.
        batch_size: Samples per batch.
        batches: Number of batches finished.
    """
    augmentation = samples.pipeline.device
    if augmentation is None:
        raise ValueError("the pipeline leaves nothing to the device")
    batch = collate([samples[counter, 0] for counter in range(batch_size)])

    def finish() -> None:
        moved = {
            key: value.to(device) if isinstance(value, Tensor) else value
            for key, value in batch.items()
        }
        augmentation(moved)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    finish()
    start = time.perf_counter()
    for _ in range(batches):
        finish()
    return batches * batch_size / (time.perf_counter() - start)


def print_rates(rates: Mapping[str, Any]) -> None:
    """Print what `measure_all` returns as tables."""
    console = TextConsole(soft_wrap=False)
    console.width = max(console.width, WIDTH)
    picture, crop, one_core = rates["picture"], rates["crop"], rates["one_core"]
    say(
        f"from pictures of {picture['width']}x{picture['height']} to crops of "
        f"{crop['width']}x{crop['height']} (width x height)"
    )
    counts = list(next(iter(rates["loader"].values())))
    titles = ("samples/s", "x plain", "of decoding")  # of one core
    loaders = tuple(counted(count, "worker") for count in counts)
    table = Table(title_justify="left")
    table.add_column("setting", no_wrap=True)
    for title in titles + loaders:
        table.add_column(title, justify="right")
    for name, rate in one_core.items():
        loaded = rates["loader"].get(name, {})
        table.add_row(
            name,
            f"{rate:.1f}",
            f"{rate / one_core[PLAIN]:.1f}",
            f"{100 * rate / one_core[DECODING]:.0f} %",
            *(f"{loaded[count]:.1f}" if loaded else "" for count in counts),
        )
    console.print(table)
    say("The first three columns are of one core; the others are samples/s of a loader.")
    say("milliseconds per sample of one core:")
    say(f"  decoding {1000 / one_core[DECODING]:.2f}")
    for name, milliseconds in rates["transforms"].items():
        say(f"  {name} {milliseconds:.2f}")
    say(f"  all but decoding {1000 / one_core['cache=ram augment_on=cpu']:.2f}")
    device = rates["device"]
    say(
        f"With augment_on=device the samples are bytes, and the {device['name']} finishes "
        f"{device['samples_per_second']:.1f} of them per second."
    )
