"""Logger that writes all curves to one CSV file."""

from __future__ import annotations

import csv
import io
import itertools
import operator
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as L
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from gcseg.errors import OutputError
from gcseg.system.files import atomic_write, output_error
from gcseg.system.records import RecordError, read_text
from gcseg.system.terminal import announce
from gcseg.system.text import shown

NOT_CURVES = ("epoch", "train/images_per_second", "train/memory_bytes")
"""Metrics left out: training has no epochs, and times would make files of equal runs differ."""


_LARGEST = 2**30
"""Largest file that a resumed training reads, in bytes."""


class MetricsCSV(Logger):
    """Appends each logged step to a CSV file, continuing the file of an interrupted run.

    Lightning's own CSV logger deletes the earlier part of a resumed run.

    Args:
        path: Path of the file; one row per step, columns as metrics appear.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows = 0
        self._columns: list[str] = []

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.path.parent.name

    @property
    def version(self) -> str:
        """Empty: runs have no versions."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Do nothing: config.yaml holds the settings."""

    @rank_zero_only
    def keep(self, count: int) -> None:
        """Keep only the first `count` rows, as the steps of the later ones are run again.

        Raises:
            OutputError: The file can't be written.
        """
        if self.path.exists():
            columns, rows = self._read(count)
            if len(rows) < count:
                announce(f"warning: {self.path} has lost {count - len(rows)} of {count} rows")
            self._rewrite(columns, rows)
            self.rows = len(rows)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append a row; scores at the end of a training share one row, in any number of calls.

        Raises:
            OutputError: The file can't be written, or is damaged.
        """
        if any(key.startswith("eval/") for key in metrics):  # a training may be scored again
            self._merge(metrics, step)
            return
        row = {"step": step, **{key: metrics[key] for key in metrics if key not in NOT_CURVES}}
        new = [key for key in row if key not in self._columns]
        if new:
            rows: list[dict[str, Any]] = []
            if self._columns and self.path.exists():
                rows = self._read()[1]
            self._rewrite([*self._columns, *new], rows)
        try:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(row)
            self.rows += 1
        except OSError as error:
            raise output_error(self.path, error) from error

    def _merge(self, metrics: dict[str, float], step: int | None) -> None:
        """Write scores as the last row, merged with a last row of the same step."""
        columns, rows = self._read() if self.path.exists() else ([], [])
        found = {name: str(value) for name, value in metrics.items()}
        if not rows or rows[-1]["step"] != str(step):
            rows.append({"step": step})
        elif found.items() <= rows[-1].items():
            return
        rows[-1].update(found)
        self._rewrite(list(dict.fromkeys(["step", *columns, *metrics])), rows)

    def _read(self, count: int | None = None) -> tuple[list[str], list[dict[str, Any]]]:
        """Read the columns, and the first `count` rows or all of them."""
        try:
            text = read_text(self.path, _LARGEST, within=self.path.parent)
            rows = csv.reader(io.StringIO(text, newline=""))
            columns = next(rows, [])
            if "step" not in columns or len(set(columns)) < len(columns):
                raise RecordError("its first line does not name columns, step among them")
            return columns, [_row(columns, row) for row in itertools.islice(rows, count)]
        except (FileNotFoundError, RecordError, csv.Error) as error:
            raise OutputError(
                f"{self.path} is damaged ({error})", "move it away, and run this again"
            ) from error

    def _rewrite(self, columns: list[str], rows: list[dict[str, Any]]) -> None:
        self._columns = columns
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(self.path) as file:
            file.write(text.getvalue().encode())


def _row(columns: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """Parse a row into values by column.

    Raises:
        RecordError: It does not have these columns.
    """
    row = dict(zip(columns, cells, strict=False))
    if len(cells) != len(columns):
        raise RecordError(f"a row of {len(cells)} cells for {len(columns)} columns")
    try:
        int(row["step"] or 0)
        for cell in cells:
            float(cell or 0)
    except ValueError as error:
        raise RecordError(f"a row that holds no numbers: {shown(str(error))}") from None
    return row


class ContinuedCurves(L.Callback):
    """Saves the number of rows in checkpoints; a resumed training continues after those rows.

    Args:
        curves: Logger of the file.
    """

    def __init__(self, curves: MetricsCSV) -> None:
        self.curves = curves
        self._rows = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Drop the rows of steps that are run again.

        Raises:
            OutputError: The file can't be written.
        """
        self.curves.keep(self._rows)

    def state_dict(self) -> dict[str, Any]:
        """Number of rows; correct in the first process only, the one that writes."""
        return {"rows": self.curves.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of rows from a checkpoint."""
        self._rows = max(0, operator.index(state_dict["rows"]))
