"""Lenient reading of records that are shown: odd entries are named and left out."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from gcseg.runs.folder import METRICS_FILE
from gcseg.runs.shapes import LARGEST, Shape, cleaned, in_words, is_finite
from gcseg.system.links import leads_out
from gcseg.system.records import (
    LARGEST_TABLE,
    LARGEST_TEXT,
    LARGEST_YAML,
    RecordError,
    parse_json,
    parse_yaml,
    read_text,
)

MOST_COLUMNS = 2000
"""Most columns of metrics.csv that are read; a training of 150 classes has 170."""
_STEP = "step"
_EXACT = 2**53
"""Bound from which on not every whole number is exact as a float."""

Curve = tuple[list[int], list[float]]
"""Optimizer steps, counted from 1, and the values at these steps."""


def shown_record(
    folder: Path, name: str, shape: Shape, notices: list[str] | None = None
) -> Mapping[str, Any]:
    """Return the part of a JSON or YAML file that can be shown; empty if there is none.

    Args:
        folder: Folder that must contain the file, after links are resolved.
        name: Path of the file, relative to the folder.
        shape: Shape of the contents; odd entries are left out.
        notices: List to which a notice is appended if the file is missing, damaged or has odd
            entries.
    """
    notices = [] if notices is None else notices
    most = LARGEST_TEXT if name.endswith(".json") else LARGEST_YAML
    return parsed(name, shown_text(folder, name, notices, most), shape, notices)


def shown_text(folder: Path, name: str, notices: list[str], most: int = LARGEST_TEXT) -> str | None:
    """Return a file's text of at most `most` bytes; None, with a notice, if it can't be read."""
    path = folder / name
    try:
        if leads_out(path, folder):
            notices.append(f"{name} lies outside the run folder and is left out.")
            return None
        if content := read_text(path, most, errors="replace").strip():
            return content
        notices.append(f"{name} is empty.")
    except FileNotFoundError:
        notices.append(f"{name} is missing.")
    except RecordError as error:
        notices.append(f"{name} can't be read ({error}).")
    return None


def shown_curves(
    folder: Path, notices: list[str] | None = None, only: Sequence[str] = ()
) -> dict[str, Curve]:
    """Return the columns of metrics.csv, each with the rows in which it has a number.

    Args:
        folder: The run folder.
        notices: List to which a notice is appended if the file is missing or damaged.
        only: Names of the columns to read; all if empty.
    """
    notices = [] if notices is None else notices
    content = shown_text(folder, METRICS_FILE, notices, LARGEST_TABLE)
    if content is None:
        return {}
    rows = csv.reader(StringIO(content.replace("\0", ""), newline=""))
    curves: dict[str, Curve] = {}
    try:
        header = next(rows)
        if _STEP not in header:
            notices.append(f"{METRICS_FILE} is damaged: it has no column {_STEP}.")
            return {}
        columns = _columns(header, only, notices)
        damaged = sum(_read_row(row, header.index(_STEP), columns, curves) for row in rows if row)
    except csv.Error as error:
        notices.append(f"{METRICS_FILE} is damaged ({error}).")
        return curves
    if damaged:
        notices.append(f"{METRICS_FILE} has {damaged} damaged places, which are left out.")
    return curves


def _columns(header: Sequence[str], only: Sequence[str], notices: list[str]) -> dict[str, int]:
    """Return the columns to read, by name, with their place in a row; the first of a name counts.

    Args:
        header: Names of all columns.
        only: Names of the columns to read; all if empty.
        notices: List to which a notice is appended if there are more than `MOST_COLUMNS`.
    """
    columns: dict[str, int] = {}
    for place, name in enumerate(header):
        if name and name != _STEP and (not only or name in only):
            columns.setdefault(name, place)
    if len(columns) > MOST_COLUMNS:
        notices.append(
            f"{METRICS_FILE} has {len(columns):,} columns, of which {MOST_COLUMNS:,} are shown."
        )
    return dict(islice(columns.items(), MOST_COLUMNS))


def _read_row(
    row: Sequence[str], step_place: int, columns: Mapping[str, int], curves: dict[str, Curve]
) -> int:
    """Append the values of a row to the curves; return how many of its places are damaged."""
    step = _number(row[step_place], int) if len(row) > step_place else None
    if step is None or not 0 <= step < LARGEST:
        return 1
    damaged = 0
    for name, place in columns.items():
        if place >= len(row):
            break
        if not row[place]:
            continue
        value = _number(row[place], float)
        if value is None:
            damaged += 1
            continue
        steps, values = curves.setdefault(name, ([], []))
        steps.append(int(step) + 1)
        values.append(value)
    return damaged


def number(content: object, *keys: str) -> float | None:
    """Return the finite number at nested keys; None if there is none.

    A whole number that a float can't hold exactly is returned as the nearest float, so that sums
    and products become infinite instead of growing without bound.
    """
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    if not is_finite(content):
        return None
    value: float = content  # type: ignore[assignment]
    return value if abs(value) < _EXACT else float(value)


def mapping(content: object, *keys: str) -> Mapping[str, Any]:
    """Return the mapping at nested keys; an empty one if there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def parsed(name: str, content: str | None, shape: Shape, notices: list[str]) -> Mapping[str, Any]:
    """Parse a text as JSON or YAML, by its file's name, and return the part that can be shown."""
    if not content:
        return {}
    odd: list[str] = []
    try:
        found = parse_json(content) if name.endswith(".json") else parse_yaml(content)
    except RecordError as error:
        notices.append(f"{name} is damaged ({error}).")
        return {}
    if not isinstance(found, Mapping):
        notices.append(f"{name} is damaged (no names with values).")
        return {}
    known: Mapping[str, Any] = cleaned(found, shape, odd) or {}
    if odd:
        notices.append(f"{name} holds odd entries, which are left out: {in_words(odd)}.")
    return known


def _number(cell: str, kind: type[int] | type[float]) -> float | None:
    try:
        return kind(cell)
    except ValueError:
        return None


def miou(evaluation: Mapping[str, Any] | None) -> float | None:
    """Return an evaluation's mIoU as a fraction; None if there is none (no labelled pixels)."""
    value = (evaluation or {}).get("miou")
    return value if is_finite(value) else None
