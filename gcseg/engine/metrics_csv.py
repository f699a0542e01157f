"""Curves as one CSV file."""

from __future__ import annotations

import csv
import io
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from gcseg.files import atomic_write, output_error


class MetricsCSV(Logger):
    """Appends each logged step to a CSV file, continuing the file of an interrupted run.

    Lightning's own CSV logger deletes the earlier part of a run that goes on.

    Args:
        path: The file; one row per step, columns as metrics appear.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._columns: list[str] = []

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.parent.name

    @property
    def version(self) -> str:
        """Runs have no versions; the name says everything."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Nothing: config.yaml holds the settings."""

    @rank_zero_only
    def continue_from(self, step: int) -> None:
        """Keep only the rows before a step, as it and those after it are run again.

        Raises:
            OutputError: The file can't be written.
        """
        if self.path.exists():
            with self.path.open(newline="") as file:
                reader = csv.DictReader(file)
                # A row without a number is the torn end of a run that was killed.
                rows = [
                    row
                    for row in reader
                    if (row["step"] or "").isdigit() and int(row["step"]) < step
                ]
                self._rewrite(list(reader.fieldnames or []), rows)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one row.

        Raises:
            OutputError: The file can't be written.
        """
        row = {"step": step, **{key: value for key, value in metrics.items() if key != "epoch"}}
        new = [key for key in row if key not in self._columns]
        if new:
            rows: list[dict[str, Any]] = []
            if self._columns and self.path.exists():
                with self.path.open(newline="") as file:
                    rows = list(csv.DictReader(file))
            self._rewrite([*self._columns, *new], rows)
        try:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        except OSError as error:
            raise output_error(self.path, error) from error

    def _rewrite(self, columns: list[str], rows: list[dict[str, Any]]) -> None:
        self._columns = columns
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(self.path) as file:
            file.write(text.getvalue().encode())
