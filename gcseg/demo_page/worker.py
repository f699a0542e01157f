"""Work that is done one piece after the other, whichever request asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")


class Worker:
    """A thread that calls functions in their order.

    Unlike those of `concurrent.futures`, it does not keep the process alive.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], Result]) -> Future[Result]:
        """Call a function after those that were given before; return its result to come."""
        future: Future[Result] = Future()
        self._waiting.put((future, function))
        return future

    def close(self, seconds: float) -> bool:
        """Call no more functions, and wait for the current one.

        Args:
            seconds: Longest time to wait.

        Returns:
            Whether it has ended.
        """
        while not self._waiting.empty():
            left = self._waiting.get()
            if left is not None:
                left[0].cancel()
        self._waiting.put(None)
        self._thread.join(max(seconds, 0))
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            future, function = item
            try:
                future.set_result(function())
            except BaseException as error:  # raised by `future.result()`
                future.set_exception(error)
