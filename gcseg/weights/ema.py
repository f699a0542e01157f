"""Choice between a checkpoint's averaged weights and the optimizer's, if it has both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from gcseg.errors import WeightsError
from gcseg.weights.reading import RAW_WEIGHTS, CheckpointFile, read_checkpoint_file
from gcseg.weights.records import own_record

Kind = Literal["ema", "raw"]


def read_weights(path: str | Path, kind: Kind | None = None) -> CheckpointFile:
    """Read one kind of weights from a checkpoint file, see `read_checkpoint_file`.

    Args:
        path: Path of the file.
        kind: Kind of weights: `"ema"` for the moving average, `"raw"` for those that the optimizer
            updates; None for the average if the training kept one, otherwise the others.

    Raises:
        WeightsError: If the file can't be read, or has no such weights.
    """
    file = read_checkpoint_file(path)
    if kind == "raw" and not _had_average(file.extra):
        raise WeightsError(
            f"{path} is of a training without an average",
            "leave weights=raw out: the file has only one kind of weights",
        )
    if kind is None or is_averaged(file.extra) == (kind == "ema"):
        return file
    if kind == "ema":
        raise WeightsError(
            f"{path} has no averaged weights", "leave weights=ema out, or train with ema.decay="
        )
    if RAW_WEIGHTS not in file.extra:
        raise WeightsError(
            f"{path} has only the averaged weights",
            "leave weights=raw out, or give the training's checkpoint",
        )
    return read_checkpoint_file(path, container=RAW_WEIGHTS)


def _had_average(extra: Mapping[str, Any]) -> bool:
    """Return whether the training kept a moving average, even if the file has only raw weights."""
    config = own_record(extra).get("config")
    ema = config.get("ema") if isinstance(config, Mapping) else None
    return is_averaged(extra) or (isinstance(ema, Mapping) and ema.get("decay") is not None)


def is_averaged(extra: Mapping[str, Any]) -> bool:
    """Return whether a file's weights are a moving average.

    Args:
        extra: Other content of the file, see `CheckpointFile`.
    """
    return RAW_WEIGHTS in extra or own_record(extra).get("weights") == "ema"
