"""Parameters and inputs that any framework can make again, and our networks with them.

Nothing is stored but names and shapes: each array is drawn from a Philox stream of its own, keyed
by the parameter's name or by the input's seed, so the order in which they are drawn is free.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gcseg.models import Segmentor, gcnet
from gcseg.weights import load_tensors
from gcseg.weights.architecture import WithoutDrawing
from tests.golden.rules import Float32, image_array, parameter, stream

FOLDER = Path(__file__).parent

# The networks behind the golden outputs; each has its names and shapes in <name>.keys.json.
NETWORKS = {
    "paddleseg_gcnet_r18": {"backbone": "r18", "variant": "vd", "conv_bias": True},
    "paddleseg_gcnet_r50": {"backbone": "r50", "variant": "vd", "conv_bias": True},
    "mmseg_gcnet_r50": {"backbone": "r50", "variant": "v1c", "conv_bias": False},
}

# The backbones behind the golden features; each has its names and shapes in <name>.keys.json.
BACKBONES = {
    "torchvision_resnet18": {"depth": 18, "variant": "v1b", "output_stride": 32},
    "torchvision_resnet50": {"depth": 50, "variant": "v1b", "output_stride": 8},
    "timm_resnet18d": {"depth": 18, "variant": "d", "output_stride": 8},
    "timm_resnet50d": {"depth": 50, "variant": "d", "output_stride": 8},
    "paddleclas_resnet18_vd": {"depth": 18, "variant": "vd", "output_stride": 32},
    "paddleclas_resnet50_vd": {"depth": 50, "variant": "vd", "output_stride": 32},
}


def parameters(network: str) -> dict[str, Tensor]:
    """All parameters of a golden network, under its framework's names."""
    return {name: torch.from_numpy(array.copy()) for name, array in _arrays(network).items()}


@functools.lru_cache(maxsize=2)  # drawing millions of numbers takes as long as most tests
def _arrays(network: str) -> dict[str, Float32]:
    shapes = json.loads((FOLDER / f"{network}.keys.json").read_text())
    return {
        name: parameter(name, tuple(shape))
        for name, shape in shapes.items()
        if not name.endswith("num_batches_tracked")
    }


def image(shape: tuple[int, ...], seed: int) -> Tensor:
    """Images uniform in [-1, 1): `N x 3 x H x W` float32."""
    return torch.from_numpy(image_array(shape, seed))


def backbone_image(backbone: str) -> Tensor:
    """The input of a golden backbone; PaddleClas pools odd sizes unlike our networks."""
    size = (64, 96) if backbone.startswith("paddleclas") else (33, 49)
    return image((1, 3, *size), seed=BACKBONES[backbone]["depth"])


def label(shape: tuple[int, ...], num_classes: int, seed: int) -> Tensor:
    """Labels: `N x H x W` int64, a tenth of them 255."""
    drawn = stream(1000 + seed)
    labels = drawn.integers(0, num_classes, shape)
    ignored = drawn.uniform(size=shape) < 0.1
    return torch.from_numpy(np.where(ignored, 255, labels).astype(np.int64))


def golden_model(network: str, *, dropout: float = 0.1) -> Segmentor:
    """Our network of 19 classes with a golden network's parameters, in eval mode."""
    with WithoutDrawing():  # what is loaded takes the place of all
        model = gcnet(num_classes=19, dropout=dropout, **NETWORKS[network])
    load_tensors(model, parameters(network), source=network)
    return model.eval()


def expected(file: str) -> dict[str, np.ndarray]:
    """The arrays of <file>.npz."""
    with np.load(FOLDER / f"{file}.npz") as arrays:
        return dict(arrays)
