"""A weighted sum of losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcseg.losses.upsampling import loss_of, takes_coarse


class WeightedSum(nn.Module):
    """Sum of losses, each times its weight, as PaddleSeg's MixedLoss.

    Args:
        parts: Losses, each with its weight.
    """

    def __init__(self, parts: Sequence[tuple[nn.Module, float]]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(loss for loss, _ in parts)
        self.weights = [weight for _, weight in parts]
        self.upsamples = all(takes_coarse(loss) for loss, _ in parts)

    def forward(self, logits: Tensor, labels: Tensor, *, align_corners: bool = False) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: Logits, N x C x h x w, see `loss_of`.
            labels: Class indices, N x H x W int64.
            align_corners: See `loss_of`.
        """
        total = torch.zeros((), device=logits.device)
        for weight, loss in zip(self.weights, self.losses, strict=True):
            total = total + weight * loss_of(loss, logits, labels, align_corners=align_corners)
        return total
