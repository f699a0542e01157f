"""Networks whose every layer matters, as in trained ones."""

import torch
from torch import nn

from gcseg.models import Segmentor


def trained_like(model: Segmentor, seed: int) -> Segmentor:
    """Give batch norms statistics and the context block weights; for evaluation."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: torch.Tensor, low: float, high: float) -> None:
        drawn = torch.rand(tensor.shape, generator=generator) * (high - low) + low
        tensor.data.copy_(drawn)

    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            draw(module.running_mean, -0.2, 0.2)
            draw(module.running_var, 0.5, 1.5)
            draw(module.weight, 0.5, 1.0)
            draw(module.bias, -0.2, 0.2)
    context = getattr(model.head, "context", None)
    if context is not None:
        for parameter in context.parameters():
            draw(parameter, -0.5, 0.5)
    return model.eval()
