"""The doctor of datasets: finds the files that would stop a training or spoil its scores."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gcseg.data.check.alignment import CANDIDATES, FEWEST, Outline, exchanged, poorest
from gcseg.data.check.examine import Examination, examine, from_error
from gcseg.data.check.findings import Balance, Diagnosis, Finding
from gcseg.data.check.survey import Survey
from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.parallel import Progress, in_parallel
from gcseg.errors import DataError

Where = tuple[str, int]
"""A split and an index in it."""

_LISTED = 5  # largest number of places of one picture in a message


def read_split(
    reader: Callable[..., SegmentationDataset],
) -> tuple[SegmentationDataset | None, list[DataError]]:
    """Call a dataset's reader and collect its faults instead of stopping at the first.

    Args:
        reader: Reader with its arguments bound (`functools.partial`). One without an argument
            `faults` ends at its first fault, which is then the only one.

    Returns:
        The undamaged part of the split, None if there is none, and the faults.
    """
    faults: list[DataError] = []
    collects = "faults" in inspect.signature(reader).parameters
    try:
        return (reader(faults=faults) if collects else reader()), faults
    except DataError as error:
        return None, [*faults, error]


def check(
    splits: Mapping[str, SegmentationDataset],
    faults: Mapping[str, Sequence[DataError]],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Read every image and label of the splits once and return what is wrong with them.

    The result depends neither on the order in which files are read nor on `workers`.

    Args:
        splits: Splits by name, with or without labels.
        faults: Faults found when reading the splits, by name, also of splits that can't be read.
        workers: Threads; by default one for each core that is available.
        progress: Callback that is passed how many images are done.
    """
    findings = [from_error(error, split) for split in faults for error in faults[split]]
    every = [(split, index) for split, dataset in splits.items() for index in range(len(dataset))]
    pictures: dict[bytes, list[Where]] = {}
    counts: dict[str, list[npt.NDArray[np.int64]]] = {split: [] for split in splits}
    outlines: list[tuple[int, Outline]] = []
    examinations = in_parallel(
        functools.partial(_examine_at, splits), every, workers=workers, progress=progress
    )
    for position, ((split, index), seen) in enumerate(zip(every, examinations, strict=True)):
        findings += seen.findings
        if seen.digest is not None:
            pictures.setdefault(seen.digest, []).append((split, index))
        if seen.counts is not None:
            counts[split].append(seen.counts)
        if seen.outline is not None:
            outlines.append((position, seen.outline))
        if len(outlines) >= 2 * CANDIDATES:  # frees the memory of the others
            outlines = poorest(outlines)
    balance = {
        split: _balance(splits[split].label_space.names, counted)
        for split, counted in counts.items()
        if counted
    }
    findings += _exchanges(splits, every, poorest(outlines))
    findings += _repeated(splits, pictures)
    findings += [
        finding
        for split, one in balance.items()
        for finding in _of_labels(split, splits[split], one)
    ]
    images = {name: len(data) for name, data in splits.items()}
    return Diagnosis(tuple(findings), images, balance, _notes(balance, len(outlines)))


def _examine_at(splits: Mapping[str, SegmentationDataset], where: Where) -> Examination:
    split, index = where
    return examine(splits[split], split, index)


def _balance(names: tuple[str, ...], counted: Sequence[npt.NDArray[np.int64]]) -> Balance:
    by_image = np.stack(counted)
    classes = by_image[:, : len(names)]
    return Balance(
        names,
        len(counted),
        tuple(classes.sum(axis=0).tolist()),
        tuple((classes > 0).sum(axis=0).tolist()),
        int(by_image[:, IGNORE_INDEX].sum()),
    )


def _of_labels(split: str, dataset: SegmentationDataset, balance: Balance) -> list[Finding]:
    """Find faults of all labels of a split together."""
    seen = Survey(dataset.labels_description, dataset.label_space, balance.pixels, balance.ignored,
                  balance.images, len(dataset))  # fmt: skip
    if (error := seen.wrong()) is not None:
        return [Finding("useless labels", split, error.cause, error.remedy)]
    kind = "absent class" if seen.absent else "ignored pixels"
    return [Finding(kind, split, cause, remedy) for cause, remedy in seen.doubts()]


def _repeated(
    splits: Mapping[str, SegmentationDataset], pictures: Mapping[bytes, Sequence[Where]]
) -> list[Finding]:
    """Find pictures that occur more than once."""
    found = []
    for places in pictures.values():
        if len(places) < 2:
            continue
        where = [(split, splits[split].pairs[index].image) for split, index in places]
        among = tuple(dict.fromkeys(split for split, _ in where))
        files = tuple(dict.fromkeys(path for _, path in where))
        listed = ", ".join(f"{path} ({split})" for split, path in where[:_LISTED])
        if len(where) > _LISTED:
            listed += f" and {len(where) - _LISTED} more"
        kind = "picture twice" if len(among) == 1 else "picture in two splits"
        remedy = (
            "keep one of them"
            if len(among) == 1
            else "remove it from one of them: scores on training images mean nothing"
        )
        message = f"the same picture: {listed}"
        found.append(Finding(kind, ", ".join(among), message, remedy, files))
    return found


def _exchanges(
    splits: Mapping[str, SegmentationDataset],
    every: Sequence[Where],
    outlines: Sequence[tuple[int, Outline]],
) -> list[Finding]:
    """Find labels of two images that were exchanged, in the order of their files."""
    found = []
    for exchange in sorted(exchanged(outlines)):
        places = [every[position] for position in (exchange.first, exchange.second)]
        one, other = (_pair(splits, place) for place in places)
        (before, before_other), (after, after_other) = exchange.before, exchange.after
        message = (
            f"labels {one.label} and {other.label} fit each other's images: label boundaries and "
            f"edges correlate by {before:.2f} and {before_other:.2f} as they are, by {after:.2f} "
            f"and {after_other:.2f} exchanged"
        )
        files: tuple[Path | None, ...] = (one.image, one.label, other.image, other.label)
        among = ", ".join(dict.fromkeys(split for split, _ in places))
        remedy = "look at both, and exchange the two labels"
        named = tuple(path for path in files if path is not None)
        found.append(Finding("swapped labels", among, message, remedy, named))
    return found


def _notes(labelled: Mapping[str, Balance], compared: int) -> tuple[str, ...]:
    """Return notes on checks that were not possible; none if there are no labels at all."""
    if not labelled or compared >= FEWEST:
        return ()
    return (f"exchanged labels: not checked, as {FEWEST} pairs are needed and {compared} exist",)


def _pair(splits: Mapping[str, SegmentationDataset], where: Where) -> Pair:
    split, index = where
    return splits[split].pairs[index]
