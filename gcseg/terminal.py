"""Progress of what takes a while before or beside a training: a bar, or plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gcseg.ranks import is_first_process

SECONDS_BETWEEN_LINES = 10.0
"""In a log, where a bar would be noise."""


def announce(text: str) -> None:
    """Print a line on stderr; quiet on all processes of a training but the first."""
    if is_first_process():
        _stderr().print(text, markup=False)


def _stderr() -> Console:
    return Console(stderr=True, soft_wrap=True, highlight=False)


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far something is, on stderr; quiet on all processes of a training but the first.

    Args:
        description: What is being done.

    Returns:
        What takes the number of things that are done and of all.
    """
    if not is_first_process():
        yield lambda done, total: None
        return
    console = _stderr()
    if console.is_terminal:
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        with bar:
            task = bar.add_task(description, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    next_line = time.monotonic() + SECONDS_BETWEEN_LINES

    def line(done: int, total: int) -> None:
        nonlocal next_line
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            console.print(f"{description} {done}/{total}")

    yield line
