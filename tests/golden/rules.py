"""The rules by which parameters and images are drawn, with NumPy alone."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


def stream(key: int) -> np.random.Generator:
    """Return the generator of a key."""
    return np.random.Generator(np.random.Philox(key=key))


def parameter(name: str, shape: tuple[int, ...]) -> Float32:
    """Draw one parameter or running statistic, its distribution chosen by its name and shape."""
    drawn = stream(zlib.crc32(name.encode()))
    kind = name.split(".")[-1]
    if kind in ("bias", "_mean", "running_mean"):
        return (0.1 * drawn.standard_normal(shape)).astype(np.float32)
    if kind == "weight" and len(shape) == 4:  # of a convolution: keeps the variance of its input
        deviation = np.sqrt(1.0 / np.prod(shape[1:]))
        return (drawn.standard_normal(shape) * deviation).astype(np.float32)
    # Of a norm, or the factor of an attention.
    if kind in ("weight", "_variance", "running_var", "gamma", "scale"):
        return drawn.uniform(0.5, 1.5, shape).astype(np.float32)
    raise ValueError(f"{name} of shape {shape} is no kind of parameter that has a rule")


def image_array(shape: tuple[int, ...], seed: int) -> Float32:
    """Images uniform in [-1, 1): `N x 3 x H x W`."""
    return stream(seed).uniform(-1, 1, shape).astype(np.float32)
