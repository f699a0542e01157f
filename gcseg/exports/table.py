"""The table of a benchmark as a file, without heavy imports."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from gcseg.system.files import atomic_write
from gcseg.system.records import RecordError

TEXTS = ("file", "format", "precision")
"""Columns of text; the others have numbers."""
COLUMNS = (*TEXTS, "MiB", "threads", "batch", "ms median", "ms p95", "images/s", "memory MiB",
           "mIoU", "equal pixels")  # fmt: skip
"""Columns of the table; times are per image, mIoU and equal pixels in percent."""
FILE = "exports/benchmark.csv"
"""Path of the table in a run folder."""

MOST_ROWS = 200
"""Most rows of a table that are read; a dozen exports at ten numbers of threads and images have
120."""


def write_table(rows: Sequence[Mapping[str, Any]], target: Path) -> None:
    """Write a table as CSV.

    Args:
        rows: Values by column; None for a value that is not known.
        target: File to write.

    Raises:
        OutputError: It can't be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(target) as file:
        file.write(text.getvalue().encode())


def parse_table(text: str) -> list[list[str]]:
    """Read a table as untrusted text.

    Returns:
        Cells by row, in the order of `COLUMNS`; empty where a value is not known.

    Raises:
        RecordError: It is no such table.
    """
    lines = csv.DictReader(io.StringIO(text.replace("\0", "")))
    try:
        if set(COLUMNS) - set(lines.fieldnames or ()):
            raise RecordError(f"its columns are not {', '.join(COLUMNS)}")
        found = [[line[name] or "" for name in COLUMNS] for line in islice(lines, MOST_ROWS)]
    except csv.Error as error:
        raise RecordError(str(error)) from error
    for row in found:
        for name, cell in zip(COLUMNS, row, strict=True):
            if name not in TEXTS and cell and not _is_size(cell):
                raise RecordError(f"{name} is no number")
    return found


def _is_size(cell: str) -> bool:
    try:
        return 0 <= float(cell) < 1e12
    except ValueError:
        return False
