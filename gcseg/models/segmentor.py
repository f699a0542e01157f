"""A backbone, a head and, for training, an auxiliary head as one network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.models.stages import frozen_modules


class Segmentor(nn.Module):
    """Semantic segmentation by a backbone and a head, at the resolution of the input.

    Args:
        backbone: Network that maps images to the features of four stages, see
            `gcseg.models.resnets.ResNet`.
        head: Network that maps the last stage's features, or those of several stages, to logits,
            see `gcseg.models.heads`.
        auxiliary_head: Network that maps the third stage's features to logits; `None` for none.
        align_corners: Whether logits are upsampled with the corner pixels' centres aligned, as in
            networks trained on crops of a multiple of the stride plus one (769 pixels).
        asymmetric: Whether logits are upsampled with the upper left corners aligned: position i is
            pixel i times the stride. PaddleSeg's DANet and DNLNet do so (`align_mode=1`; in ONNX
            `asymmetric`). Without effect if all corners are aligned.
        num_classes: Required channels of the logits; None for any number.
        in_channels: Channels of the images.

    Raises:
        ConfigError: If the head takes the auxiliary head's logits, and there is none.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        auxiliary_head: nn.Module | None = None,
        *,
        align_corners: bool = False,
        asymmetric: bool = False,
        num_classes: int | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if takes_regions(head) and auxiliary_head is None:
            raise ConfigError(
                f"the head {type(head).__name__} finds regions by the auxiliary head's logits, and "
                "there is no auxiliary head",
                "give one, such as auxiliary_head=fcn",
            )
        self.in_channels = in_channels
        self.backbone = backbone
        self.head = head
        self.auxiliary_head = auxiliary_head
        self.align_corners = align_corners
        self.asymmetric = asymmetric and not align_corners
        self.num_classes = num_classes
        self.frozen: str | int = "none"

    def freeze(self, part: str | int) -> None:
        """Exclude a part of the backbone from training: its weights and its batch statistics.

        Its parameters get no gradient. Its modules stay in evaluation mode: batch norm normalises
        by its running statistics and leaves them as they are, and nothing is dropped at random.
        Source: mmsegmentation's `frozen_stages`.

        Args:
            part: `"stem"`, 1 to 4 for the stem and so many stages, `"all"` or `"none"`.

        Raises:
            ConfigError: If the backbone does not name its stages.
        """
        self.frozen = part
        for module in frozen_modules(self.backbone, part):
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Segmentor:
        """Set the mode of all modules but the frozen ones, which stay in evaluation mode."""
        super().train(mode)
        # Asked for each time, as modules may have been replaced, for instance by synchronised ones.
        for module in frozen_modules(self.backbone, self.frozen):
            module.eval()
        return self

    @overload
    def forward(
        self, x: Tensor, auxiliary: Literal[False] = False, coarse: bool = False
    ) -> Tensor: ...

    @overload
    def forward(
        self, x: Tensor, auxiliary: Literal[True], coarse: bool = False
    ) -> tuple[Tensor | None, ...]: ...

    def forward(
        self, x: Tensor, auxiliary: bool = False, coarse: bool = False
    ) -> Tensor | tuple[Tensor | None, ...]:
        """Compute logits, upsampled bilinearly to the size of the input.

        The kind of result depends on the flags alone and not on the module's mode. They are flags
        rather than other methods, as wrappers such as DistributedDataParallel see only calls.

        Args:
            x: `N x in_channels x H x W` float images.
            auxiliary: Whether to return all logits that a training's loss needs.
            coarse: Whether to return logits as the heads give them, `N x num_classes x h x w`;
                `gcseg.losses.loss_of` upsamples them without holding them all.

        Returns:
            `N x num_classes x H x W` logits; with `auxiliary` a tuple of these, the auxiliary
            head's, of the same shape, or `None` where there is no auxiliary head, and those of the
            head's branches if it has some (`forward_with_branches`).

        Raises:
            ConfigError: If the backbone finds that `x` is not such a batch of images, or logits
                have a wrong number of channels.
        """
        found, others = self._heads(self.backbone(x), auxiliary)
        if not coarse:
            found = [self._resize(one, x) for one in found]
            others = None if others is None or not auxiliary else self._resize(others, x)
        logits, *branches = found
        return (logits, others, *branches) if auxiliary else logits

    def coarse_logits(self, x: Tensor) -> Tensor:
        """Compute logits at the resolution at which the head gives them.

        Args:
            x: `N x in_channels x H x W` float images.

        Returns:
            `N x num_classes x h x w`.

        Raises:
            ConfigError: If the backbone finds that `x` is not such a batch of images, or logits
                have a wrong number of channels.
        """
        return self._heads(self.backbone(x), auxiliary=False)[0][0]

    def _heads(
        self, features: Sequence[Tensor], auxiliary: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Compute the logits of the head, and those that a training needs too if they are wanted.

        Args:
            features: Features of the four stages.
            auxiliary: Whether the logits of the head's branches and of the auxiliary head are
                wanted. A head that takes regions needs the latter in any case, and its loss reaches
                the auxiliary head.

        Returns:
            Logits of the head and then of its branches, and those of the auxiliary head.
        """
        taken = taken_by(self.head, features)
        if takes_regions(self.head):
            regions = self._auxiliary_logits(features)
            return [self._checked(self.head(taken, regions))], regions
        branching = getattr(self.head, "forward_with_branches", None) if auxiliary else None
        logits = [self.head(taken)] if branching is None else branching(taken)
        return (
            [self._checked(one) for one in logits],
            self._auxiliary_logits(features) if auxiliary else None,
        )

    def _auxiliary_logits(self, features: Sequence[Tensor]) -> Tensor | None:
        """Compute the auxiliary head's logits; None where there is no such head."""
        if self.auxiliary_head is None:
            return None
        return self._checked(self.auxiliary_head(features[2]))

    def attention(self, x: Tensor) -> Tensor:
        """Compute how much each position of the last stage's features contributes to the context.

        In evaluation mode these are the weights that `forward` uses for `x`.

        Args:
            x: `N x in_channels x H x W` float images.

        Returns:
            `N x 1 x h x w` weights that sum to 1 over each map.

        Raises:
            ConfigError: If the head has no attention map, or the backbone finds that `x` is not
                such a batch of images.
        """
        attention = getattr(self.head, "attention", None)
        if attention is None:
            raise ConfigError(
                f"the head has no attention map ({type(self.head).__name__})",
                "take head=gc, or head=fcn with context=nl, snl or dnl",
            )
        weights: Tensor = attention(taken_by(self.head, self.backbone(x)))
        return weights

    def _checked(self, logits: Tensor) -> Tensor:
        """Return `N x C x h x w` logits; refuse those of a custom head with a wrong C."""
        if self.num_classes not in (None, logits.shape[1]):
            raise ConfigError(
                f"the head gives {logits.shape[1]} channels for {self.num_classes} classes",
                "give one for each, whatever the size of the picture",
            )
        return logits

    def _resize(self, logits: Tensor, x: Tensor) -> Tensor:
        """Resize `N x C x h x w` logits to the height and width of `x`."""
        height, width = x.shape[-2:]
        if self.asymmetric:
            size = height + 1, width + 1
            wide = F.interpolate(with_edges(logits), size, mode="bilinear", align_corners=True)
            return wide[..., :height, :width]
        return F.interpolate(
            logits, (height, width), mode="bilinear", align_corners=self.align_corners
        )


def with_edges(logits: Tensor) -> Tensor:
    """Repeat the last row and column of `N x C x h x w` logits.

    Resized with aligned corners to one row and column more than wanted, they have their upper left
    corners aligned in the rest.
    """
    logits = torch.cat([logits, logits[..., -1:, :]], dim=-2)
    return torch.cat([logits, logits[..., -1:]], dim=-1)


def taken_by(head: object, of_stages: Sequence[Any]) -> Any:
    """Return what a head takes of something that there is for each of the four stages.

    Args:
        head: The head, or the class or function that builds it; its attribute `stages` counts.
        of_stages: Features or numbers of channels of the four stages.

    Returns:
        A list in the order of `stages`; without that attribute the last stage's alone.
    """
    stages = getattr(head, "stages", None)
    return of_stages[3] if stages is None else [of_stages[stage - 1] for stage in stages]


def takes_regions(head: object) -> bool:
    """Return whether a head, or what builds it, takes the auxiliary head's logits, too."""
    return bool(getattr(head, "takes_regions", False))
