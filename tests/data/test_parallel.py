"""Threads give what a loop would give, in its order."""

import time

import pytest

from gcseg.data.parallel import in_parallel


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_in_parallel_keeps_the_order(workers):
    def slow_at_first(item):
        time.sleep(0.01 if item < 3 else 0)
        return item * 2

    seen = []
    results = in_parallel(
        slow_at_first, range(50), workers=workers, progress=lambda *counts: seen.append(counts)
    )
    assert list(results) == [item * 2 for item in range(50)]
    assert seen == [(done, 50) for done in range(1, 51)]
    assert list(in_parallel(slow_at_first, [], workers=workers)) == []


def test_in_parallel_raises_the_first_error_and_drops_the_rest():
    begun = []

    def fail(item):
        begun.append(item)
        if item == 5:
            raise KeyError(item)
        if item > 5:
            time.sleep(0.1)
        return item

    results = in_parallel(fail, range(1000), workers=2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="5"):
        next(results)
    assert len(begun) <= 9, "0 to 5, and what the two threads were at"
