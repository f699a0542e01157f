"""Which of its weights a checkpoint is used with, where its training averaged them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from gcseg.errors import WeightsError
from gcseg.weights.reading import RAW_WEIGHTS, CheckpointFile, read_checkpoint_file
from gcseg.weights.records import own_record

Kind = Literal["ema", "raw"]


def read_weights(path: str | Path, kind: Kind | None = None) -> CheckpointFile:
    """Read a checkpoint file, see `read_checkpoint_file`, for one kind of its weights.

    Args:
        path: The file.
        kind: `"ema"` for the moving average, `"raw"` for what the optimizer went on from; None for
            the average where the training kept one.

    Raises:
        WeightsError: The file can't be read, or has no such weights.
    """
    file = read_checkpoint_file(path)
    if kind == "raw" and not _had_average(file.extra):
        raise WeightsError(
            f"{path} is of a training without an average", "leave weights=raw out: it has one kind"
        )
    if kind is None or is_averaged(file.extra) == (kind == "ema"):
        return file
    if kind == "ema":
        raise WeightsError(
            f"{path} has no averaged weights", "leave weights=ema out, or train with ema.decay="
        )
    if RAW_WEIGHTS not in file.extra:
        raise WeightsError(
            f"{path} has the averaged weights alone",
            "leave weights=raw out, or give the checkpoint of the training itself",
        )
    return read_checkpoint_file(path, container=RAW_WEIGHTS)


def _had_average(extra: Mapping[str, Any]) -> bool:
    """Whether the training kept a moving average, also if the file has the other weights alone."""
    config = own_record(extra).get("config")
    ema = config.get("ema") if isinstance(config, Mapping) else None
    return is_averaged(extra) or (isinstance(ema, Mapping) and ema.get("decay") is not None)


def is_averaged(extra: Mapping[str, Any]) -> bool:
    """Whether a file's weights are a moving average.

    Args:
        extra: What the file holds beside them, see `CheckpointFile`.
    """
    return RAW_WEIGHTS in extra or own_record(extra).get("weights") == "ema"
