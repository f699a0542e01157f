"""Statistics of a split: colours, sizes, class frequencies and the class weights they give."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.table import Table

from gcseg.data.class_weights import Weights, inverse_log, median_frequency, printed
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.images import PictureFormat
from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.parallel import Progress, in_parallel
from gcseg.data.reading import count_values
from gcseg.errors import DataError
from gcseg.system.terminal import TextConsole
from gcseg.system.text import counted

Size = tuple[int, int]
"""Height and width, in pixels."""


@dataclass(frozen=True)
class ClassStatistics:
    """Frequencies of the classes in the labelled images of a split.

    Args:
        label_space: Names and colours of the classes.
        images: Number of images with a label.
        pixels: Number of pixels by class.
        ignored: Number of ignored pixels.
        images_with: Number of images in which each class occurs.
        pixels_around: Pixels of any class in the images in which each class occurs.
    """

    label_space: LabelSpace
    images: int
    pixels: tuple[int, ...]
    ignored: int
    images_with: tuple[int, ...]
    pixels_around: tuple[int, ...]

    @property
    def pixel_frequency(self) -> tuple[float, ...]:
        """Each class's fraction of the pixels that are not ignored."""
        labelled = max(1, sum(self.pixels))
        return tuple(count / labelled for count in self.pixels)

    @property
    def image_frequency(self) -> tuple[float, ...]:
        """The fraction of the images in which each class occurs."""
        return tuple(count / self.images for count in self.images_with)

    @property
    def ignored_fraction(self) -> float:
        """The fraction of all pixels that is ignored."""
        return self.ignored / (sum(self.pixels) + self.ignored)

    @property
    def median_frequency_weights(self) -> Weights:
        """Return weights by median frequency, see `gcseg.data.class_weights`."""
        return median_frequency(self.pixels, self.pixels_around)

    @property
    def inverse_log_weights(self) -> Weights:
        """Return weights by the inverse logarithm, see `gcseg.data.class_weights`."""
        return inverse_log(self.pixels)


