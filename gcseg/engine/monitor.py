"""The score that decides which checkpoint of a training is best, and when training stops."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gcseg.errors import ConfigError
from gcseg.metrics.scores import scores
from gcseg.system.text import listed, printable

LOSS = "loss"
"""Name of the validation loss."""


@dataclass(frozen=True)
class Monitor:
    """A score of validations.

    Args:
        name: Name of the score, such as `miou`, `iou/car` or `loss`.
    """

    name: str = "miou"

    @property
    def key(self) -> str:
        """Name under which the score is logged."""
        return f"val/{self.name}"

    @property
    def is_loss(self) -> bool:
        """Whether it is the validation loss, of which a lower value is better."""
        return self.name == LOSS

    @property
    def mode(self) -> str:
        """Direction of better values, in Lightning's words."""
        return "min" if self.is_loss else "max"

    def is_better(self, value: float, best: float | None) -> bool:
        """Return whether a value is better than the best one so far; NaN is better than none.

        Args:
            value: Value of a validation.
            best: Best value before; None if there is none.
        """
        if best is None or math.isnan(value):
            return best is None and not math.isnan(value)
        return value < best if self.is_loss else value > best

    def shown(self, value: float) -> str:
        """Format a value for people, a score in percent."""
        if math.isnan(value):
            return "not defined"
        return f"{value:.4f}" if self.is_loss else f"{100 * value:.2f} %"


def monitor_of(name: str, classes: Sequence[str]) -> Monitor:
    """Return the monitor that a setting names.

    Args:
        name: Value of the setting: `loss`, or a name of `gcseg.metrics.scores.Scores.by_name`.
        classes: Names of the classes.

    Raises:
        ConfigError: There is no such score, or no such class.
    """
    known = [LOSS, *scores(torch.zeros(len(classes), len(classes)), classes).by_name()]
    if name in known:
        return Monitor(name)
    kind, slash, of = name.partition("/")
    kinds = sorted({one.partition("/")[0] for one in known if "/" in one})
    if slash and kind in kinds:
        cause, choices, wanted = f"monitor={name}: there is no class {of!r}", list(classes), of
    else:
        cause, wanted = f"monitor={name}: there is no such score", name
        choices = [one for one in known if "/" not in one] + [f"{one}/<class>" for one in kinds]
    close = difflib.get_close_matches(wanted, choices, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise ConfigError(
        printable(cause), f"{meant}use one of {listed(map(printable, choices), most=40)}"
    )
