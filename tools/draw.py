"""Random parameters for the networks of both frameworks; needs only NumPy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def draw(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Draw parameters and running statistics under which the features neither vanish nor grow."""
    generator = np.random.default_rng(seed)
    drawn = {}
    for name, shape in shapes.items():
        leaf = name.rpartition(".")[2]
        if leaf == "num_batches_tracked":
            values = np.zeros(shape, np.int64)
        elif leaf == "weight" and len(shape) == 4:
            values = generator.normal(0, np.prod(shape[1:]) ** -0.5, shape)
        elif leaf in ("bias", "running_mean", "_mean"):
            values = generator.normal(0, 0.1, shape)
        else:  # the scales and variances of norms
            values = generator.uniform(0.5, 1.5, shape)
        drawn[name] = values if leaf == "num_batches_tracked" else values.astype(np.float32)
    return drawn
