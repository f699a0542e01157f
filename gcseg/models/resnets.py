"""Dilated ResNets (He et al., CVPR 2016) in the variants that segmentation frameworks use.

Parameter names are torchvision's and mmsegmentation's (`layer1.0.conv1`, `bn1`, `downsample`), so
that weights of other frameworks load nearly directly; the stem is always one `nn.Sequential`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.models.checkpointing import checkpointed
from gcseg.models.checks import check_choice, check_positive

WIDTHS = (64, 128, 256, 512)  # channels of the 3x3 convolutions in the four stages

POSITIONS = ("after_3x3", "after_1x1", "after_add")
"""Places in a residual block for a context block, see `gcseg.models.insertion`."""


@dataclass(frozen=True)
class Variant:
    """Options that distinguish one family of ResNets from the others.

    Args:
        stem: Kind of stem: `"7x7"` for one convolution, `"3x3"` for three of 32, 32 and 64
            channels.
        pooled_shortcut: Whether a strided block's shortcut is reduced with a 2x2 average pool
            before a 1x1 convolution of stride 1, instead of a 1x1 convolution of stride 2.
        pool_dilated: Whether the shortcut is pooled over 2x2 pixels also where the stride became a
            dilation, at stride 1 and with zeros beyond the lower and the right edge.
        always_project: Whether the first block of every stage has a 1x1 convolution in its
            shortcut, also where the shapes agree without one (first stage of depths 18 and 34).
        contract_dilation: Whether the first block of a dilated stage has half the stage's
            dilation; in a basic block, its first convolution only.
        dilate_both: Whether both 3x3 convolutions of a basic block are dilated, or the first only.
    """

    stem: Literal["7x7", "3x3"]
    pooled_shortcut: bool
    pool_dilated: bool
    always_project: bool
    contract_dilation: bool
    dilate_both: bool


VARIANTS = {
    # torchvision, and mmsegmentation's ResNet
    "v1b": Variant(
        stem="7x7",
        pooled_shortcut=False,
        pool_dilated=False,
        always_project=False,
        contract_dilation=True,
        dilate_both=False,
    ),
    # mmsegmentation's ResNetV1c, the backbone of its GCNet
    "v1c": Variant(
        stem="3x3",
        pooled_shortcut=False,
        pool_dilated=False,
        always_project=False,
        contract_dilation=True,
        dilate_both=False,
    ),
    # mmsegmentation's ResNetV1d
    "v1d": Variant(
        stem="3x3",
        pooled_shortcut=True,
        pool_dilated=False,
        always_project=False,
        contract_dilation=True,
        dilate_both=False,
    ),
    # PaddleSeg's ResNet_vd
    "vd": Variant(
        stem="3x3",
        pooled_shortcut=True,
        pool_dilated=False,
        always_project=True,
        contract_dilation=False,
        dilate_both=True,
    ),
    # timm's resnet18d to resnet152d
    "d": Variant(
        stem="3x3",
        pooled_shortcut=True,
        pool_dilated=True,
        always_project=False,
        contract_dilation=True,
        dilate_both=True,
    ),
}


class _Residual(nn.Module):
    """What both residual blocks have: places for context blocks, empty at first."""

    after_3x3: nn.Module | None
    after_1x1: nn.Module | None
    after_add: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.after_3x3 = self.after_1x1 = self.after_add = None


class BasicBlock(_Residual):
    """Two 3x3 convolutions and a shortcut; the block of depths 18 and 34.

    Args:
        in_channels: Channels of the input.
        width: Channels of both convolutions.
        stride: Stride of the first convolution.
        dilation: Dilation of the first convolution.
        second_dilation: Dilation of the second convolution.
        downsample: Module that maps the input to the output's shape; `None` if the shapes agree.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int,
        dilation: int,
        second_dilation: int,
        downsample: nn.Module | None,
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, width, stride=stride, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, dilation=second_dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x in_channels x H x W` to `N x width x H/stride x W/stride`."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = _through(self.after_3x3, self.relu(self.bn1(self.conv1(x))))
        x = _through(self.after_1x1, self.bn2(self.conv2(x)))
        return _through(self.after_add, self.relu(x + shortcut))

    def channels_at(self, position: str) -> int:
        """Return the channels at one of `POSITIONS`, which are all the same."""
        return self.conv1.out_channels


class Bottleneck(_Residual):
    """A 1x1, a 3x3 and a widening 1x1 convolution and a shortcut; the block of depths 50 to 152.

    The stride is in the 3x3 convolution in all variants, not in the first 1x1.

    Args:
        in_channels: Channels of the input.
        width: Channels of the 3x3 convolution; the output has four times as many.
        stride: Stride of the 3x3 convolution.
        dilation: Dilation of the 3x3 convolution.
        second_dilation: Unused, as there is one 3x3 convolution; taken as by `BasicBlock`.
        downsample: Module that maps the input to the output's shape; `None` if the shapes agree.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int,
        dilation: int,
        second_dilation: int,
        downsample: nn.Module | None,
    ) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride=stride, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x in_channels x H x W` to `N x 4 width x H/stride x W/stride`."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = _through(self.after_3x3, self.relu(self.bn2(self.conv2(x))))
        x = _through(self.after_1x1, self.bn3(self.conv3(x)))
        return _through(self.after_add, self.relu(x + shortcut))

    def channels_at(self, position: str) -> int:
        """Return the channels at one of `POSITIONS`."""
        return (self.conv2 if position == "after_3x3" else self.conv3).out_channels


