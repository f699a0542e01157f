"""Checkpoints that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from gcseg.errors import OutputError, WeightsError, is_out_of_memory
from gcseg.runs.folder import previous_to
from gcseg.system.files import atomic_write, output_error
from gcseg.weights import check_torch, load_torch

_STATE = {
    "pytorch-lightning_version": str,
    "epoch": int,
    "global_step": int,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}
"""Contents that Lightning needs to resume, in addition to the weights, with their types."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, and reads without executing anything.

    Lightning's own class goes through TMPDIR, from where a rename may cross file systems.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint under a temporary name, sync and rename it.

        An existing last.ckpt becomes previous.ckpt.

        Raises:
            OutputError: The folder can't be written or the disk is full; an older checkpoint of
                the same name is kept.
        """
        path = Path(path)
        try:
            with atomic_write(path) as file:
                torch.save(checkpoint, file)
                if path.name == "last.ckpt":
                    file.flush()
                    os.fsync(file.fileno())
                    with suppress(FileNotFoundError):  # one of the two exists at every moment
                        path.replace(previous_to(path))
        except OutputError:
            raise
        except RuntimeError as error:  # how PyTorch's zip writer reports a failed write
            raise output_error(path, error.__context__ or error) from error  # type: ignore[arg-type]

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint on the CPU.

        Raises:
            WeightsError: The file is missing, damaged, or holds more than tensors and plain data.
        """
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read one of gcseg's checkpoints on the CPU without executing anything in it.

    Raises:
        WeightsError: The file is missing, damaged, or holds more than tensors and plain data.
    """
    with _of_ours():
        content = load_torch(path)
    if not isinstance(content, dict) or "state_dict" not in content:
        raise WeightsError(f"{path} is not a checkpoint of gcseg", "give a .ckpt of a training")
    return content


def read_state(path: Path) -> dict[str, Any]:
    """Read a checkpoint as `read_checkpoint` does, to resume its training.

    Raises:
        WeightsError: It can't be read, or lacks what a training needs, as a file of weights does.
    """
    content = read_checkpoint(path)
    for key, kind in _STATE.items():
        if not isinstance(content.get(key), kind):
            raise WeightsError(
                f"{path} is not a checkpoint of a training (it has no {key})", "use another one"
            )
    return content


def check_whole(path: Path) -> None:
    """Check one of gcseg's checkpoints as `read_checkpoint` does, without loading it.

    Raises:
        WeightsError: The file is missing, damaged, or holds more than tensors and plain data.
    """
    with _of_ours():
        check_torch(path)


@contextmanager
def _of_ours() -> Iterator[None]:
    """Add the remedy to errors about one of gcseg's checkpoints."""
    try:
        yield
    except WeightsError as error:
        if is_out_of_memory(error.__cause__ or error):
            raise
        raise WeightsError(error.cause, "use another checkpoint") from error
