"""Digests of the predicted labels of each picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from gcseg.publishing.data_files import rows_of

_COLUMNS = ["name", "labels"]


def as_table(digests: Mapping[str, str]) -> str:
    """Write the digests of a split's pictures, by name, as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows(digests.items())
    return text.getvalue()


def of_table(text: str, source: Path) -> dict[str, str]:
    """Read digests as `as_table` writes them.

    Raises:
        WeightsError: The text is something else.
    """
    return {row[0]: row[1] for row in rows_of(text, _COLUMNS, source)}