@dataclass(frozen=True)
class Statistics:
    """Colours, image sizes and classes of a split.

    Args:
        mean: Mean of each channel's values, in 0..1, over all pixels of all images that have data.
        std: Standard deviations of these values.
        outside: Fraction of the values below 0 or above 1, which the dataset's scale allows.
        sizes: Number of images of each size, the most common size first.
        classes: Class frequencies of its labels; None without labels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    sizes: Mapping[Size, int]
    classes: ClassStatistics | None
    outside: float = 0.0

    @property
    def images(self) -> int:
        """Return the number of images."""
        return sum(self.sizes.values())

    @property
    def smallest(self) -> Size:
        """Return the size of the image with the fewest pixels."""
        return min(self.sizes, key=_area)

    @property
    def largest(self) -> Size:
        """Return the size of the image with the most pixels."""
        return max(self.sizes, key=_area)

    @property
    def most_common(self) -> Size:
        """Return the size that most images have."""
        return next(iter(self.sizes))

    def as_dict(self) -> dict[str, Any]:
        """Return all values as JSON can hold them; `null` is the weight of an absent class."""
        record: dict[str, Any] = {
            "images": self.images,
            "mean": list(self.mean),
            "std": list(self.std),
            "outside": self.outside,
            "smallest": _as_dict(self.smallest),
            "largest": _as_dict(self.largest),
            "most_common": _as_dict(self.most_common),
            "sizes": [{**_as_dict(size), "images": n} for size, n in self.sizes.items()],
            "classes": None,
        }
        if (classes := self.classes) is None:
            return record
        columns = {
            "name": classes.label_space.names,
            "pixel_frequency": classes.pixel_frequency,
            "image_frequency": classes.image_frequency,
            "median_frequency_weight": classes.median_frequency_weights,
            "inverse_log_weight": classes.inverse_log_weights,
        }
        rows = zip(*columns.values(), strict=True)
        return {
            **record,
            "labelled_images": classes.images,
            "ignored_fraction": classes.ignored_fraction,
            "classes": [dict(zip(columns, row, strict=True)) for row in rows],
        }


@dataclass(frozen=True)
class _Measured:
    """Measurements of one image.

    Args:
        size: Height and width.
        pixels: Number of its pixels with data.
        outside: Number of values below 0 or above 1.
        sums: Sum of the values of each channel.
        squares: Sum of their squares.
        labels: Number of pixels by label value.
    """

    size: Size
    pixels: int
    outside: int
    sums: Sequence[float]
    squares: Sequence[float]
    labels: npt.NDArray[np.int64] | None


def measure(
    dataset: SegmentationDataset, *, workers: int | None = None, progress: Progress | None = None
) -> Statistics:
    """Read every image and label of a split once and measure them.

    All sums of bytes are of integers, and those of floats in the images' order, so that the result
    does not depend on `workers`.

    Args:
        dataset: The split, with or without labels.
        workers: Threads; by default one for each core that is available.
        progress: Callback that is passed how many images are done.

    Raises:
        DataError: A file is missing, unreadable or inconsistent.
    """
    every = range(len(dataset))
    measured = in_parallel(
        partial(_measure_one, dataset), every, workers=workers, progress=progress
    )
    return _summary(measured, dataset.label_space, dataset.pictures)


def _measure_one(dataset: SegmentationDataset, index: int) -> _Measured:
    image, label = dataset.read(index)
    height, width, _ = image.shape
    labels = None if label is None else count_values(label)
    if dataset.pictures.nodata is not None:  # all channels of pixels without data are 0
        image = image[image.any(axis=2)][None]
    channels = cv2.split(image) if image.size else []
    if image.dtype != np.uint8:
        values = [channel.astype(np.float64) for channel in channels]
        return _Measured(
            (height, width),
            image.shape[0] * image.shape[1],
            int(np.count_nonzero((image < 0) | (image > 1))),
            [float(channel.sum()) for channel in values],
            [float((channel * channel).sum()) for channel in values],
            labels,
        )
    # Sums of bytes and of their squares are far below 2^53: OpenCV's float64 holds them exactly.
    return _Measured(
        (height, width),
        image.shape[0] * image.shape[1],
        0,
        [round(cv2.sumElems(channel)[0]) for channel in channels],
        [round(cv2.norm(channel, cv2.NORM_L2SQR)) for channel in channels],
        labels,
    )


def _summary(
    measured: Iterable[_Measured], space: LabelSpace, pictures: PictureFormat
) -> Statistics:
    sizes: Counter[Size] = Counter()
    sums: list[float] = [0] * pictures.channels  # Python's integers: no split overflows them
    squares = list(sums)
    labelled = count = outside = 0
    pixels, images_with, pixels_around = np.zeros((3, space.num_classes), np.int64)
    ignored = 0
    for one in measured:
        sizes[one.size] += 1
        count += one.pixels
        outside += one.outside
        if one.pixels:
            sums = [a + b for a, b in zip(sums, one.sums, strict=True)]
            squares = [a + b for a, b in zip(squares, one.squares, strict=True)]
        if one.labels is not None:
            counts = one.labels[: space.num_classes]
            labelled += 1
            pixels += counts
            ignored += int(one.labels[IGNORE_INDEX])
            images_with += counts > 0
            pixels_around += np.where(counts > 0, counts.sum(), 0)
    if not count:
        raise DataError(
            "no pixel of any image has data", f"check dataset.nodata={pictures.nodata:g}"
        )
    variances = [  # times count^2; not below 0 by rounding
        max(count * b - a * a, 0) for a, b in zip(sums, squares, strict=True)
    ]
    classes = ClassStatistics(
        space,
        labelled,
        tuple(pixels.tolist()),
        ignored,
        tuple(images_with.tolist()),
        tuple(pixels_around.tolist()),
    )
    return Statistics(
        tuple(a / (pictures.full * count) for a in sums),
        tuple(math.sqrt(v / count**2) / pictures.full for v in variances),
        # Equally common sizes are sorted, so that the order of the images does not matter.
        dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        classes if labelled else None,
        outside / (count * pictures.channels),
    )


def print_statistics(statistics: Statistics, console: TextConsole) -> None:
    """Print tables, and settings to append to a command."""

    def say(line: str) -> None:
        console.print(line)

    common = statistics.most_common
    say(counted(statistics.images, "image"))
    if len(statistics.sizes) == 1:
        say(f"size (height x width): {_text(common)}")
    else:
        say(
            f"{len(statistics.sizes)} sizes (height x width): {_text(statistics.smallest)} to "
            f"{_text(statistics.largest)}, most often {_text(common)} "
            f"({counted(statistics.sizes[common], 'image')})"
        )
    if statistics.classes is not None:
        _print_classes(statistics.classes, console)
        say(f"ignored: {_percent(statistics.classes.ignored_fraction)} % of the pixels")
    else:
        say("no labels: only the pictures were measured")
    if statistics.outside:
        say(
            f"{_percent(statistics.outside)} % of the values are below 0 or above 1 by "
            "dataset.scale, and are kept so"
        )
    say("")
    say("to normalise by this split:")
    say(f"normalize.mean={_list(statistics.mean)} normalize.std={_list(statistics.std)}")
    if statistics.classes is not None and sum(map(bool, statistics.classes.pixels)) > 1:
        say("to weight the loss by median frequency, or by the inverse logarithm:")
        say(f"class_weights={_list(statistics.classes.median_frequency_weights)}")
        say(f"class_weights={_list(statistics.classes.inverse_log_weights)}")
        say("or shorter: class_weights=median_frequency, class_weights=inverse_log")
        if 0 in statistics.classes.pixels:
            say("classes that never occur have weight 1 there")


def _print_classes(classes: ClassStatistics, console: TextConsole) -> None:
    table = Table(title="classes, and weights for the loss", title_justify="left")
    table.add_column("class")
    columns = {
        "% of pixels": map(_percent, classes.pixel_frequency),
        "% of images": map(_percent, classes.image_frequency),
        "median frequency": map(_number, classes.median_frequency_weights),
        "inverse log": map(_number, classes.inverse_log_weights),
    }
    for title in columns:
        table.add_column(title, justify="right")
    for name, *values in zip(classes.label_space.names, *columns.values(), strict=True):
        table.add_row(name, *values)
    console.print(table)


def _area(size: Size) -> int:
    return size[0] * size[1]


def _as_dict(size: Size) -> dict[str, int]:
    return {"height": size[0], "width": size[1]}


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3f}"


def _number(value: float | None) -> str:
    return "" if value is None else printed(value)


def _list(values: Iterable[float | None]) -> str:
    """Format numbers as a list for Hydra; 1 for None."""
    return f"[{','.join(_number(1.0 if value is None else value) for value in values)}]"
