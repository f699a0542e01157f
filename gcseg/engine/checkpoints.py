"""Checkpoints that are never half written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from gcseg.data.label_spaces import LabelSpace
from gcseg.errors import ConfigError, DataError, OutputError, WeightsError, is_out_of_memory
from gcseg.runs.folder import previous_to
from gcseg.system.files import atomic_write, output_error
from gcseg.system.terminal import announce
from gcseg.system.text import shown
from gcseg.weights import check_torch, load_torch, own_record


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, and reads without executing anything.

    Lightning's own goes through TMPDIR, from where a rename may cross file systems.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint under a temporary name, sync and rename it.

        What stood there as last.ckpt becomes previous.ckpt.

        Raises:
            OutputError: The folder can't be written or the disk is full; an older checkpoint of
                the same name is still there.
        """
        path = Path(path)
        try:
            with atomic_write(path) as file:
                torch.save(checkpoint, file)
                if path.name == "last.ckpt":
                    file.flush()
                    os.fsync(file.fileno())
                    with suppress(FileNotFoundError):  # at every moment one of the two is there
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
    """Read a checkpoint of ours on the CPU without executing anything in it.

    Raises:
        WeightsError: The file is missing, damaged, or holds more than tensors and plain data.
    """
    with _of_ours():
        content = load_torch(path)
    if not isinstance(content, dict) or "state_dict" not in content:
        raise WeightsError(f"{path} is not a checkpoint of gcseg", "give a .ckpt of a training")
    return content


def check_whole(path: Path) -> None:
    """Check a checkpoint of ours as `read_checkpoint` does, without loading it.

    Raises:
        WeightsError: The file is missing, damaged, or holds more than tensors and plain data.
    """
    with _of_ours():
        check_torch(path)


@contextmanager
def _of_ours() -> Iterator[None]:
    """Give what is wrong with a checkpoint of ours its remedy."""
    try:
        yield
    except WeightsError as error:
        if is_out_of_memory(error.__cause__ or error):
            raise
        raise WeightsError(error.cause, "use another checkpoint") from error


def trained_classes(extra: Mapping[str, Any]) -> LabelSpace | None:
    """The classes that a checkpoint predicts; None if it does not say so, as another framework's.

    Args:
        extra: What the checkpoint holds beside the weights.

    Raises:
        WeightsError: What it says are no classes.
    """
    record = own_record(extra)
    if not {"classes", "colors"} <= record.keys():
        return None
    names, colors = record["classes"], record["colors"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise WeightsError("the checkpoint's classes are no list of names", "use another one")
    if not isinstance(colors, list) or not all(_is_color(color) for color in colors):
        raise WeightsError("the checkpoint's colours are no list of RGB values", "use another one")
    try:
        return LabelSpace(tuple(names), tuple((r, g, b) for r, g, b in colors))
    except ConfigError as error:
        raise WeightsError(f"the checkpoint's classes: {error.cause}", "use another one") from error


def _listed(space: LabelSpace) -> str:
    return ", ".join(map(shown, space.names))


def _is_color(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(channel) is int and 0 <= channel <= 255 for channel in value)
    )


def check_classes(extra: Mapping[str, Any], space: LabelSpace, source: Path) -> None:
    """Check that a checkpoint predicts the classes of a dataset, as far as it says so.

    Args:
        extra: What the checkpoint holds beside the weights.
        space: The dataset's.
        source: The checkpoint, for messages.

    Raises:
        DataError: The classes are others, or in another order.
        WeightsError: What it says are no classes.
    """
    try:
        trained = trained_classes(extra)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error.cause}", error.remedy) from error
    if trained is not None and trained.names != space.names:
        raise DataError(
            f"{source} predicts {trained.num_classes} classes ({_listed(trained)}), but "
            f"the dataset has {space.num_classes} ({_listed(space)})",
            "give the dataset whose classes it was trained on",
        )


class RunRecord(L.Callback):
    """Puts into every checkpoint what is needed to use it without its run folder.

    Args:
        config: The resolved configuration, plain types only.
        label_space: The classes.
    """

    def __init__(self, config: dict[str, Any], label_space: LabelSpace) -> None:
        self.record = {
            "config": config,
            "classes": list(label_space.names),
            "colors": [list(color) for color in label_space.colors],
        }

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the record under `gcseg`."""
        checkpoint["gcseg"] = self.record


class MovableCheckpoint(ModelCheckpoint):
    """Keeps all it knows of its scores, also when the run folder was moved.

    Lightning's own forgets the score of the last checkpoint, and after a move the best one.
    """

    def state_dict(self) -> dict[str, Any]:
        """The state, in which last.ckpt has its name from the beginning.

        Otherwise it would tell an interruption from none whether there had been one before.
        """
        state = super().state_dict()
        if self.monitor is None:
            state["best_model_path"] = str(Path(str(self.dirpath)) / f"{self.filename}.ckpt")
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take an interrupted run's state as if it had been written to this folder.

        Without the best checkpoint its score is forgotten, or none would ever be kept again.
        """

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        state = {**state_dict, "dirpath": self.dirpath}
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[key] = here(state[key])
        state["best_k_models"] = {here(p): score for p, score in state["best_k_models"].items()}
        best = state["best_model_path"]
        if self.monitor and best and not Path(best).is_file():
            announce(f"warning: there is no {best}: the best of what follows is kept")
            return
        super().load_state_dict(state)
        self.current_score = state["current_score"]


def checkpoint_callbacks(folder: Path) -> list[L.Callback]:
    """`last.ckpt` and `best.ckpt` (highest validation mIoU), written after each validation."""
    common: dict[str, Any] = {
        "dirpath": folder,
        "enable_version_counter": False,
        "save_top_k": 1,
        "auto_insert_metric_name": False,
    }
    return [
        MovableCheckpoint(filename="best", monitor="val/miou", mode="max", **common),
        MovableCheckpoint(filename="last", **common),
    ]


class ValidateAtEnd(L.Callback):
    """Validates, and so saves, after the last step too when the interval does not end there."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Ask the trainer to stop, which it does after a validation."""
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True
