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
from gcseg.system.text import printable

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
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress on stderr; quiet on all processes of a training but the first.

    Args:
        description: Description of the work.

    Returns:
        Callback that takes the number of finished items and of all items.
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
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        with bar:
            task = bar.add_task(printable(description), total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    next_line = time.monotonic() + SECONDS_BETWEEN_LINES

    def line(done: int, total: int) -> None:
        nonlocal next_line
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            console.print(f"{description} {done}/{total}")

    yield line
