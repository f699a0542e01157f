"""Callbacks that write checkpoints and add their contents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as L
from pytorch_lightning.callbacks import ModelCheckpoint

from gcseg.data.label_spaces import LabelSpace
from gcseg.engine.monitor import Monitor
from gcseg.system.terminal import announce


class RunRecord(L.Callback):
    """Adds to every checkpoint what is needed to use it without its run folder.

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
    """Keeps all its scores, also when the run folder was moved.

    Lightning's own callback forgets the last checkpoint's score and, after a move, the best one.
    """

    def state_dict(self) -> dict[str, Any]:
        """State with the name of last.ckpt from the beginning.

        Otherwise its contents would depend on whether there had been an interruption.
        """
        state = super().state_dict()
        if self.monitor is None:
            state["best_model_path"] = str(Path(str(self.dirpath)) / f"{self.filename}.ckpt")
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take an interrupted run's state as if it had been written to this folder.

        If the best checkpoint is missing its score is forgotten, or no later one would be kept.
        """

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        state = {**state_dict, "dirpath": self.dirpath}
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[key] = here(state[key])
        state["best_k_models"] = {here(p): score for p, score in state["best_k_models"].items()}
        best = state["best_model_path"]
        if self.monitor and best and not Path(best).is_file():
            announce(f"warning: there is no {best}: the best checkpoint from now on is kept")
            return
        super().load_state_dict(state)
        self.current_score = state["current_score"]


def checkpoint_callbacks(folder: Path, monitor: Monitor | None = None) -> list[L.Callback]:
    """Callbacks that write `last.ckpt` and `best.ckpt` at validations.

    Args:
        folder: Folder of the checkpoints.
        monitor: Score that decides which checkpoint is best; `Monitor()` if None.
    """
    monitor = monitor or Monitor()
    common: dict[str, Any] = {
        "dirpath": folder,
        "enable_version_counter": False,
        "save_top_k": 1,
        "auto_insert_metric_name": False,
    }
    return [
        MovableCheckpoint(filename="best", monitor=monitor.key, mode=monitor.mode, **common),
        MovableCheckpoint(filename="last", **common),
    ]


class ValidateAtEnd(L.Callback):
    """Validates, and so saves, after the last step too if no validation is due there."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Ask the trainer to stop, which it does after a validation."""
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True
