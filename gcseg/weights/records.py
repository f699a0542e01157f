"""gcseg's record in a checkpoint in addition to the weights, read as untrusted plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gcseg.errors import WeightsError
from gcseg.system.records import RecordError, plain_values

REMEDY = "use another checkpoint, or the original file"


def own_record(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return gcseg's record in a file of weights; empty if gcseg did not write the file.

    It is a copy of plain values, however the file shares or nests them.

    Args:
        extra: Content of the file other than the weights, see `CheckpointFile`.

    Raises:
        WeightsError: If the record holds other values, or more or deeper ones, than settings do.
    """
    meta = extra.get("meta")
    record = extra.get("gcseg", meta.get("gcseg") if isinstance(meta, Mapping) else None)
    if not isinstance(record, Mapping):
        return {}
    try:
        plain: Mapping[str, Any] = plain_values(record)
    except RecordError as error:
        raise WeightsError(f"the record of its training is damaged: {error}", REMEDY) from None
    return plain
