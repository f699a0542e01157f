"""Speed and memory of a network."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_STATUS = Path("/proc/self/status")
"""File in which Linux says how much memory the process has and has had."""


class Timing(NamedTuple):
    """Speed and memory of a network.

    Args:
        median: Median time per image, in ms.
        p95: 95th percentile of the time per image, in ms.
        memory: Largest amount of memory in addition to that before the network was built, in MiB;
            None where the system does not tell.
    """

    median: float
    p95: float
    memory: float | None


def timing(build: Callable[[], Callable[[Tensor], Tensor]], images: Tensor, repeats: int) -> Timing:
    """Measure a network, in a process that does nothing else.

    Args:
        build: Function that builds the network.
        images: Normalised images N x C x H x W.
        repeats: Number of measured passes, after two that are not.
    """
    _forget_peak()
    before = _memory("VmRSS")
    with torch.inference_mode():
        network = build()
        times = []
        for _ in range(repeats + 2):
            start = time.perf_counter()
            network(images)
            times.append(1000 * (time.perf_counter() - start) / len(images))
    peak = _memory("VmHWM")
    memory = None if before is None or peak is None else max(peak - before, 0.0)
    return Timing(float(np.median(times[2:])), float(np.percentile(times[2:], 95)), memory)


def _forget_peak() -> None:
    """Let Linux measure the process's largest memory from now on."""
    with suppress(OSError):  # elsewhere it counts from the process's start
        Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> float | None:
    """Read a line of the process's status, in MiB."""
    if not _STATUS.is_file():
        return None
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return None
