"""The loader's settings and its check of shared memory."""

import pytest

from gcseg.engine.data import check_shared_memory
from gcseg.errors import ConfigError


def test_enough_shared_memory():
    check_shared_memory(2**20, num_workers=4, prefetch=2, free=8 * 2**20)


def test_too_little_shared_memory():
    with pytest.raises(ConfigError) as raised:
        check_shared_memory(25 * 2**20, num_workers=8, prefetch=2, free=64 * 2**20)
    assert str(raised.value) == (
        "8 loader processes with prefetch=2 need 400 MiB of shared memory, and /dev/shm has 64 MiB "
        "free: start the container with a larger --shm-size, or lower num_workers or prefetch"
    )
