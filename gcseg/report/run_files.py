"""What a run folder holds, read leniently: a report shows what is there and says what is not."""

from __future__ import annotations

import csv
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from gcseg.errors import OutputError
from gcseg.report.measured import MODES

Curve = tuple[list[int], list[float]]
"""Steps, counted from 1, and values."""


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix.

    Args:
        names: The C classes.
        counts: C x C pixels, rows true classes, columns predicted ones.
    """

    names: Sequence[str]
    counts: npt.NDArray[np.int64]


@dataclass
class Evaluation:
    """One entry of results.json.

    Args:
        name: As there: a mode of test-time augmentation, and after "@" what is unusual.
        record: Its values.
        analysis: Of its file; None where there is none.
        confusion: Likewise.
    """

    name: str
    record: Mapping[str, Any]
    analysis: Mapping[str, Any] | None = None
    confusion: Confusion | None = None

    @property
    def title(self) -> str:
        """What it is called in tables."""
        mode, *more = self.name.split("@")
        return ", ".join([MODES.get(mode, mode), *more])


@dataclass
class RunFiles:
    """A run folder's files.

    Args:
        folder: The run folder.
        config: Of config.yaml; empty where it can't be read.
        config_text: That file as it is.
        environment: Of environment.json, likewise.
        results: Of results.json, likewise.
        evaluations: Of results.json, those of the training's own protocol first.
        curves: Of metrics.csv by name.
        notices: On files that are missing or damaged.
    """

    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    config_text: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    evaluations: Sequence[Evaluation] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    @property
    def place(self) -> Path:
        """The folder as commands given here name it."""
        path, here = self.folder.resolve(), Path.cwd()
        return path.relative_to(here) if path.is_relative_to(here) else self.folder

    def argument(self, key: str) -> str:
        """The folder as the value of a command's setting, to be pasted."""
        return shlex.quote(f"{key}={self.place}")

    @property
    def main(self) -> list[Evaluation]:
        """The evaluations of the training's own protocol: those whose names are modes alone."""
        return [one for one in self.evaluations if "@" not in one.name]

    @property
    def shown(self) -> Evaluation | None:
        """The evaluation shown in detail: the first that was analysed, or else the first."""
        analysed = [one for one in self.evaluations if one.analysis is not None]
        return next(iter([*analysed, *self.evaluations]), None)


def read_run(folder: Path) -> RunFiles:
    """Read the files of a run folder; what is missing or damaged becomes a notice.

    Raises:
        OutputError: There is no such folder.
    """
    if not folder.is_dir():
        raise OutputError(f"{folder} is no run folder", "give runs/<name>")
    run = RunFiles(folder)
    run.config_text = _text(run, "config.yaml") or ""
    run.config = _parsed(run, "config.yaml", run.config_text, yaml.safe_load)
    run.environment = _json(run, "environment.json")
    run.results = _json(run, "results.json")
    run.evaluations = _evaluations(run)
    run.curves = _curves(run, _text(run, "metrics.csv"))
    return run


def number(content: object, *keys: str) -> float | None:
    """The finite number in nested mappings; None where there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    if isinstance(content, bool) or not isinstance(content, int | float):
        return None
    return content if math.isfinite(content) else None


def mapping(content: object, *keys: str) -> Mapping[str, Any]:
    """The mapping in nested mappings; an empty one where there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def _evaluations(run: RunFiles) -> list[Evaluation]:
    found = []
    for name, record in mapping(run.results, "evaluations").items():
        if not isinstance(record, Mapping) or number(record, "miou") is None:
            run.notices.append(f"The evaluation {name} in results.json is damaged and left out.")
            continue
        one = Evaluation(name, record)
        if isinstance(path := record.get("analysis"), str):
            one.analysis = _json(run, path) or None
        if isinstance(path := record.get("confusion"), str):
            one.confusion = _confusion(run, path)
        found.append(one)
    order = list(MODES)
    usual = {one.name: order.index(one.name) for one in found if one.name in order}
    return sorted(found, key=lambda one: ("@" in one.name, usual.get(one.name, len(order))))


def _confusion(run: RunFiles, path: str) -> Confusion | None:
    content = _text(run, path)
    if content is None:
        return None
    try:
        (_, *names), *rows = csv.reader(StringIO(content, newline=""))
        counts = np.array([[int(cell) for cell in row[1:]] for row in rows if row], np.int64)
    except (ValueError, OverflowError, csv.Error):
        counts, names = np.zeros((0, 0), np.int64), []
    if not names or counts.shape != (len(names), len(names)) or counts.min() < 0:
        run.notices.append(f"{path} is damaged: it is no table of as many rows as columns.")
        return None
    return Confusion(names, counts)


def _curves(run: RunFiles, content: str | None) -> dict[str, Curve]:
    """The columns of metrics.csv, each with the rows in which it has a number."""
    curves: dict[str, Curve] = {}
    damaged = 0
    table = csv.DictReader(StringIO((content or "").replace("\0", ""), newline=""))
    try:
        rows = list(table)
    except csv.Error as error:
        run.notices.append(f"metrics.csv is damaged ({error}).")
        return {}
    if content is not None and "step" not in (table.fieldnames or ()):
        run.notices.append("metrics.csv is damaged: it has no column step.")
        return {}
    for row in rows:
        try:
            step = int(row["step"]) + 1
        except (ValueError, TypeError):
            damaged += 1
            continue
        for name, cell in row.items():
            if name in (None, "step") or not cell or not isinstance(cell, str):
                continue
            try:
                value = float(cell)
            except ValueError:
                damaged += 1
                continue
            steps, values = curves.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
    if damaged:
        run.notices.append(f"metrics.csv has {damaged} damaged places, which are left out.")
    return curves


def _text(run: RunFiles, name: str) -> str | None:
    """A file's text; None where it can't be read, which is noted."""
    path = run.folder / name
    if not path.resolve().is_relative_to(run.folder.resolve()):
        run.notices.append(f"{name} lies outside the run folder and is left out.")
        return None
    try:
        if content := path.read_text("utf-8", errors="replace").strip():
            return content
        run.notices.append(f"{name} is empty.")
    except FileNotFoundError:
        run.notices.append(f"{name} is missing.")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        run.notices.append(f"{name} can't be read ({reason}).")
    return None


def _json(run: RunFiles, name: str) -> Mapping[str, Any]:
    return _parsed(run, name, _text(run, name), json.loads)


def _parsed(run: RunFiles, name: str, content: str | None, parse: Any) -> Mapping[str, Any]:
    if not content:
        return {}
    try:
        found = parse(content)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        run.notices.append(f"{name} is damaged ({reason}).")
        return {}
    if not isinstance(found, Mapping):
        run.notices.append(f"{name} is damaged (no names with values).")
        return {}
    return found
