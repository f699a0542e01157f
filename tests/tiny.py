"""A backbone of a few thousand parameters, so that whole trainings take a second."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = (8, 8, 16, 16)


class TinyBackbone(nn.Module):
    channels = CHANNELS

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        before = in_channels
        for channels, stride in zip(CHANNELS, (4, 2, 2, 1), strict=True):
            self.stages.append(
                nn.Sequential(
                    nn.Conv2d(before, channels, 5, stride=stride, padding=2, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(),
                )
            )
            before = channels

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class StagedBackbone(nn.Module):
    """The same, which says what its stem and its stages are; the first has no parameters."""

    channels = CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.inner = TinyBackbone()

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        first, *others = self.inner.stages
        return tuple(first[:2]), (first[2],), *((stage,) for stage in others)

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.inner(x)


def staged(depth: int, variant: str, output_stride: int) -> StagedBackbone:
    return StagedBackbone()


def backbone(depth: int, variant: str, output_stride: int, in_channels: int = 3) -> TinyBackbone:
    """Takes what a ResNet takes, so that it can stand in its place in a configuration."""
    return TinyBackbone(in_channels)


def drawn(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with no parameter left at zero, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            low = 0.5 if name.endswith("running_var") else -0.6
            value.data.uniform_(low, low + 1.2, generator=generator)
    return module.eval()
