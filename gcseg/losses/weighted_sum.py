"""A weighted sum of losses."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightedSum(nn.Module):
    """Sum of losses, each times its weight, as PaddleSeg's MixedLoss.

    Args:
        parts: Losses by name, each with its weight.
    """

    def __init__(self, parts: Mapping[str, tuple[nn.Module, float]]) -> None:
        super().__init__()
        self.losses = nn.ModuleDict({name: loss for name, (loss, _) in parts.items()})
        self.weights = [weight for _, weight in parts.values()]

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: Logits, N x C x H x W.
            labels: Class indices, N x H x W int64.
        """
        total = torch.zeros((), device=logits.device)
        for weight, loss in zip(self.weights, self.losses.values(), strict=True):
            total = total + weight * loss(logits, labels)
        return total
