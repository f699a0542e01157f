"""Content of a file that evaluation and prediction take: a checkpoint or an export."""

from __future__ import annotations

from pathlib import Path

from gcseg.errors import ConfigError
from gcseg.exports.names import format_of
from gcseg.exports.network import read_record
from gcseg.weights import CheckpointFile, read_weights
from gcseg.weights.ema import Kind


def read_trained(path: Path, kind: Kind | None = None) -> CheckpointFile:
    """Read a checkpoint, or the record of an export; no code in it is run.

    Args:
        path: The file.
        kind: Kind of weights of a checkpoint, see `gcseg.weights.read_weights`.

    Returns:
        The content; that of an export has no tensors, and gcseg's record in `extra`.

    Raises:
        ConfigError: A kind of weights is chosen of an export, or a package is missing.
        WeightsError: The file can't be read.
    """
    name = format_of(path)
    if name is None:
        return read_weights(path, kind)
    if kind is not None:
        raise ConfigError(
            f"weights={kind} with {path}, which has one kind of weights", "leave weights out"
        )
    return CheckpointFile(name, {}, {"gcseg": read_record(path)})
