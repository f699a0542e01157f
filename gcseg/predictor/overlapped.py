"""Reading, predicting and writing at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")

AHEAD = 4
"""Number of items that are read ahead, and of results that wait to be written."""


def read_ahead(
    items: Iterable[Item], read: Callable[[Item], Read], *, threads: int = 2
) -> Iterator[tuple[Item, Future[Read]]]:
    """Read items in threads, a few ahead of the one that is used.

    Args:
        items: What is read, in order.
        read: Function that reads an item.
        threads: Number of threads.

    Yields:
        Each item with its future, which is done; `result()` returns what was read or raises.
    """
    waiting: deque[tuple[Item, Future[Read]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(read, item)))
                if len(waiting) > AHEAD:
                    yield _done(waiting.popleft())
            while waiting:
                yield _done(waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()


def _done(item: tuple[Item, Future[Read]]) -> tuple[Item, Future[Read]]:
    item[1].exception()  # waits
    return item


class WriteBehind:
    """Writes results in a thread while the next ones are computed; a context manager.

    At most `AHEAD` results wait. An error of writing is raised by the next `submit`, or at the end.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._waiting: deque[Future[None]] = deque()

    def submit(self, write: Callable[[], None]) -> None:
        """Write a result as soon as the earlier ones are written.

        Args:
            write: Function that writes it.

        Raises:
            Exception: An earlier write failed.
        """
        while self._waiting and (len(self._waiting) >= AHEAD or self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(write))

    def __enter__(self) -> WriteBehind:
        """Return the writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for all writes; after an exception, only for the current one.

        Raises:
            Exception: A write failed.
        """
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            while self._waiting:
                self._waiting.popleft().result()
