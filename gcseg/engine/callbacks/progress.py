"""Progress of a run: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import math
import operator
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as L
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gcseg.engine.monitor import Monitor
from gcseg.system.terminal import TextConsole
from gcseg.system.text import clock

ONE_LINE = 110
"""Columns of a terminal from which bar, time left and all numbers fit in one line."""

SECONDS_BETWEEN_LINES = 30.0
"""Seconds between two lines of an evaluation in a log."""

SECONDS_BETWEEN_REPORTS = 2.0
"""Seconds between two calls of the `report` callback in a training."""


class RunProgress(L.Callback):
    """Shows step, loss, learning rate, images/s, time left and the last and best mIoU.

    Quiet on all processes but the first.

    Args:
        batch_size: Images per optimizer step over all processes, in training.
        total: Optimizer steps of the whole training; Lightning's own count is briefly one too high
            where a validation was interrupted.
        line_every: Optimizer steps between plain lines.
        monitor: Score that decides on the best checkpoint; `Monitor()` if None.
        report: Callback that gets `step`, `iters` (optimizer steps done and in all),
            `seconds_left` and `miou` (a fraction; None before the first validation) now and then
            in a training.
    """

    def __init__(
        self,
        batch_size: int = 1,
        total: int = 0,
        line_every: int = 50,
        report: Callable[[dict[str, Any]], None] | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.total = total
        self.line_every = line_every
        self.monitor = monitor or Monitor()
        self.seconds = 0.0
        self.steps = 0
        self._step = 0
        self.begun = False
        self._mark = 0.0
        self._best: float | None = None
        self._console = TextConsole()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._train = self._bars.add_task("train", total=None, visible=False, text="")
        self._evaluate = self._bars.add_task("evaluate", total=None, visible=False, text="")
        self._score = ""
        self._miou: float | None = None
        self._report = report
        self._reported = -math.inf
        self._images = 0
        self._begun = self._told = 0.0

    @property
    def images_per_second(self) -> float:
        """Training speed of this process group, without validation."""
        return self.steps * self.batch_size / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, Any]:
        """Summary of the finished training as results.json holds it."""
        return {
            "iters": self.steps,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.images_per_second, 3),
            "peak_memory_bytes": peak_memory(),
        }

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the bar and start the clock; say so if the training is resumed."""
        self.begun = True
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._step = trainer.global_step
        self._mark = time.monotonic()
        if trainer.is_global_zero:
            if self._step:
                self._console.print(f"resumes from step {self._step}/{self.total}")
            self._bars.start()
            self._bars.update(self._train, total=self.total, completed=self._step, visible=True)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Advance after an optimizer step."""
        if trainer.global_step == self._step:  # still accumulating
            return
        now = time.monotonic()
        self.seconds += now - self._mark
        self._mark = now
        self._step = trainer.global_step
        self.steps += 1
        pl_module.log("train/images_per_second", self.images_per_second)
        self._report_now_and_then(trainer, now)
        line_due = self._step % self.line_every == 0 or self._step == self.total
        if not trainer.is_global_zero or (self._bars.disable and not line_due):
            return
        learning = (
            f"loss {float(trainer.callback_metrics['train/loss']):.3f}"
            f"  lr {float(trainer.callback_metrics['train/learning_rate']):.1e}"
        )
        rate = self.images_per_second
        speed = f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"
        speed += f" images/s{self._score}"
        narrow = not self._bars.disable and self._console.width < ONE_LINE
        text = f"{learning}\n{speed}" if narrow else f"{learning}  {speed}"
        self._bars.update(self._train, completed=self._step, text=text)
        if self._bars.disable:
            left = clock(self._seconds_left())
            self._console.print(f"step {self._step}/{self.total}  {text}  {left} left")

    def _seconds_left(self) -> float:
        """Seconds of training until the last step, at the speed so far."""
        return (self.total - self._step) * self.seconds / max(self.steps, 1)

    def _report_now_and_then(self, trainer: L.Trainer, now: float) -> None:
        """Call `report` if the last call is long enough ago."""
        due = now - self._reported >= SECONDS_BETWEEN_REPORTS or self._step == self.total
        if self._report is None or not due or not trainer.is_global_zero:
            return
        self._reported = now
        self._report(
            {
                "step": self._step,
                "iters": self.total,
                "seconds_left": self._seconds_left(),
                "miou": self._miou,
            }
        )

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the evaluation's own bar."""
        self._images = 0
        self._begun = self._told = time.monotonic()
        if trainer.is_global_zero:
            self._bars.start()
            self._bars.reset(self._evaluate, total=int(trainer.num_val_batches[0]), visible=True)

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Advance by an image; in a log, print a line now and then."""
        self._bars.advance(self._evaluate)
        self._images += 1
        now = time.monotonic()
        silent = not trainer.is_global_zero or not self._bars.disable
        if silent or now - self._told < SECONDS_BETWEEN_LINES:
            return
        self._told = now
        total = int(trainer.num_val_batches[0])
        left = (total - self._images) * (now - self._begun) / self._images
        what = "validating" if trainer.state.fn == "fit" else "scoring"
        self._console.print(f"{what} image {self._images}/{total}  {clock(left)} left")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Hide the bar and note the score."""
        self._bars.update(self._evaluate, visible=False)
        self._mark = time.monotonic()
        if trainer.state.fn != "fit":
            self._bars.stop()
            return
        miou = float(trainer.callback_metrics["val/miou"])
        if math.isnan(miou):
            self._miou = None
            self._score = "  mIoU not defined"
        else:
            self._miou = miou
            self._best = miou if self._best is None else max(self._best, miou)
            self._score = f"  mIoU {100 * miou:.2f} %"
        if self._best is not None:
            self._score += f" (best {100 * self._best:.2f} %)"
        if self.monitor.name != "miou":
            value = float(trainer.callback_metrics[self.monitor.key])
            self._score += f"  {self.monitor.name} {self.monitor.shown(value)}"
        if trainer.is_global_zero:
            self._console.print(f"step {trainer.global_step}/{self.total}  validation{self._score}")
        self._reported = -math.inf
        self._report_now_and_then(trainer, self._mark)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove the bar."""
        self._bars.stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Remove the bar."""
        self._bars.stop()

    def state_dict(self) -> dict[str, Any]:
        """State that a resumed run adds to: seconds, steps and the best score."""
        best = 0.0 if self._best is None else self._best  # a number, as in earlier versions
        return {"seconds": self.seconds, "steps": self.steps, "best": best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore an interrupted run's clock."""
        self.seconds = float(state_dict["seconds"])
        self.steps = operator.index(state_dict["steps"])
        self._best = float(state_dict["best"]) or None


def peak_memory() -> int:
    """Peak memory of this process, in bytes: on the GPU if there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
