"""Sums over the processes that train together, for losses that don't add up by image.

Where a process trains alone, all of this does nothing.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def process_count() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of the processes' values, without a gradient.

    Args:
        value: A tensor on the device that computes, equally shaped in all processes.
    """
    processes = process_count()
    if processes == 1:
        return value
    total = value.detach().float().clone()
    dist.all_reduce(total)
    return total / processes


def sum_over_processes(own: Tensor) -> Tensor:
    """Return the sum of the processes' values, with a gradient.

    Processes average their gradients. So each passes the sum's gradient back times their number:
    the mean is the gradient of a loss of the sum.

    Args:
        own: Float tensor, equally shaped in all processes.
    """
    if process_count() == 1:
        return own
    total: Tensor = _Sum.apply(own)  # type: ignore[no-untyped-call]
    return total


def gathered(own: Tensor) -> Tensor:
    """Return the values of all processes next to each other, without a gradient.

    Args:
        own: Values, M of them in each process.
    """
    if process_count() == 1:
        return own.detach()
    parts = [torch.empty_like(own) for _ in range(process_count())]
    dist.all_gather(parts, own.detach().contiguous())
    return torch.cat(parts)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * process_count()
