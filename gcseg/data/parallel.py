"""Map a function over many items in threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Progress = Callable[[int, int], None]
"""Called in the caller's thread with the number of items done and their total."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def available_cores() -> int:
    """Return the number of processor cores that this process may use, 1 or more."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_parallel(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[_Result]:
    """Map a function over items in threads; decoding and hashing let other threads run.

    Nothing starts before the first result is requested. Only a few items are processed ahead of the
    caller, so that the results need not all be in memory.

    Args:
        function: Function of one item.
        items: Arguments of the calls.
        workers: Threads; by default one for each core that is available.
        progress: Callback that is called each time a result is handed out.

    Yields:
        The results in the order of the items.

    Raises:
        Exception: The function's error for the first item that failed; items that have not begun
            are dropped, running ones are waited for.
    """
    threads = workers or available_cores()
    waiting = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[_Result]] = deque(
            pool.submit(function, item) for item in islice(waiting, 4 * threads)
        )
        try:
            for done in range(1, len(items) + 1):
                result = ahead.popleft().result()
                ahead.extend(pool.submit(function, item) for item in islice(waiting, 1))
                if progress is not None:
                    progress(done, len(items))
                yield result
        finally:
            for future in ahead:
                future.cancel()
