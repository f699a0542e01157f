"""Speed and memory of a network."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gcseg.system.resident import forget_peak, peak_memory, resident_memory


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
    forget_peak()
    before = resident_memory()
    with torch.inference_mode():
        network = build()
        times = []
        for _ in range(repeats + 2):
            start = time.perf_counter()
            network(images)
            times.append(1000 * (time.perf_counter() - start) / len(images))
    peak = peak_memory()
    memory = None if before is None or peak is None else max(peak - before, 0.0)
    return Timing(float(np.median(times[2:])), float(np.percentile(times[2:], 95)), memory)
