"""Digests in weight files that gcseg writes in formats without checksums.

A zip archive, as `torch.save` writes it, and a `.tar.gz` have checksums. `.safetensors` and
`.pdparams` have none: a few wrong bytes in them would change weights and scores unnoticed.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping

import torch
from torch import Tensor

from gcseg.weights.unsafe import RefusedError

METADATA = "gcseg.sha256"
"""Key of the digest in a safetensors file's metadata, whose values are text."""

_TRAILER = b"\ngcseg sha256 "  # follows the end of a pickle, where loaders stop reading
_BLOCK = 2**20  # bytes read at once


def of_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Compute the SHA-256 of a safetensors file's content, independent of its layout.

    It is taken over the metadata without this digest as JSON, and for each tensor, sorted by name,
    over its name, type and shape as JSON and its bytes; each JSON is a line.

    Args:
        tensors: Tensors by name, on the CPU.
        metadata: Metadata of the file.
    """
    digest = hashlib.sha256()
    others = {name: text for name, text in metadata.items() if name != METADATA}
    digest.update(f"{json.dumps(others, sort_keys=True)}\n".encode())
    for name, tensor in sorted(tensors.items()):
        about = [name, str(tensor.dtype), list(tensor.shape)]
        digest.update(f"{json.dumps(about)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Compare a safetensors file's content with its digest, if it has one.

    Raises:
        RefusedError: If they differ.
    """
    if METADATA in metadata and metadata[METADATA] != of_tensors(tensors, metadata):
        raise RefusedError(_differs())


def with_trailer(content: bytes) -> bytes:
    """Return a pickle with its digest after its end, where loaders do not look."""
    return content + _TRAILER + hashlib.sha256(content).hexdigest().encode()


def check_trailer(file: io.BufferedReader, size: int) -> None:
    """Compare a pickle file with the digest at its end, if it has one.

    Args:
        file: File that holds the pickle; its position is at the beginning afterwards.
        size: Size of the file, in bytes.

    Raises:
        RefusedError: If they differ.
    """
    digest = hashlib.sha256()
    left = size - len(_TRAILER) - 2 * digest.digest_size
    file.seek(max(0, left))
    trailer = file.read(size)
    file.seek(0)
    if left < 0 or not trailer.startswith(_TRAILER):
        return
    while block := file.read(min(left, _BLOCK)):
        digest.update(block)
        left -= len(block)
    file.seek(0)
    if trailer != _TRAILER + digest.hexdigest().encode():
        raise RefusedError(_differs())


def _differs() -> str:
    return "it is damaged: its content does not match the SHA-256 that gcseg wrote into it"
