"""Stop a training whose validations no longer improve."""

from __future__ import annotations

import operator
from typing import Any

import pytorch_lightning as L

from gcseg.engine.monitor import Monitor
from gcseg.system.terminal import announce
from gcseg.system.text import counted


class EarlyStop(L.Callback):
    """Stops training after so many validations in a row without a better score.

    Its state is in every checkpoint: an interrupted training stops at the same step as an
    undisturbed one, and one that is interrupted after it has stopped makes no further step. The
    callback has to come before those that save. A score that is not defined is not better.

    Lightning's own `EarlyStopping` is not used: resumed from the checkpoint of its last validation
    it trains on, and it stops at a score that is not defined.

    Args:
        monitor: The score.
        patience: Validations without a better score after which training stops.
        total: Optimizer steps of the whole training.
    """

    def __init__(self, monitor: Monitor, patience: int, total: int) -> None:
        self.monitor = monitor
        self.patience = patience
        self.total = total
        self.best: float | None = None
        self.best_step = 0
        self.waited = 0

    @property
    def stopped(self) -> bool:
        """Whether the training has stopped for lack of better scores."""
        return self.waited >= self.patience

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Make no further step if the training had stopped before it was interrupted."""
        self.load_state_dict(checkpoint["callbacks"].get(self.state_key, self.state_dict()))
        trainer.should_stop = trainer.should_stop or self.stopped

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare the score of a training's validation with the best one."""
        if trainer.state.fn != "fit":
            return
        score = float(trainer.callback_metrics[self.monitor.key])
        if self.monitor.is_better(score, self.best):
            self.best, self.best_step, self.waited = score, trainer.global_step, 0
            return
        self.waited += 1
        # The processes have the same scores; asking them all keeps them together in any case.
        if not trainer.strategy.reduce_boolean_decision(self.stopped, all=False):
            return
        trainer.should_stop = True
        if trainer.is_global_zero and trainer.global_step < self.total:
            announce(
                f"no better {self.monitor.name} in {counted(self.patience, 'validation')}"
                f"{self._since()}: training stops at step {trainer.global_step} of {self.total}"
            )

    def _since(self) -> str:
        if self.best is None:
            return ""
        return f" since step {self.best_step} ({self.monitor.shown(self.best)})"

    def state_dict(self) -> dict[str, Any]:
        """Best score, its step, and the number of validations since then."""
        return {"best": self.best, "best_step": self.best_step, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue an interrupted training's count."""
        best = state_dict["best"]
        self.best = None if best is None else float(best)
        self.best_step = operator.index(state_dict["best_step"])
        self.waited = operator.index(state_dict["waited"])
