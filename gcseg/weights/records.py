"""What gcseg wrote into a checkpoint beside the weights, as plain data whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gcseg.errors import WeightsError
from gcseg.system.records import RecordError, plain_values

REMEDY = "use another checkpoint, or the file as it was before it was changed"


def own_record(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """What gcseg wrote into a file beside the weights; empty if it did not write the file.

    It is a copy of plain values, however the file shares or nests them.

    Args:
        extra: What the file holds beside the weights, see `CheckpointFile`.

    Raises:
        WeightsError: It holds more than settings do.
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
