"""Confusion matrices of a run's evaluations, as files."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gcseg.runs.folder import CONFUSION_FOLDER
from gcseg.runs.shapes import LARGEST, MOST_CLASSES
from gcseg.system.files import atomic_write, locked

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 80
"""Most characters of an evaluation's name that go into its file's name."""


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix.

    Args:
        names: Names of the C classes.
        counts: Counts of pixels, C x C; rows are true classes, columns predicted ones.
    """

    names: Sequence[str]
    counts: npt.NDArray[np.int64]


def keep_confusion(
    results: Path,
    evaluations: Mapping[str, Mapping[str, Any]],
    matrices: Mapping[str, Tensor],
    class_names: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """Write the confusion matrix of each evaluation to a CSV file and name it in the record.

    The files hold counts of pixels, with a named row per true class and a named column per
    predicted one.

    Args:
        results: The results.json that the records are for.
        evaluations: Records by name.
        matrices: Confusion matrices, C x C integers, in the order of the records.
        class_names: Names of the C classes.

    Returns:
        The records, each with `confusion`: the file's path relative to the folder of results.json.

    Raises:
        OutputError: A file can't be written.
    """
    records = {}
    with locked(results):  # also held by the process that removes half-written files
        for (name, record), matrix in zip(evaluations.items(), matrices.values(), strict=True):
            file_name = f"{CONFUSION_FOLDER}/{safe_name(name)}.csv"
            with atomic_write(results.parent / file_name) as file:
                file.write(confusion_table(matrix, class_names).encode())
            records[name] = {**record, "confusion": file_name}
    return records


def safe_name(name: str) -> str:
    """Return a file name for an evaluation: unique, and valid on any file system."""
    safe = re.sub(r"[^A-Za-z0-9.-]+", "_", name)[:LONGEST]
    if safe == name:
        return name
    return f"{safe}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def confusion_table(matrix: Tensor, class_names: Sequence[str]) -> str:
    """Write a confusion matrix as CSV.

    Args:
        matrix: Confusion matrix, C x C integers.
        class_names: Names of the C classes.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["true \\ predicted", *class_names])
    for name, row in zip(class_names, matrix.tolist(), strict=True):
        writer.writerow([name, *row])
    return text.getvalue()


def read_confusion(content: str) -> Confusion | None:
    """Read a confusion matrix as `confusion_table` writes it; None if the text is something else.

    Args:
        content: The table.
    """
    try:
        lines = csv.reader(io.StringIO(content, newline=""))
        _, *names = next(lines)
        rows = list(islice(lines, len(names) + 1 if len(names) <= MOST_CLASSES else 0))
        counts = np.array([[int(cell) for cell in row[1:]] for row in rows if row], np.int64)
    except (ValueError, OverflowError, csv.Error, StopIteration):
        return None
    # Sums of counts must also fit into an integer.
    if (
        not names
        or counts.shape != (len(names), len(names))
        or counts.min() < 0
        or counts.sum(dtype=np.float64) >= LARGEST
    ):
        return None
    return Confusion(names, counts)
