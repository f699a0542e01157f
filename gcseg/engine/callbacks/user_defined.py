"""Callbacks of the user's own in a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as L
import torch

from gcseg.errors import ConfigError


class PlainStates(L.Callback):
    """Checks that what the user's callbacks save can be read when the training is resumed.

    Checkpoints are read without running anything in them, so they hold plain values and tensors
    alone. Without the check, a state of another kind would be found when it is needed.

    Args:
        callbacks: The user's callbacks, by their names in the settings.
    """

    def __init__(self, callbacks: Mapping[str, L.Callback]) -> None:
        self.callbacks = callbacks

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check the states before the first step.

        Raises:
            ConfigError: One of them can't be read from a checkpoint.
        """
        self._check()

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Check the states before they are written; older checkpoints stay.

        Raises:
            ConfigError: One of them can't be read from a checkpoint.
        """
        self._check()

    def _check(self) -> None:
        for name, callback in self.callbacks.items():
            kind = foreign_kind(callback.state_dict())
            if kind is not None:
                raise ConfigError(
                    f"callbacks.{name}: its state_dict holds an object of type {kind}",
                    "let it return numbers, text, tensors, and lists and dicts of these",
                )


def foreign_kind(value: object) -> str | None:
    """Return the type of the first value that a checkpoint can't hold; None if there is none."""
    if value is None or isinstance(value, torch.Tensor):
        return None
    if type(value) in (bool, int, float, complex, str, bytes):
        return None
    if type(value) is dict:
        inside = [*value.keys(), *value.values()]
    elif type(value) in (list, tuple, set):
        inside = list(value)  # type: ignore[call-overload]
    else:
        return f"{type(value).__module__}.{type(value).__qualname__}"
    return next((kind for one in inside if (kind := foreign_kind(one)) is not None), None)
