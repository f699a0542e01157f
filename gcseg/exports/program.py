"""A network as a graph of operations for images of any number and size."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram


def program_of(network: nn.Module, example: Tensor) -> ExportedProgram:
    """Export a network by torch.export, with the number, height and width of images open.

    Args:
        network: Network in evaluation mode.
        example: Images N x C x H x W; N, H and W differ and are 2 or more.
    """
    with quiet():
        return torch.export.export(
            network,
            (example,),
            dynamic_shapes=({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},),
            strict=False,
            # An average pool that rounds up needs inequalities that torch can't prove. They hold
            # for any size, and are checked where the program runs.
            prefer_deferred_runtime_asserts_over_guards=True,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Hide warnings and notes of exporters, which are about their own code."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript",
                                                    "onnx_ir", "nncf", "root")]  # fmt: skip
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
