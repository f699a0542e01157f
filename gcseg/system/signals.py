"""Signals that ask a training to save and leave."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from gcseg.errors import StoppedBySignal, behind

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
"""What clusters, sweeps, a terminal that closes and Ctrl-C send."""

SECONDS_OF_ONE = 1.0
"""Within which signals are the same one, sent to a process and forwarded to it as well."""


class Signals:
    """Leaves at once when a signal comes; while steps are made, only notes it.

    Attributes:
        noting: Whether steps are made.
        saving: Whether signals make no difference any more.
        received: The first signal.
        tell_others: Forwards a signal to the processes of the training that this one has started.
        kill_others: Ends them.
        wait_for_others: Waits for their end, when this process leaves.
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
        """Take a signal.

        Raises:
            StoppedBySignal: There is no step to wait for, or Ctrl-C was pressed again.
        """
        if os.getpid() != self._process:  # forked, as a loader's
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
    """Take the signals as long as the block runs; outside the main thread, do nothing.

    SIGHUP stays ignored where it is, as by nohup.
    """
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    taken = [number for number in SIGNALS if not (ignored and number == signal.SIGHUP)]
    before = {number: signal.signal(number, signals) for number in taken}
    try:
        yield signals
    except Exception as error:
        if left := behind(error, StoppedBySignal):  # which a library tripped over
            raise left from None
        raise
    finally:
        signals.saving = True  # too late to leave early
        signals.wait_for_others()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def let_go_of_terminal() -> None:
    """Have what is printed from now on go nowhere: writing to a closed terminal is an error.

    So is writing to a command that printed on it, as `tee`, which ends with it. The last words on
    stderr still go there, where they are no danger any more.
    """
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            kind = os.fstat(descriptor).st_mode
            if stat.S_ISCHR(kind) or (descriptor == 1 and stat.S_ISFIFO(kind)):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)


def leave_signals_to_parent() -> None:
    """Have a loader process live on when a signal goes to all processes of a training.

    Otherwise the training would miss a batch before it could save. The parent's own SIGTERM, by
    which it ends loader processes, still does.
    """
    for number in SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # which macOS lacks
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this process when its parent sends SIGTERM."""
    while True:
        with contextlib.suppress(InterruptedError):
            if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent:
                os._exit(0)
