"""Biases of convolutions before batch norm, which frameworks have or not to the same effect."""

from __future__ import annotations

from collections.abc import Iterable

from gcseg.weights.written import Tensors


def convolutions(tensors: Tensors) -> set[str]:
    """Return the modules of the heads that are a convolution and its batch norm."""
    ending = ".1.running_mean"
    return {
        name.removesuffix(ending)
        for name in tensors
        if name.endswith(ending) and name.startswith(("head.", "auxiliary_head."))
    }


def without_biases(tensors: Tensors, modules: Iterable[str]) -> Tensors:
    """Move the biases of convolutions into the running means of their batch norms.

    Batch norm subtracts the mean m from conv(x) + b, which is conv(x) minus m - b.

    Args:
        tensors: Tensors by gcseg's names.
        modules: Names of the modules, see `convolutions`.
    """
    result = dict(tensors)
    for module in modules:
        bias = result.pop(f"{module}.0.bias", None)
        if bias is not None:
            result[f"{module}.1.running_mean"] = result[f"{module}.1.running_mean"] - bias
    return result
