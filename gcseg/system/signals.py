"""Signals that ask a training to save and leave."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from gcseg.errors import StoppedBySignal, behind

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
"""Signals sent by clusters, sweeps, a terminal that closes and Ctrl-C."""

SECONDS_OF_ONE = 1.0
"""Seconds within which signals count as one, sent to a process and also forwarded to it."""


class Signals:
    """Signal handler that exits at once or, during training steps, only notes the signal.

    Attributes:
        noting: Whether steps are made.
        saving: Whether signals are ignored from now on.
        received: The first signal.
        tell_others: Callback that forwards a signal to the processes that this one has started.
        kill_others: Callback that kills them.
        wait_for_others: Callback that waits for their end, when this process exits.
    """

    def __init__(self) -> None:
        self.noting = False
        self.saving = False
        self.received: signal.Signals | None = None
        self.tell_others: Callable[[signal.Signals], None] = lambda number: None
        self.kill_others: Callable[[], None] = lambda: None
        self.wait_for_others: Callable[[], None] = lambda: None
        self._process = os.getpid()
        self._first = 0.0

    def __call__(self, number: int, _: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            StoppedBySignal: There is no step to wait for, or Ctrl-C was pressed again.
        """
        if os.getpid() != self._process:  # a forked process, such as a loader's
            return
        first = self.received is None
        if first:
            self.received = signal.Signals(number)
            self._first = time.monotonic()
        if number == signal.SIGHUP:
            let_go_of_terminal()
        again = number == signal.SIGINT and time.monotonic() > self._first + SECONDS_OF_ONE
        if self.saving or not (first or again):
            return
        if self.noting and not again:
            self.tell_others(self.received or signal.SIGTERM)
            return
        self.kill_others()
        raise StoppedBySignal(signal.Signals(number))


@contextmanager
def leaving_on_signals() -> Iterator[Signals]:
    """Handle the signals while the block runs; outside the main thread, do nothing.

    SIGHUP stays ignored if it already is, as under nohup.
    """
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    taken = [number for number in SIGNALS if not (ignored and number == signal.SIGHUP)]
    before = {number: signal.signal(number, signals) for number in taken}
    try:
        with _outliving_terminal():
            yield signals
    except Exception as error:
        if left := behind(error, StoppedBySignal):  # hidden by a library's later exception
            raise left from None
        raise
    finally:
        signals.saving = True  # too late to exit early
        signals.wait_for_others()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C in the block, which then removes its half files.

    Outside the main thread, do nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


class _Terminal(io.FileIO):
    """A terminal that may close: what is written afterwards is discarded.

    The error of a write may come before SIGHUP does, and would end the training unsaved.
    """

    def write(self, data: Any, /) -> int:
        """Write bytes; return how many were taken.

        Raises:
            OSError: Writing fails for another reason.
        """
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            let_go_of_terminal()
            return memoryview(data).nbytes


@contextmanager
def _outliving_terminal() -> Iterator[None]:
    """Let a terminal that closes be no error of sys.stdout and sys.stderr in the block."""
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = before[name]
        if isinstance(stream, io.TextIOWrapper) and stream.isatty() and stream.fileno() == number:
            stream.flush()
            setattr(sys, name, io.TextIOWrapper(
                io.BufferedWriter(_Terminal(number, "w", closefd=False)),
                encoding=stream.encoding, errors=stream.errors, line_buffering=True,
            ))  # fmt: skip
    try:
        yield
    finally:
        for name, stream in before.items():
            getattr(sys, name).flush()
            setattr(sys, name, stream)


def let_go_of_terminal() -> None:
    """Discard all later output: writing to a closed terminal is an error.

    So is writing to a command that ends with the terminal, such as `tee`. The last message
    still goes to a piped stderr, at a time when an error does no harm.
    """
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            kind = os.fstat(descriptor).st_mode
            if stat.S_ISCHR(kind) or (descriptor == 1 and stat.S_ISFIFO(kind)):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)


def leave_signals_to_parent() -> None:
    """Keep a loader process alive when a signal goes to all processes of a training.

    Otherwise the training would miss a batch before it could save. The parent's own SIGTERM, with
    which it ends loader processes, still works.
    """
    for number in SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # missing on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this process when its parent sends SIGTERM."""
    while True:
        with contextlib.suppress(InterruptedError):
            if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent:
                os._exit(0)
