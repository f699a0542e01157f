"""Less memory for more time: activations that the backward pass computes again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def checkpointed(block: nn.Module, x: Tensor) -> Tensor:
    """Call a block without keeping what happens in it; the backward pass calls it again.

    The gradients and everything else are as if it had been called once: random numbers are drawn
    again as they were, and batch norm counts the batch once.

    Args:
        block: Maps a tensor to a tensor.
        x: Its input.

    Returns:
        Its output.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _buffers_kept(block)

    if torch.compiler.is_compiling():  # compiled, what changes buffers is not computed again
        output = checkpoint(block, x, use_reentrant=False)
    else:
        output = checkpoint(block, x, use_reentrant=False, context_fn=contexts)
    return cast(Tensor, output)


@contextmanager
def _buffers_kept(block: nn.Module) -> Iterator[None]:
    """Have a module change copies of its buffers: batch norm, of its running statistics.

    Copies, and not batch norm without running statistics: autograd would notice that it is another
    computation.
    """
    kept = [(module, dict(module.named_buffers(recurse=False))) for module in block.modules()]
    for module, buffers in kept:
        for name, buffer in buffers.items():
            setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, buffers in kept:
            for name, buffer in buffers.items():
                setattr(module, name, buffer)