def _through(block: nn.Module | None, x: Tensor) -> Tensor:
    """Compute a context block, if there is one."""
    return x if block is None else cast(Tensor, block(x))


Block = type[BasicBlock] | type[Bottleneck]

DEPTHS: dict[int, tuple[Block, tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """A ResNet without its classifier, giving the features of all four stages.

    Args:
        depth: Depth: 18, 34, 50, 101 or 152.
        variant: Options that distinguish the families, see `VARIANTS`.
        output_stride: Output stride of the last stage: 8, 16 or 32. Strides beyond it are turned
            into dilation.
        multi_grid: Factors of the dilation in the last stage's blocks, such as `(1, 2, 4)` (Chen et
            al., arXiv:1706.05587, section 3.1.1); none of them is contracted then. Depth 18 uses
            the first two. `None` for no factors.
        in_channels: Channels of the input.
        checkpoint_activations: Whether to keep, for the backward pass, only the inputs of the
            residual blocks and to compute the rest again: less memory, more time, same gradients.

    Attributes:
        in_channels: Channels of the input.
        channels: Channels of the four stages' features.

    Raises:
        ConfigError: If the value of `depth`, `output_stride`, `multi_grid` or `in_channels` is not
            allowed.
    """

    def __init__(
        self,
        depth: int,
        variant: Variant,
        *,
        output_stride: int = 8,
        multi_grid: Sequence[int] | None = None,
        in_channels: int = 3,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        check_choice("depth", depth, DEPTHS)
        check_choice("output_stride", output_stride, (8, 16, 32))
        check_positive("in_channels", in_channels)
        block, blocks = DEPTHS[depth]
        if multi_grid is not None:
            if len(multi_grid) < blocks[-1]:
                raise ConfigError(
                    f"multi_grid is {tuple(multi_grid)}",
                    f"give one factor for each of the last stage's {blocks[-1]} blocks",
                )
            for factor in multi_grid:
                check_positive("multi_grid", factor)
        self.in_channels = in_channels
        self.checkpoint_activations = checkpoint_activations
        self.channels = cast(
            tuple[int, int, int, int], tuple(width * block.expansion for width in WIDTHS)
        )
        self.stem = _stem(variant.stem, in_channels)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

        stages = []
        stage_in = 64
        reached = 4  # the stem and the max pool halve the input twice
        dilation = 1
        for width, count in zip(WIDTHS, blocks, strict=True):
            stride = 1 if width == WIDTHS[0] else 2
            first_dilation = dilation
            if reached * stride > output_stride:
                # Not striding keeps the resolution; dilation keeps each kernel's receptive field.
                dilation *= stride
                stride = 1
            reached *= stride
            if not variant.contract_dilation:
                first_dilation = dilation
            dilations = [first_dilation, *[dilation] * (count - 1)]
            second_dilations = [dilation] * count
            if multi_grid is not None and width == WIDTHS[-1]:
                dilations = [dilation * factor for factor in multi_grid[:count]]
                second_dilations = dilations
            if not variant.dilate_both:
                second_dilations = [1] * count
            pool_dilated = dilation > 1 and variant.pool_dilated
            stages.append(
                _stage(
                    *(block, variant, stage_in, width, stride),
                    *(dilations, second_dilations, pool_dilated),
                )
            )
            stage_in = width * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self._initialise()

    def _initialise(self) -> None:
        """Draw weights as torchvision and mmsegmentation do (He et al., ICCV 2015)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The modules of the stem and of each stage, see `gcseg.models.stages`."""
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        return (self.stem,), *((stage,) for stage in stages)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the four stages' features.

        Args:
            x: `N x in_channels x H x W` float images of any height and width.

        Returns:
            `N x channels[i] x h_i x w_i` for the stages i, where h_i is H divided by the stage's
            stride (4, 8, 16, 32, and never more than the output stride), rounded up.

        Raises:
            ConfigError: If `x` has a wrong number of dimensions or channels.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ConfigError(
                f"the input's shape is {' x '.join(str(size) for size in x.shape)}",
                f"give a batch of images, N x {self.in_channels} x H x W",
            )
        x = self.maxpool(self.stem(x))
        stage1 = self._run(self.layer1, x)
        stage2 = self._run(self.layer2, stage1)
        stage3 = self._run(self.layer3, stage2)
        stage4 = self._run(self.layer4, stage3)
        return stage1, stage2, stage3, stage4

    def _run(self, stage: nn.Module, x: Tensor) -> Tensor:
        """Compute one stage."""
        if not self.checkpoint_activations or not torch.is_grad_enabled():
            return cast(Tensor, stage(x))
        for block in stage.children():
            x = checkpointed(block, x)
        return x


def resnet(
    depth: int,
    *,
    variant: str = "vd",
    output_stride: int = 8,
    multi_grid: Sequence[int] | None = None,
    in_channels: int = 3,
    checkpoint_activations: bool = False,
) -> ResNet:
    """Build a ResNet backbone by the name of its variant.

    Args:
        depth: Depth: 18, 34, 50, 101 or 152.
        variant: Name of the variant: `"vd"` (PaddleSeg), `"v1c"` or `"v1d"` (mmsegmentation),
            `"v1b"` (torchvision) or `"d"` (timm).
        output_stride: Output stride of the last stage: 8, 16 or 32.
        multi_grid: See `ResNet`.
        in_channels: Channels of the input.
        checkpoint_activations: See `ResNet`.

    Returns:
        The backbone with random weights.

    Raises:
        ConfigError: If the value of an argument is not allowed.
    """
    check_choice("variant", variant, VARIANTS)
    return ResNet(
        depth,
        VARIANTS[variant],
        output_stride=output_stride,
        multi_grid=multi_grid,
        in_channels=in_channels,
        checkpoint_activations=checkpoint_activations,
    )


def _conv3x3(
    in_channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1
) -> nn.Conv2d:
    """Build a 3x3 convolution padded so that only its stride changes the size."""
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size=3,
        stride=stride,
        padding=dilation,
        dilation=dilation,
        bias=False,
    )


def _stem(kind: str, in_channels: int) -> nn.Sequential:
    """Build the stem before the max pool, of stride 2 and with 64 output channels."""
    if kind == "7x7":
        first = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        return nn.Sequential(first, nn.BatchNorm2d(64), nn.ReLU(inplace=True))
    layers: list[nn.Module] = []
    for before, after, stride in ((in_channels, 32, 2), (32, 32, 1), (32, 64, 1)):
        layers += [
            _conv3x3(before, after, stride=stride),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _stage(
    block: Block,
    variant: Variant,
    in_channels: int,
    width: int,
    stride: int,
    dilations: Sequence[int],
    second_dilations: Sequence[int],
    pool_dilated: bool,
) -> nn.Sequential:
    """Build a block for each dilation; the first has the stride and a projection."""
    out_channels = width * block.expansion
    projects = variant.always_project or stride != 1 or in_channels != out_channels
    blocks: list[nn.Module] = []
    for dilation, second_dilation in zip(dilations, second_dilations, strict=True):
        first = not blocks
        blocks.append(
            block(
                in_channels if first else out_channels,
                width,
                stride=stride if first else 1,
                dilation=dilation,
                second_dilation=second_dilation,
                downsample=(
                    _shortcut(variant, in_channels, out_channels, stride, pool_dilated)
                    if first and projects
                    else None
                ),
            )
        )
    return nn.Sequential(*blocks)


def _shortcut(
    variant: Variant, in_channels: int, out_channels: int, stride: int, pool_dilated: bool
) -> nn.Sequential:
    """Build a projection to the block's output shape."""
    norm = nn.BatchNorm2d(out_channels)
    if not variant.pooled_shortcut:
        conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
        return nn.Sequential(conv, norm)
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
    # Always one module, so that the convolution keeps its index and thus its name.
    pool: nn.Module = nn.Identity()
    if stride > 1:
        # Ceil mode: odd sizes must be rounded as by the block's strided 3x3 convolution.
        pool = nn.AvgPool2d(stride, stride, ceil_mode=True)
    elif pool_dilated:
        pool = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, stride=1))
    return nn.Sequential(pool, conv, norm)
