"""Write the files of a published folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from gcseg.errors import OutputError, WeightsError
from gcseg.publishing.names import WEIGHTS
from gcseg.system.files import atomic_write
from gcseg.system.links import leads_out
from gcseg.system.records import LARGEST_TABLE, RecordError, read_text
from gcseg.weights import CheckpointFile, is_averaged, own_record, read_checkpoint_file
from gcseg.weights.convert import as_safetensors


def write_weights(
    folder: Path, content: CheckpointFile, settings: Mapping[str, Any], about: Mapping[str, Any]
) -> None:
    """Write the weights with the record that rebuilds the network, and read them back.

    Args:
        folder: Folder to write to.
        content: Content of the checkpoint.
        settings: Settings that may be shared.
        about: Name of the training and version of gcseg, by which readers know a published file.

    Raises:
        OutputError: They can't be written.
        WeightsError: The file does not hold the same values.
    """
    own = own_record(content.extra)
    record: dict[str, Any] = {key: own[key] for key in ("classes", "colors") if key in own}
    record |= {"config": dict(settings), "published": dict(about)}
    if is_averaged(content.extra):
        record["weights"] = "ema"
    path = folder / WEIGHTS
    write_text(path, as_safetensors(content.tensors, record))
    there = read_checkpoint_file(path).tensors
    equal = there.keys() == content.tensors.keys() and all(
        there[name].dtype == one.dtype and torch.equal(there[name], one)
        for name, one in content.tensors.items()
    )
    if not equal:
        raise WeightsError(f"{path} does not hold the checkpoint's weights", "try again")


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write settings as YAML.

    Raises:
        OutputError: They can't be written.
    """
    write_text(path, yaml.safe_dump(dict(settings), sort_keys=False))


def copy_table(source: Path, target: Path, folder: Path) -> bool:
    """Copy a table of a run folder; return whether it was there.

    Args:
        source: The table.
        target: File to write.
        folder: The run folder.

    Raises:
        OutputError: It can't be read or written.
    """
    try:
        if leads_out(source, folder):
            raise RecordError("it is a link to a place outside the run folder")
        text = read_text(source, LARGEST_TABLE)
    except FileNotFoundError:
        return False
    except RecordError as error:
        raise OutputError(f"{source} can't be read ({error})", "remove it") from None
    write_text(target, text)
    return True


def write_text(path: Path, content: str | bytes) -> None:
    """Write a file whole.

    Raises:
        OutputError: It can't be written.
    """
    with atomic_write(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def as_json(content: Any) -> str:
    """Write plain values as JSON without NaN and infinity."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
