"""gcseg's record in an export, read as untrusted plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gcseg.errors import WeightsError
from gcseg.exports.form import OUTPUTS, PRECISIONS
from gcseg.system.records import RecordError, parse_json

KEY = "gcseg"
"""Name of the record in a file's metadata."""

_MOST_CHANNELS = 64
_MOST_CLASSES = 255


def _numbers(value: object, least: float) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= _MOST_CHANNELS
        and all(type(one) in (int, float) and least <= one < 1e30 for one in value)
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "precision": lambda value: value in PRECISIONS,
    "output": lambda value: value in OUTPUTS,
    "preprocessing": lambda value: type(value) is bool,
    "mean": lambda value: _numbers(value, -1e30),
    "std": lambda value: _numbers(value, 1e-30),
    "full": lambda value: type(value) in (int, float) and 0 < value < math.inf,
    "num_classes": lambda value: type(value) is int and 0 < value <= _MOST_CLASSES,
}
"""Entries of `export` that gcseg reads, each with the check of its value."""


def as_text(record: Mapping[str, Any]) -> str:
    """Write a record as JSON."""
    return json.dumps(record, allow_nan=False)


def checked_record(text: str | None, source: Path) -> dict[str, Any]:
    """Read the record of an export.

    Args:
        text: JSON of the record; None for a file without one.
        source: The file, for messages.

    Raises:
        WeightsError: There is no record, or it is damaged.
    """
    if text is None:
        raise WeightsError(
            f"{source} has no record of gcseg", "give a file that gcseg.export has written"
        )
    try:
        record = parse_json(text)
        if not isinstance(record, dict) or not isinstance(record.get("export"), dict):
            raise RecordError("it does not describe an export")
        export = record["export"]
        for name, check in _CHECKS.items():
            if name not in export or not check(export[name]):
                raise RecordError(f"its entry export.{name} is missing or wrong")
        if len(export["mean"]) != len(export["std"]):
            raise RecordError("export.mean and export.std differ in length")
        if not isinstance(record.get("proof"), dict | None):
            raise RecordError("its proof is not names with values")
    except RecordError as error:
        raise WeightsError(
            f"the record in {source} is damaged: {error}", "export the network again"
        ) from None
    return record
