"""Curves as one CSV file."""

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
"""Left out: training has no epochs, and times would make the files of equal trainings differ."""


_LARGEST = 2**30
"""Bytes of the file of a training that goes on."""


class MetricsCSV(Logger):
    """Appends each logged step to a CSV file, continuing the file of an interrupted run.

    Lightning's own CSV logger deletes the earlier part of a run that goes on.

    Args:
        path: The file; one row per step, columns as metrics appear.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows = 0
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
    def keep(self, count: int) -> None:
        """Keep only the first rows, as what came after them is run again.

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
        """Append a row; the scores of a training's end are one row, in any number of parts.

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
        """Write a row at the end, into the one that is there of the same step."""
        columns, rows = self._read() if self.path.exists() else ([], [])
        found = {name: str(value) for name, value in metrics.items()}
        if not rows or rows[-1]["step"] != str(step):
            rows.append({"step": step})
        elif found.items() <= rows[-1].items():
            return
        rows[-1].update(found)
        self._rewrite(list(dict.fromkeys(["step", *columns, *metrics])), rows)

    def _read(self, count: int | None = None) -> tuple[list[str], list[dict[str, Any]]]:
        """The columns, and the first rows or all of them."""
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
    """A row by column.

    Raises:
        RecordError: It is none of these columns.
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
    """Has checkpoints say how many rows there are, and a training go on after just those.

    Args:
        curves: The file.
    """

    def __init__(self, curves: MetricsCSV) -> None:
        self.curves = curves
        self._rows = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Drop what is made anew.

        Raises:
            OutputError: The file can't be written.
        """
        self.curves.keep(self._rows)

    def state_dict(self) -> dict[str, Any]:
        """How many rows there are; right in the first process, the one that writes."""
        return {"rows": self.curves.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what the checkpoint says."""
        self._rows = max(0, operator.index(state_dict["rows"]))
