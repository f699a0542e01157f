"""Context blocks and heads alone, on drawn features of a picture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gcseg.models.defaults import CONTEXT_CLASSES, HEAD_CLASSES
from gcseg.models.segmentor import taken_by, takes_regions

STRIDE = 8
"""Output stride of the features, that of the published networks."""
_STAGES = ((256, 4), (512, STRIDE), (1024, STRIDE), (2048, STRIDE))
"""Channels and stride of the features of each stage, those of depth 50 and more."""
_CLASSES = 19


class OfPicture(nn.Module):
    """A block or a head behind a backbone that draws features.

    Args:
        name: Name of the block or the head, one of `gcseg.commands.block_costs.PARTS`.
        channels: Channels of a block's input, and of a head's convolutions.

    Attributes:
        part: The block or the head.
    """

    in_channels = 1

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        self._taken: Any = [(channels, STRIDE)]
        if name.startswith("head_"):
            head = HEAD_CLASSES[name.removeprefix("head_")]
            in_channels = taken_by(head, [count for count, _ in _STAGES])
            self.part: nn.Module = head(in_channels, _CLASSES, channels=channels)
            regions = [(_CLASSES, STRIDE)] if takes_regions(head) else []
            self._taken = [taken_by(head, _STAGES), *regions]
        elif name == "nl_dot_product":
            self.part = CONTEXT_CLASSES["nl"](channels, pairwise="dot_product")
        else:
            self.part = CONTEXT_CLASSES[name](channels)

    def inputs(self, height: int, width: int, device: str) -> list[Any]:
        """Draw the features of a picture: what the block or the head is called with.

        Args:
            height: Height of the picture, in pixels.
            width: Width of the picture, in pixels.
            device: Device of the features.
        """

        def drawn(taken: Any) -> Any:
            if isinstance(taken, list):
                return [drawn(one) for one in taken]
            count, stride = taken
            return torch.randn(1, count, -(-height // stride), -(-width // stride), device=device)

        return [drawn(one) for one in self._taken]

    def forward(self, picture: Tensor) -> Tensor:
        """Compute the output for a picture 1 x 1 x H x W, of which only the size counts."""
        height, width = picture.shape[-2:]
        found: Tensor = self.part(*self.inputs(height, width, picture.device.type))
        return found
