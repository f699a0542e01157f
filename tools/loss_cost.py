"""Measure the training loss of coarse logits against that of upsampled ones.

Both compute the cross entropy of the same logits and its gradient, in turn in one process. Memory
is what a pass needs in addition to its inputs and gradients, in a process for each:

    python tools/loss_cost.py --classes 19 150 --batch 4 --height 256 --width 256

"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from gcseg.losses import CrossEntropy, loss_of
from gcseg.system.resident import forget_peak, peak_memory, resident_memory

LOSS = CrossEntropy()


def coarse(logits: Tensor, labels: Tensor) -> None:
    """Compute the loss of coarse logits, and its gradient."""
    loss_of(LOSS, logits, labels).backward()


def upsampled(logits: Tensor, labels: Tensor) -> None:
    """Compute the loss of upsampled logits, and its gradient."""
    size = labels.shape[-2:]
    LOSS(F.interpolate(logits, size=size, mode="bilinear"), labels).backward()


WAYS = {"coarse": coarse, "upsampled": upsampled}


def drawn(classes: int, batch: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Draw logits of stride 8 and labels."""
    logits = torch.randn(batch, classes, height // 8, width // 8, requires_grad=True)
    return logits, torch.randint(0, classes, (batch, height, width))


def memory(way: str, sizes: tuple[int, int, int, int]) -> float:
    """Return the memory of one pass, in MB, measured in a new process."""
    command = [sys.executable, __file__, "--one", way, *map(str, sizes)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print a line for each number of classes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, nargs="+", default=[19, 150])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        inputs = drawn(*map(int, given.one[1:]))
        coarse(*drawn(2, 1, 32, 32))
        forget_peak()
        before = resident_memory() or 0.0
        WAYS[given.one[0]](*inputs)
        print((peak_memory() or 0.0) - before)
        return
    for classes in given.classes:
        sizes = (classes, given.batch, given.height, given.width)
        inputs = drawn(*sizes)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(given.rounds + 1):
            for way, compute in WAYS.items():
                start = time.perf_counter()
                compute(*inputs)
                seconds[way].append(time.perf_counter() - start)
        times = {way: 1000 * statistics.median(of[1:]) for way, of in seconds.items()}
        megabytes = {way: memory(way, sizes) for way in WAYS}
        print(
            f"{classes} classes, {given.batch} x {given.height} x {given.width}: "
            f"{times['coarse']:.0f} ms and {megabytes['coarse']:.0f} MB of coarse logits, "
            f"{times['upsampled']:.0f} ms and {megabytes['upsampled']:.0f} MB of upsampled ones: "
            f"{times['coarse'] / times['upsampled']:.2f} times the time, "
            f"{megabytes['coarse'] / megabytes['upsampled']:.2f} times the memory",
            flush=True,
        )


if __name__ == "__main__":
    main()
