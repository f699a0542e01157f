"""Context blocks in a backbone: in chosen residual blocks of chosen stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import nn

from gcseg.errors import ConfigError
from gcseg.models.checks import check_choice
from gcseg.models.resnets import POSITIONS, BasicBlock, Bottleneck, ResNet

STAGES = (1, 2, 3, 4)


def insert_context(
    backbone: nn.Module,
    build: Callable[[int], nn.Module],
    *,
    position: str = "after_1x1",
    stages: Sequence[int] = (2, 3, 4),
    blocks: Sequence[int] | Literal["all"] = "all",
) -> None:
    """Put a context block into residual blocks of a backbone.

    The result is a new part of the network, which starts as the block does. Source: GCNet (Cao et
    al., ICCVW 2019), section 4.1, and the plugins of mmsegmentation's ResNet.

    Args:
        backbone: The backbone, changed in place.
        build: Function that builds a context block for so many channels.
        position: Place in the residual block: `"after_3x3"` (in a basic block, after its first
            convolution), `"after_1x1"` (after the last convolution, before the addition) or
            `"after_add"`.
        stages: Stages with such residual blocks, from 1 to 4; the paper's c3 to c5 are 2 to 4.
        blocks: Numbers of the residual blocks in each stage, from 0, or from -1 for the last
            backwards; or `"all"`.

    Raises:
        ConfigError: If the backbone is no ResNet, or a stage or block does not exist.
    """
    check_choice("position", position, POSITIONS)
    if not isinstance(backbone, ResNet):
        raise ConfigError(
            f"backbone.context with {type(backbone).__name__}, which has no residual blocks that "
            "take one",
            "take a ResNet of gcseg, or leave it out",
        )
    for number in dict.fromkeys(stages):
        check_choice("stages", number, STAGES)
        stage = residual_blocks(backbone, number)
        for chosen in range(len(stage)) if blocks == "all" else blocks:
            if not -len(stage) <= chosen < len(stage):
                raise ConfigError(
                    f"backbone.context.blocks has {chosen}, and stage {number} has {len(stage)} "
                    "residual blocks",
                    f"give numbers from {-len(stage)} to {len(stage) - 1}, or all",
                )
            block = stage[chosen]
            setattr(block, position, build(block.channels_at(position)))


def residual_blocks(backbone: ResNet, stage: int) -> list[BasicBlock | Bottleneck]:
    """Return the residual blocks of a stage, which are numbered from 1."""
    (modules,) = backbone.stages[stage]
    return [one for one in modules.children() if isinstance(one, BasicBlock | Bottleneck)]


def has_context(backbone: ResNet) -> bool:
    """Return whether a residual block has a context block."""
    blocks = (block for stage in STAGES for block in residual_blocks(backbone, stage))
    return any(getattr(block, at) is not None for block in blocks for at in POSITIONS)
