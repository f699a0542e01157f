"""Digests in files of weights that gcseg writes in formats without checksums.

A zip archive, as `torch.save` writes it, and a `.tar.gz` have checksums. `.safetensors` and
`.pdparams` have none: a few wrong bytes in them are other numbers, and other scores.
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
"""Entry of a safetensors file's metadata, all of which are text."""

_TRAILER = b"\ngcseg sha256 "  # follows the end of a pickle, after which nobody reads on
_BLOCK = 2**20  # bytes read at once


def of_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """The SHA-256 of what a safetensors file holds, however it is laid out.

    It is taken over the metadata but this digest as JSON, and for each tensor, by names, over its
    name, type and shape as JSON and its bytes; each JSON is a line.

    Args:
        tensors: On the CPU, by name.
        metadata: Of the file.
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
    """Compare what a safetensors file holds with its digest, if it has one.

    Raises:
        RefusedError: It differs.
    """
    if METADATA in metadata and metadata[METADATA] != of_tensors(tensors, metadata):
        raise RefusedError(_differs())


def with_trailer(content: bytes) -> bytes:
    """A pickle with its digest after its end, where loaders do not look."""
    return content + _TRAILER + hashlib.sha256(content).hexdigest().encode()


def check_trailer(file: io.BufferedReader, size: int) -> None:
    """Compare a file of a pickle with the digest at its end, if it has one.

    Args:
        file: The file; it is left at its beginning.
        size: Its size in bytes.

    Raises:
        RefusedError: It differs.
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
    return "it is damaged: its content is not that which gcseg wrote, by the SHA-256 in it"
