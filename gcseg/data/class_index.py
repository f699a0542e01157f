"""The class index of a split: where each class occurs, for sampling by class and class weights."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from gcseg.data.cache.files import SourceKeys, writing
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.parallel import Progress, in_parallel
from gcseg.data.reading import UInt8Array, count_values
from gcseg.errors import OutputError
from gcseg.system.files import atomic_write

POSITIONS = 8
"""Largest number of pixels kept for each class in each image."""

_FORMAT = b"gcseg classes 1"
_GRID_PIXELS = 1 << 15  # of the coarser grid on which pixels of large classes are chosen

Int64Array = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]
Summary = tuple[Int64Array, Int32Array]
"""Summary of one label: pixels by class (C), and K x 3 chosen pixels: class, row, column."""


@dataclass(frozen=True, eq=False)
class ClassIndex:
    """Index of the classes in a split with labels.

    Args:
        counts: N x C pixels by image and class, ignored ones left out.
        pixels: K x 4 chosen pixels (image, class, row, column), up to `POSITIONS` for each class
            in each image, sorted.
    """

    counts: Int64Array
    pixels: Int32Array

    @property
    def pixel_frequency(self) -> npt.NDArray[np.float64]:
        """Return each class's fraction of the labelled pixels (C); 0 throughout without any."""
        by_class = self.counts.sum(axis=0)
        return np.asarray(by_class / max(1, by_class.sum()), np.float64)

    @property
    def image_frequency(self) -> npt.NDArray[np.float64]:
        """Return the fraction of images with each class (C)."""
        return np.asarray((self.counts > 0).mean(axis=0), np.float64)

    def images_with(self, class_index: int) -> Int64Array:
        """Return the indices of the images with a class, sorted."""
        return np.flatnonzero(self.counts[:, class_index])

    def positions(self, image: int, class_index: int) -> Int32Array:
        """Return some pixels of a class in an image, K x 2 rows and columns, perhaps none."""
        # Sorted, so that two searches find the rows: first the image's, then the class's.
        start, end = np.searchsorted(self.pixels[:, 0], (image, image + 1))
        classes = self.pixels[start:end, 1]
        first, last = np.searchsorted(classes, (class_index, class_index + 1)) + start
        return self.pixels[first:last, 2:]


def class_index(
    dataset: SegmentationDataset,
    folder: Path | None = None,
    *,
    progress: Progress | None = None,
    say: Callable[[str], object] = print,
) -> ClassIndex:
    """Return the class index of a split; it is loaded, or computed from the labels and saved.

    A decoded cache on disk computes it when it decodes. Without it, only the labels are read.

    Args:
        dataset: A split with labels.
        folder: Folder of the decoded cache, where the index is saved; None to save nothing.
        progress: Callback that is passed how many labels are done.
        say: Callback that is passed a line if the index can't be saved.

    Raises:
        DataError: The split has no labels, or one is unreadable.
    """
    dataset.with_labels()
    path = None if folder is None else folder / index_name(dataset)
    if path is not None and (saved := load(path, dataset)) is not None:
        return saved

    def summary(index: int) -> Summary:
        label = dataset.read_label(index)
        assert label is not None  # ensured by with_labels
        return summarize(label, dataset.label_space.num_classes, dataset.pairs[index].name)

    index = combined(in_parallel(summary, range(len(dataset)), progress=progress))
    if path is not None:
        try:
            save(index, path)
        except OutputError as error:
            say(f"the class index could not be saved: {error}")
    return index


def index_name(dataset: SegmentationDataset) -> str:
    """Return the file name of a split's index; it changes with the labels and the label space.

    Raises:
        DataError: A label is missing.
    """
    digest = hashlib.sha256(_FORMAT)
    keys = SourceKeys(dataset.pictures)
    for pair in dataset.pairs:
        digest.update(f"{pair.name}\0{keys.label(pair)}\n".encode())
    digest.update(str(dataset.label_space.num_classes).encode())
    return f"classes-{digest.hexdigest()[:32]}.npz"


def load(path: Path, dataset: SegmentationDataset) -> ClassIndex | None:
    """Load a saved index; None if there is none or it can't be read."""
    if not path.is_file():  # opening a pipe would block
        return None
    try:
        with np.load(path) as arrays:
            counts, pixels = arrays["counts"].astype(np.int64), arrays["pixels"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    fits = counts.shape == (len(dataset), dataset.label_space.num_classes)
    return ClassIndex(counts, pixels) if fits else None


def save(index: ClassIndex, path: Path) -> None:
    """Save an index whole or not at all.

    Raises:
        OutputError: The folder can't be written.
    """
    with writing(path), atomic_write(path) as file:
        np.savez(file, counts=index.counts.astype(np.uint32), pixels=index.pixels)


def combined(summaries: Iterable[Summary]) -> ClassIndex:
    """Combine the summaries of a split's labels, in order, into its index."""
    counts, pixels = [], []
    for image, (by_class, chosen) in enumerate(summaries):
        counts.append(by_class)
        pixels.append(np.insert(chosen, 0, image, axis=1))
    return ClassIndex(np.stack(counts), np.concatenate(pixels))


def summarize(label: UInt8Array, num_classes: int, name: str) -> Summary:
    """Count a label's classes and choose pixels of each.

    The choice depends on the label and the name alone. Pixels of a large class are chosen on a grid
    with a random offset, those of a small class among all its pixels.

    Args:
        label: H x W class indices; larger ones are ignored.
        num_classes: Number of classes C.
        name: Name of the sample; seeds the choice.
    """
    counts = count_values(label)[:num_classes]
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    step = max(1, int((label.size / _GRID_PIXELS) ** 0.5))
    top, left = generator.integers(step, size=2)
    grid = label[top::step, left::step]
    on_grid = np.bincount(grid.ravel(), minlength=256)[:num_classes]
    from_grid = (counts > 0) & (on_grid >= np.minimum(counts, POSITIONS))
    kinds, places = _choose(grid.ravel(), from_grid, generator)
    rows, columns = np.divmod(places, grid.shape[1])
    chosen = [np.stack((kinds, top + step * rows, left + step * columns), axis=1)]
    others = np.zeros(256, np.uint8)
    others[:num_classes] = (counts > 0) & ~from_grid
    if others.any():
        found = np.flatnonzero(cv2.LUT(label, others).view(bool))
        kinds, places = _choose(label.ravel()[found], others[:num_classes] > 0, generator)
        chosen.append(np.stack((kinds, *np.divmod(found[places], label.shape[1])), axis=1))
    pixels = np.concatenate(chosen)
    return counts, pixels[np.lexsort(pixels.T[::-1])].astype(np.int32)


def _choose(
    values: UInt8Array, wanted: npt.NDArray[np.bool_], generator: np.random.Generator
) -> tuple[Int64Array, Int64Array]:
    """Choose up to `POSITIONS` places of each wanted value.

    Args:
        values: Class indices of n pixels.
        wanted: Flags by class, C of them.
        generator: Random generator that draws the places.

    Returns:
        The chosen values and their positions.
    """
    order = np.argsort(values, kind="stable")
    starts = np.searchsorted(values, np.arange(len(wanted) + 1), sorter=order)
    kinds, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for kind in np.flatnonzero(wanted):
        start, count = starts[kind], starts[kind + 1] - starts[kind]
        drawn = generator.choice(count, min(count, POSITIONS), replace=False, shuffle=False)
        places.append(order[start + drawn])
        kinds.append(np.full(len(drawn), kind))
    return np.concatenate(kinds), np.concatenate(places)
