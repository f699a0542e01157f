"""Activation checkpointing: save memory by computing activations again in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def checkpointed(block: nn.Module, x: Tensor) -> Tensor:
    """Call a block without keeping its activations; the backward pass calls it again.

    Gradients and all else are as if it had been called once: the same random numbers are drawn
    again, and batch norm counts the batch once.

    Args:
        block: Module that maps a tensor to a tensor.
        x: Input of the block.

    Returns:
        The output of the block.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _buffers_kept(block)

    if torch.compiler.is_compiling():  # compiled code does not repeat changes of buffers
        output = checkpoint(block, x, use_reentrant=False)
    else:
        output = checkpoint(block, x, use_reentrant=False, context_fn=contexts)
    return cast(Tensor, output)


@contextmanager
def _buffers_kept(block: nn.Module) -> Iterator[None]:
    """Let a module change copies of its buffers, such as the running statistics of batch norm.

    Switching the running statistics off instead would fail: autograd would notice that it is
    another computation.
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
