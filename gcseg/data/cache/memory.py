"""Decoded pairs in this computer's memory, shared by all loader processes."""

from __future__ import annotations

import mmap
import os
import re
import tempfile
import weakref
from collections.abc import Iterable
from multiprocessing import reduction
from pathlib import Path
from typing import Any

import numpy as np

from gcseg.data.datasets import Pair, Sample
from gcseg.data.images import Picture

_ALIGNMENT = 64

Place = tuple[int, tuple[int, ...], np.dtype[Any], bool]
"""Start of an image in the block, its shape and type, and whether its label follows it."""


class SharedSamples:
    """Samples in one block of memory, read without a copy.

    Loader processes share the block however they are started: a fork inherits it, and others
    receive its file descriptor, not its content.

    Args:
        samples: Pairs with their decoded image and label.
    """

    def __init__(self, samples: Iterable[tuple[Pair, Sample]]) -> None:
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("gcseg", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as unnamed:
                descriptor = os.dup(unnamed.fileno())
        places: dict[str, Place] = {}
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            for pair, (image, label) in samples:
                start = -(-file.tell() // _ALIGNMENT) * _ALIGNMENT
                file.seek(start)
                for array in (image, label):
                    if array is not None:
                        file.write(np.ascontiguousarray(array).data)
                places[pair.name] = (start, image.shape, image.dtype, label is not None)
        self._attach(descriptor, places)

    def _attach(self, descriptor: int, places: dict[str, Place]) -> None:
        self._descriptor = descriptor
        self._places = places
        self._pages = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        weakref.finalize(self, os.close, descriptor)

    def __call__(self, pair: Pair) -> Sample:
        """Return the sample of a pair as read-only arrays."""
        start, shape, dtype, labelled = self._places[pair.name]
        image: Picture = np.ndarray(shape, dtype, self._pages, start)
        if not labelled:
            return image, None
        return image, np.ndarray(shape[:2], np.uint8, self._pages, start + image.nbytes)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a process that is being started; the block itself is not copied."""
        return {"block": reduction.DupFd(self._descriptor), "places": self._places}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Attach to the same block in another process."""
        self._attach(state["block"].detach(), state["places"])


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that can still be taken; None where the system does not report it.

    It is the minimum of the system's free memory and the limits of the process's control groups,
    which batch systems and containers set.

    Args:
        root: Folder that holds the system's `proc` and `sys`.
    """
    try:
        found = re.search(r"^MemAvailable: +(\d+) kB", (root / "proc/meminfo").read_text(), re.M)
    except OSError:
        return None
    if found is None:
        return None
    return min([int(found[1]) * 1024, *_allowed_by_groups(root)])


def _allowed_by_groups(root: Path) -> list[int]:
    """Return the memory that each control group (version 2) of this process leaves it, in bytes."""
    top = root / "sys/fs/cgroup"
    try:
        own = re.search(r"^0::/(.*)$", (root / "proc/self/cgroup").read_text(), re.M)
    except OSError:
        return []
    allowed = []
    group = top / (own[1] if own else "")
    for folder in (group, *group.parents):
        try:
            limit = int((folder / "memory.max").read_text())  # the word max: ValueError
            used = int((folder / "memory.current").read_text())
            # Cached files are evicted when memory is requested.
            files = re.search(r"^inactive_file (\d+)", (folder / "memory.stat").read_text(), re.M)
        except (OSError, ValueError):
            files = None
        else:
            allowed.append(max(0, limit - used + (int(files[1]) if files else 0)))
        if folder == top:
            break
    return allowed
