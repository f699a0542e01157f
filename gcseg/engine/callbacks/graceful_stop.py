"""Save and exit on a signal; resume exactly where training stopped."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher

from gcseg.errors import StoppedBySignal
from gcseg.system.signals import Signals

SECONDS_TO_END = 20
"""Seconds that the first process of a training waits for another one that exits too."""


class GracefulStop(L.Callback):
    """Saves and exits when a signal has come: before the next step, or out of a validation.

    All processes of a training agree on it, whichever of them got the signal. A validation that is
    interrupted is repeated, before anything else, when the training resumes. The callback has to
    come after every callback that begins something in `on_train_start`.

    Args:
        path: Path of the checkpoint to save.
        signals: Signals received so far.
    """

    def __init__(self, path: Path, signals: Signals) -> None:
        self.path = path
        self.signals = signals
        self._to_validate = False
        self._saved = 0
        self._step: int | None = None
        self._before_validation: dict[str, Any] = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Give the signal handler access to the training's other processes."""
        launcher = trainer.strategy.launcher
        if isinstance(launcher, _SubprocessScriptLauncher):
            self.signals.tell_others = launcher.kill
            self.signals.kill_others = lambda: _kill(launcher)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Have Lightning enter the fit loop after the last step if a validation is still due."""
        if self._to_validate:
            trainer.fit_loop.epoch_loop.max_steps += 1

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note signals from now on, and repeat an interrupted validation."""
        self._step = None
        self._saved = trainer.global_step
        self.signals.noting = True
        if self._to_validate:
            epoch_loop = trainer.fit_loop.epoch_loop
            epoch_loop.max_steps -= 1
            self._to_validate = False
            trainer.validating = True
            epoch_loop.val_loop.run()
            trainer.training = True

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Exit between two steps.

        Raises:
            StoppedBySignal: A signal has come to one of the processes.
            OutputError: The checkpoint can't be written.
        """
        if trainer.global_step == self._step:  # still accumulating
            return
        self._step = trainer.global_step
        if number := self._agreed(trainer):
            progress = trainer.fit_loop.epoch_loop.batch_progress
            progress.total.ready -= 1  # the batch of the step that is skipped
            progress.current.ready -= 1
            self._leave(trainer, number)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note Lightning's count of validation images."""
        self._before_validation = trainer.fit_loop.epoch_loop.val_loop.batch_progress.state_dict()

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """End this process's part of the validation early; the others may know nothing of it.

        Raises:
            StopIteration: A signal has come, while training.
        """
        if self.signals.noting and self.signals.received is not None:
            raise StopIteration

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Exit before anything uses the scores, if one of the processes stopped.

        Raises:
            StoppedBySignal: A signal has come to one of the processes, while training.
            OutputError: The checkpoint can't be written.
        """
        if trainer.state.fn == "fit" and (number := self._agreed(trainer)):
            val_loop = trainer.fit_loop.epoch_loop.val_loop
            val_loop.batch_progress.load_state_dict(self._before_validation)
            self._to_validate = True
            self._leave(trainer, number)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note that Lightning is about to write a checkpoint of this step."""
        self._saved = trainer.global_step

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Exit at once on signals from now on.

        Raises:
            StoppedBySignal: A signal has come to one of the processes.
        """
        if number := self._agreed(trainer):
            self._leave(trainer, number)
        self.signals.noting = False

    @property
    def state_key(self) -> str:
        """Key of its state in checkpoints, as version 0.1.0 wrote it."""
        return "Leave"

    def state_dict(self) -> dict[str, Any]:
        """Whether a validation is due before the next step."""
        return {"to_validate": self._to_validate}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore that from a checkpoint."""
        self._to_validate = state_dict["to_validate"]

    def _agreed(self, trainer: L.Trainer) -> int:
        """Signal that has come to one of the processes; 0 for none."""
        number = self.signals.received or 0
        if trainer.world_size > 1:
            highest = torch.tensor(int(number), device=trainer.strategy.root_device)
            torch.distributed.all_reduce(highest, torch.distributed.ReduceOp.MAX)
            number = int(highest)
        return int(number)

    def _leave(self, trainer: L.Trainer, number: int) -> None:
        self.signals.saving = True
        launcher = trainer.strategy.launcher
        if isinstance(launcher, _SubprocessScriptLauncher):
            others = launcher.procs[:]
            launcher.procs.clear()  # else Lightning kills this process after another one exits
            self.signals.wait_for_others = lambda: _wait(others)
        if trainer.global_step != self._saved:
            trainer.save_checkpoint(self.path)
        raise StoppedBySignal(signal.Signals(number), trainer.global_step)


def _wait(others: list[subprocess.Popen[bytes]]) -> None:
    """Wait for processes that are about to end, and may still hold GPU memory."""
    for process in others:
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_END)


def _kill(launcher: _SubprocessScriptLauncher) -> None:
    """Kill the other processes, which have nothing to save."""
    launcher.kill(signal.SIGKILL)
    launcher.procs.clear()
