"""Records read leniently, to be shown: what is odd in one is named and left out."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
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
"""Of metrics.csv; a training of 150 classes has 170."""
_EXACT = 2**53
"""From here on not every whole number is a float."""

Curve = tuple[list[int], list[float]]
"""Steps, counted from 1, and values."""


def shown_record(
    folder: Path, name: str, shape: Shape, notices: list[str] | None = None
) -> Mapping[str, Any]:
    """What of a file's JSON or YAML can be shown; empty where there is none.

    Args:
        folder: That the file must lie in, as links lead.
        name: The file, as seen from the folder.
        shape: What it is to hold; what is odd is left out.
        notices: Gets one on the file, if it is missing or damaged or holds odd entries.
    """
    notices = [] if notices is None else notices
    most = LARGEST_TEXT if name.endswith(".json") else LARGEST_YAML
    return parsed(name, shown_text(folder, name, notices, most), shape, notices)


def shown_text(folder: Path, name: str, notices: list[str], most: int = LARGEST_TEXT) -> str | None:
    """A file's text, of at most so many bytes; None where it can't be read, which is noted."""
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
    """The columns of metrics.csv, each with the rows in which it has a number.

    Args:
        folder: The run folder.
        notices: Gets one, if the file is missing or damaged.
        only: The names of the columns; all if empty.
    """
    notices = [] if notices is None else notices
    content = shown_text(folder, METRICS_FILE, notices, LARGEST_TABLE)
    if content is None:
        return {}
    rows = csv.reader(StringIO(content.replace("\0", ""), newline=""))
    curves: dict[str, Curve] = {}
    damaged = 0
    try:
        header = next(rows)
        if "step" not in header:
            notices.append(f"{METRICS_FILE} is damaged: it has no column step.")
            return {}
        place = header.index("step")
        columns: dict[str, int] = {}
        for at, name in enumerate(header):
            if name and name != "step" and (not only or name in only):
                columns.setdefault(name, at)
        if len(columns) > MOST_COLUMNS:
            notices.append(
                f"{METRICS_FILE} has {len(columns):,} columns, of which {MOST_COLUMNS:,} are shown."
            )
        wanted = list(columns.items())[:MOST_COLUMNS]
        for row in rows:
            if not row:
                continue
            step = _number(row[place], int) if len(row) > place else None
            if step is None or not 0 <= step < LARGEST:
                damaged += 1
                continue
            for name, at in wanted:
                if at >= len(row):
                    break
                if row[at]:
                    value = _number(row[at], float)
                    if value is None:
                        damaged += 1
                        continue
                    steps, values = curves.setdefault(name, ([], []))
                    steps.append(int(step) + 1)
                    values.append(value)
    except csv.Error as error:
        notices.append(f"{METRICS_FILE} is damaged ({error}).")
        return curves
    if damaged:
        notices.append(f"{METRICS_FILE} has {damaged} damaged places, which are left out.")
    return curves


def number(content: object, *keys: str) -> float | None:
    """The finite number in nested mappings; None where there is none.

    What floats can't hold exactly comes as the nearest one, with which sums and products stay
    numbers or become infinite, as none of whole numbers does.
    """
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    if not is_finite(content):
        return None
    value: float = content  # type: ignore[assignment]
    return value if abs(value) < _EXACT else float(value)


def mapping(content: object, *keys: str) -> Mapping[str, Any]:
    """The mapping in nested mappings; an empty one where there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def parsed(name: str, content: str | None, shape: Shape, notices: list[str]) -> Mapping[str, Any]:
    """What of a text in JSON or YAML, by the name of its file, can be shown."""
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
    """An evaluation's mIoU as a fraction; None if there is none, as without labelled pixels."""
    value = (evaluation or {}).get("miou")
    return value if is_finite(value) else None
