"""A dataset whose decoded samples are cached: decoded once, then read by rows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from gcseg.data.cache.files import (
    HEADER_BYTES,
    LABEL,
    REMEDY,
    Entry,
    Size,
    SourceKeys,
    array_size,
    building,
    entry_size,
    open_array,
    write_array,
    writing,
)
from gcseg.data.cache.memory import SharedSamples, available_memory
from gcseg.data.channels import stored_size
from gcseg.data.class_index import Summary, combined, index_name, save, summarize
from gcseg.data.datasets import Pair, Sample, SegmentationDataset
from gcseg.data.images import PictureFormat
from gcseg.data.parallel import Progress, available_cores, in_parallel
from gcseg.errors import ConfigError, OutputError
from gcseg.system.text import counted

DISK_RESERVE = 1 << 30
"""Bytes that stay free on the disk, for checkpoints and logs that may go to the same one."""

MEMORY_RESERVE = 2 << 30
"""Bytes of memory that stay free, for loader processes and the batches that they prepare."""

_WAITING = 2
"""Threads in addition to one per processor core, as some wait for the disk."""

Say = Callable[[str], object]


def cached(
    dataset: SegmentationDataset,
    mode: str,
    folder: Path,
    *,
    progress: Progress | None = None,
    say: Say = print,
) -> SegmentationDataset:
    """Return the same samples, read from decoded arrays; those that are missing are decoded first.

    On disk each picture and each label is a file in .npy format. It is valid for one state of its
    source: if the source is replaced or touched, it is decoded again. Splits share files, and
    so do processes: one decodes, others wait for it. In memory, each training process decodes all
    samples again; its loader processes share them.

    Reading returns read-only arrays. On disk only the rows that are used are read; the file stays
    mapped until the arrays are dropped.

    Args:
        dataset: Split whose samples are cached.
        mode: none, ram or disk.
        folder: Folder of the arrays on disk, those of all datasets.
        progress: Callback that is passed the number of samples done.
        say: Callback that is passed lines on what will be decoded or waited for, and its size.

    Raises:
        ConfigError: The mode does not exist, or memory does not suffice.
        DataError: A picture or label is missing or wrong; what was decoded before it is kept.
        OutputError: The folder can't be written, or the disk does not suffice.
    """
    if mode == "none":
        return dataset
    if mode == "ram":
        return dataset.reading_with(_in_memory(dataset, progress, say))
    if mode == "disk":
        return dataset.reading_with(_on_disk(dataset, folder, progress, say))
    raise ConfigError(f"dataset.cache={mode}", "give none, ram or disk")


def cache_size(dataset: SegmentationDataset) -> int:
    """Compute the bytes that a decoded split takes, from the headers of its pictures.

    A picture without a readable header counts as 0; decoding it will report the fault.
    """
    image = dataset.pictures.channels * dataset.pictures.dtype.itemsize
    pixels = _pixels(dataset, range(len(dataset)))
    bytes_ = [image if pair.label is None else image + 1 for pair in dataset.pairs]
    return sum(count * size for count, size in zip(pixels, bytes_, strict=True))


class _Mapped:
    """Reader of samples from their decoded files, as arrays that map the files.

    A file is opened for each reading: thousands of open files would exceed the process's limit.

    Args:
        entries: Files and sizes by sample name.
        pictures: Form of the images.
    """

    def __init__(self, entries: dict[str, tuple[Entry, Size]], pictures: PictureFormat) -> None:
        self._entries = entries
        self._pictures = pictures

    def __call__(self, pair: Pair) -> Sample:
        (image, label), size = self._entries[pair.name]
        return (
            open_array(image, size, self._pictures),
            None if label is None else open_array(label, size, LABEL),
        )


def _on_disk(
    dataset: SegmentationDataset, folder: Path, progress: Progress | None, say: Say
) -> _Mapped:
    # Absolute, so that reading does not depend on the working folder.
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  (resolve would follow links)
    form = dataset.pictures
    keys = SourceKeys(form)
    entries = [keys.entry(folder, pair) for pair in dataset.pairs]
    sizes = [entry_size(entry, form) for entry in entries]
    if None in sizes:
        with building(folder, say):
            # Another process may have decoded them.
            sizes = [entry_size(entry, form) for entry in entries]
            if None in sizes:
                sizes = _build(dataset, folder, entries, sizes, progress, say)
    found = zip(dataset.pairs, entries, sizes, strict=True)
    return _Mapped(
        {pair.name: (files, size) for pair, files, size in found if size is not None}, form
    )


def _build(
    dataset: SegmentationDataset,
    folder: Path,
    entries: list[Entry],
    sizes: list[Size | None],
    progress: Progress | None,
    say: Say,
) -> list[Size | None]:
    """Decode missing samples, and index the classes while the labels are in memory.

    Returns:
        The sizes of all samples.
    """
    missing = [index for index, size in enumerate(sizes) if size is None]
    _check_room(dataset, folder, entries, missing, say)
    index_path = folder / index_name(dataset) if dataset.has_labels else None
    indexed = index_path is None or index_path.exists()

    def build(index: int) -> tuple[Size, Summary | None]:
        image_file, label_file = entries[index]
        size = sizes[index]
        if size is None:
            image, label = dataset.read(index)
            size = (image.shape[0], image.shape[1])
            if array_size(image_file, dataset.pictures) != size:
                write_array(image_file, image)
            if (
                label is not None
                and label_file is not None
                and array_size(label_file, LABEL) != size
            ):
                write_array(label_file, label)
        elif label_file is not None:
            label = open_array(label_file, size, LABEL)
        if indexed or label is None:
            return size, None
        return size, summarize(label, dataset.label_space.num_classes, dataset.pairs[index].name)

    # The index needs the other labels too; they are decoded already.
    todo = missing if indexed else list(range(len(dataset)))
    workers = available_cores() + _WAITING
    results = in_parallel(build, todo, workers=workers, progress=progress)
    built = dict(zip(todo, results, strict=True))
    if index_path is not None and not indexed:
        save(combined(summary for _, summary in built.values() if summary), index_path)
    return [built[index][0] if index in built else size for index, size in enumerate(sizes)]


def _check_room(
    dataset: SegmentationDataset, folder: Path, entries: list[Entry], missing: list[int], say: Say
) -> None:
    """Report how much will be decoded, and refuse it if the disk has no room."""
    pixels = _pixels(dataset, missing)
    needed = damaged = 0
    for index, count in zip(missing, pixels, strict=True):
        for path, form in zip(entries[index], (dataset.pictures, LABEL), strict=True):
            if path is not None and array_size(path, form) is None:
                needed += count * max(1, form.channels) * form.dtype.itemsize + HEADER_BYTES
                damaged += Path(path).exists()
    if damaged:
        say(f"damaged files in {folder}, to be written again: {damaged:,}")
    pairs = f"{counted(len(missing), 'pair')} of {dataset.description}"
    say(f"decoding {pairs} into {folder}: {_amount(needed)}")
    with writing(folder):
        free = shutil.disk_usage(folder).free
    if needed + DISK_RESERVE > free:
        raise OutputError(
            f"{folder} has no room for the decoded cache of {dataset.description}: it needs "
            f"{_amount(needed)}, {_amount(free)} are free and "
            f"{_amount(DISK_RESERVE)} must stay free",
            REMEDY + ", or use dataset.cache=none",
        )


def _in_memory(dataset: SegmentationDataset, progress: Progress | None, say: Say) -> SharedSamples:
    needed, available = cache_size(dataset), available_memory()
    pairs = f"{counted(len(dataset), 'pair')} of {dataset.description}"
    say(f"decoding {pairs} into memory: {_amount(needed)}")
    if available is not None and needed + MEMORY_RESERVE > available:
        raise ConfigError(
            f"dataset.cache=ram takes {_amount(needed)} for {dataset.description}, but "
            f"{_amount(available)} of memory are available and {_amount(MEMORY_RESERVE)} must "
            "stay free",
            "use dataset.cache=disk",
        )
    samples = in_parallel(dataset.read, range(len(dataset)), progress=progress)
    return SharedSamples(zip(dataset.pairs, samples, strict=True))


def _pixels(dataset: SegmentationDataset, indices: Sequence[int]) -> list[int]:
    """Return the number of pixels of pictures from their headers; 0 if one is unreadable."""
    channels = dataset.pictures.channels

    def of(index: int) -> int:
        height, width = stored_size(dataset.pairs[index].image, channels) or (0, 0)
        return height * width

    return list(in_parallel(of, indices))


def _amount(count: int) -> str:
    """Format bytes as text: 23.8 GB."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"
