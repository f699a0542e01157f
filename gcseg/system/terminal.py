"""Console output with rich: text without markup, and progress as a bar or as lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from gcseg.system.launch import is_first_process
from gcseg.system.text import clock, printable

SECONDS_BETWEEN_LINES = 10.0
"""Seconds between two lines of progress in a log, where a bar would be noise."""


class TextConsole(Console):
    """Console that prints text unchanged, in lines and in the cells and titles of tables.

    Brackets are no markup, `:car:` is no picture, and control characters become escapes, so that
    names of classes, files and runs show unchanged. Styles are given by `style=`.

    Args:
        options: Arguments of `rich.console.Console`.
    """

    def __init__(self, **options: Any) -> None:
        plain = {"markup": False, "emoji": False, "highlight": False, "soft_wrap": True}
        super().__init__(**{**plain, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert a text for display; rich calls this for every text."""
        return super().render_str(printable(text), **options)


def announce(text: str) -> None:
    """Print a line on stderr; quiet on all processes of a training but the first."""
    if is_first_process():
        TextConsole(stderr=True).print(text)


@contextmanager
def progress_bar(description: str, unit: str = "") -> Iterator[Callable[[int, int | None], None]]:
    """Show progress on stderr; quiet on all processes of a training but the first.

    Args:
        description: Description of the work.
        unit: Plural of the items, to show their number per second; empty not to show it.

    Returns:
        Callback that takes the number of finished items, and of all items or None.
    """
    if not is_first_process():
        yield lambda done, total: None
        return
    console = TextConsole(stderr=True)
    if console.is_terminal:
        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        with bar:
            task = bar.add_task(printable(description), total=None, rate="")
            speed = Speed(unit)

            def show(done: int, total: int | None) -> None:
                bar.update(task, completed=done, total=total, rate=speed.rate(done))

            yield show
        return
    next_line = time.monotonic() + SECONDS_BETWEEN_LINES
    speed_of_log = Speed(unit)

    def line(done: int, total: int | None) -> None:
        nonlocal next_line
        rate = speed_of_log.rate(done)
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            of = "" if total is None else f"/{total}"
            left = speed_of_log.left(done, total)
            console.print(", ".join(filter(None, [f"{description} {done}{of}", rate, left])))

    yield line


class Speed:
    """Number of items per second since the first call, and the time that the rest takes.

    Args:
        unit: Plural of the items; empty for no rate and no time.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._start: tuple[float, int] | None = None
        self._per_second = 0.0

    def rate(self, done: int) -> str:
        """Return the rate in words, empty before two items are finished."""
        now = time.monotonic()
        if self._start is None:
            self._start = now, done
        seconds, items = now - self._start[0], done - self._start[1]
        if not self._unit or not items or not seconds:
            return ""
        self._per_second = items / seconds
        return f"{self._per_second:.3g} {self._unit}/s"

    def left(self, done: int, total: int | None) -> str:
        """Return the time left in words, empty if it is not known."""
        if total is None or not self._per_second:
            return ""
        return f"{clock((total - done) / self._per_second)} left"
