"""Convert a checkpoint to another framework's format, for a network with the same logits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from gcseg.errors import OutputError, WeightsError
from gcseg.system.files import atomic_write
from gcseg.system.text import listed, shown
from gcseg.weights import digests
from gcseg.weights.architecture import Description, describe, empty_state
from gcseg.weights.ema import Kind, is_averaged, read_weights
from gcseg.weights.mmseg_files import as_mmseg
from gcseg.weights.other_parts import other_parts
from gcseg.weights.paddleseg_files import as_paddleseg
from gcseg.weights.reading import CheckpointFile
from gcseg.weights.records import own_record
from gcseg.weights.written import Tensors, Written, packed, record_of


def convert(
    source: Path,
    target: Path,
    *,
    force: bool = False,
    variant: str | None = None,
    align_corners: bool | None = None,
    multi_grid: Sequence[int] | None = None,
    kind: Kind | None = None,
) -> list[str]:
    """Convert a checkpoint to the format of the target's suffix.

    `.ckpt` and `.safetensors` are gcseg's, `.pdparams` is PaddleSeg's, `.pth` mmsegmentation's.
    The network gives the same logits there in evaluation mode, from float32 weights.

    Args:
        source: File of any format that `read_checkpoint_file` knows.
        target: File to write.
        force: Whether to overwrite an existing file.
        variant: See `gcseg.weights.architecture.describe`.
        align_corners: See `gcseg.weights.architecture.describe`.
        multi_grid: See `gcseg.weights.architecture.describe`.
        kind: See `gcseg.weights.ema.read_weights`.

    Returns:
        Notes for users of the file, one line each.

    Raises:
        WeightsError: If the source can't be read, is not a known network, or has no equivalent in
            the target's framework.
        OutputError: If the target exists or can't be written.
    """
    write = _WRITERS.get(target.suffix)
    if write is None:
        raise WeightsError(
            f"there is no format for the suffix of {target}",
            "end the name in .ckpt or .safetensors (gcseg), .pdparams (PaddleSeg) or .pth "
            "(mmsegmentation)",
        )
    if target.exists() and not force:
        raise OutputError(f"{target} exists", "choose another name, or overwrite it with --force")
    file = read_weights(source, kind)
    if parts := other_parts(file.extra):
        content, notes = _unchanged(file, target, parts)
        with atomic_write(target) as output:
            output.write(content)
        return notes
    description = describe(
        file.tensors,
        file.extra,
        variant=variant,
        align_corners=align_corners,
        multi_grid=multi_grid,
    )
    if description.unknown:
        raise WeightsError(
            f"{source} holds {len(description.unknown)} tensors that are not part of a "
            f"{description.kind}: {listed(map(shown, description.unknown))}",
            "remove them from the file",
        )
    content, notes = write(our_tensors(file.tensors, description), description, file.extra)
    with atomic_write(target) as output:
        output.write(content)
    if is_averaged(file.extra):
        notes.append("weights: the moving average that the training kept")
    if description.unused:
        notes.append(
            f"left out, because gcseg does not use them: {listed(map(shown, description.unused))}"
        )
    return notes


def _unchanged(file: CheckpointFile, target: Path, parts: Sequence[str]) -> Written:
    """Return a network that its weights do not show as a file of gcseg, with its record.

    Raises:
        WeightsError: If the target is of another framework.
    """
    if target.suffix not in (".ckpt", ".safetensors"):
        framework = {".pdparams": "PaddleSeg", ".pth": "mmsegmentation"}[target.suffix]
        raise WeightsError(
            f"{framework}'s GCNet has no such {' and '.join(parts)}",
            "end the name in .ckpt or .safetensors (gcseg)",
        )
    averaged = {"weights": "ema"} if is_averaged(file.extra) else {}
    record = {**own_record(file.extra), **averaged}
    notes = [f"it needs {part}" for part in parts]
    if averaged:
        notes.append("weights: the moving average that the training kept")
    if target.suffix == ".ckpt":
        tensors = {name: one.detach().clone().contiguous() for name, one in file.tensors.items()}
        return packed({"state_dict": tensors, "gcseg": record}), notes
    return as_safetensors(file.tensors, record), notes


def our_tensors(tensors: Mapping[str, Tensor], description: Description) -> Tensors:
    """Return the tensors by gcseg's names, complete, in its shapes and in float32."""
    named = {ours: tensors[theirs] for ours, theirs in description.names.items()}
    named = description.keys.in_our_order(named)
    ours = {}
    for name, empty in empty_state(description).items():
        if name not in named:  # a count of batches, which Paddle does not store
            ours[name] = torch.zeros(empty.shape, dtype=empty.dtype)
        else:
            ours[name] = named[name].reshape(empty.shape).to(empty.dtype)
    return ours


def _to_ckpt(tensors: Tensors, description: Description, extra: Mapping[str, Any]) -> Written:
    return packed({"state_dict": tensors, "gcseg": record_of(description, extra)}), []


def _to_safetensors(
    tensors: Tensors, description: Description, extra: Mapping[str, Any]
) -> Written:
    return as_safetensors(tensors, record_of(description, extra)), []


def as_safetensors(tensors: Tensors, record: Mapping[str, Any]) -> bytes:
    """Return the content of a `.safetensors` file of gcseg, with a digest.

    Args:
        tensors: Tensors by name.
        record: Plain values on the training.
    """
    # The library writes no tensor that shares its memory with another.
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": "pt", "gcseg": json.dumps(record)}
    metadata[digests.METADATA] = digests.of_tensors(tensors, metadata)
    return save(tensors, metadata)


_WRITERS = {
    ".ckpt": _to_ckpt,
    ".safetensors": _to_safetensors,
    ".pdparams": as_paddleseg,
    ".pth": as_mmseg,
}
