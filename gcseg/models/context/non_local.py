"""Non-local blocks: each position gets a context of its own choice from all positions.

Their cost grows with the square of the number of positions, except for the dot product's, whose
products are computed in the order that needs no weights of pairs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.models.checks import check_above_zero, check_choice
from gcseg.models.context.pooling import (
    hidden_width,
    position_weights,
    softmax_of_positions,
    weighted_sum,
)

PAIRWISE = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
QUERIES = 1024
"""Positions whose weights of all others are in memory at once for an attention map."""


class NonLocalBlock(nn.Module):
    """Add to each position a weighted mean of all positions, by weights of the two positions.

    Source: Wang et al., "Non-local Neural Networks", CVPR 2018, equations 1 to 6; parameter names
    are mmsegmentation's. The last batch norm, or without it the last convolution, starts at zero:
    the block starts as the identity.

    Args:
        channels: Channels C of the input and the output.
        ratio: Hidden width C' of the block as a fraction of `channels`, rounded down.
        pairwise: Weight of a position j for a position i: `"embedded_gaussian"` and `"gaussian"`
            are the softmax over j of the product of the embedded features, or of the features
            themselves; `"dot_product"` is the product of the embedded features, `"concatenation"`
            a ReLU of a linear map of both, each divided by the number of positions.
        scale: Whether the embedded Gaussian divides products by the square root of C', as the
            attention of transformers does.
        batch_norm: Whether a batch norm follows the last convolution.
        relu: Whether a ReLU follows that, as in PaddleSeg.

    Raises:
        ConfigError: If `pairwise` is unknown, or the hidden layer would be empty.
    """

    def __init__(
        self,
        channels: int,
        *,
        ratio: float = 0.5,
        pairwise: str = "embedded_gaussian",
        scale: bool = True,
        batch_norm: bool = True,
        relu: bool = False,
    ) -> None:
        super().__init__()
        check_choice("pairwise", pairwise, PAIRWISE)
        hidden = hidden_width(channels, ratio)
        self.pairwise = pairwise
        self.factor = hidden**-0.5 if scale and pairwise == "embedded_gaussian" else 1.0
        self.g = _embedding(channels, hidden)
        embeds = pairwise != "gaussian"
        self.theta = _embedding(channels, hidden) if embeds else None
        self.phi = _embedding(channels, hidden) if embeds else None
        self.concat_project = (
            nn.Conv2d(2 * hidden, 1, kernel_size=1, bias=False)
            if pairwise == "concatenation"
            else None
        )
        self.conv_out = _last(hidden, channels, batch_norm)
        if relu:
            self.conv_out.append(nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x C x H x W` features to features of the same shape."""
        context: Tensor = self.conv_out(self._contexts(x, self.g(x)))
        return x + context

    def attention(self, x: Tensor) -> Tensor:
        """Compute how much each position contributes to the contexts, averaged over the positions.

        Args:
            x: `N x C x H x W` features.

        Returns:
            `N x 1 x H x W` weights that sum to 1 over each map.

        Raises:
            ConfigError: If the weights of pairs do not sum to 1.
        """
        if self.pairwise not in ("embedded_gaussian", "gaussian"):
            raise ConfigError(
                f"the head has no attention map (its weights are those of {self.pairwise})",
                "take one with pairwise=embedded_gaussian or gaussian",
            )
        return mean_attention(*self._queries_and_keys(x), self.factor).view_as(x[:, :1])

    def _contexts(self, x: Tensor, values: Tensor) -> Tensor:
        """Compute each position's mean of the values, `N x C' x H x W`."""
        queries, keys = self._queries_and_keys(x)
        flat = by_position(values)
        # Half of the division by the number of positions is on either side of the sums over them,
        # which would leave the range of float16 otherwise.
        half = flat.shape[1] ** -0.5
        contexts: Tensor
        if self.pairwise == "dot_product":
            contexts = queries @ ((half * keys).transpose(1, 2) @ (half * flat))
        elif self.concat_project is not None:
            first, second = self.concat_project.weight.flatten(1).chunk(2, dim=1)
            pairs = queries @ first.T + (keys @ second.T).transpose(1, 2)
            contexts = (half * pairs.relu()) @ (half * flat)
        else:
            contexts = softmax_means(queries, keys, flat, self.factor)
        return contexts.transpose(1, 2).reshape_as(values)

    def _queries_and_keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what weighs pairs of positions, each `N x HW x C'`."""
        if self.theta is None or self.phi is None:
            return by_position(x), by_position(x)
        return by_position(self.theta(x)), by_position(self.phi(x))


class DisentangledNonLocalBlock(NonLocalBlock):
    """A non-local block whose weights of pairs and weights of single positions are apart.

    Source: Yin et al., "Disentangled Non-Local Neural Networks", ECCV 2020, equation 12; parameter
    names are mmsegmentation's.

    Args:
        channels: Channels C of the input and the output.
        ratio: See `NonLocalBlock`.
        pairwise: Weight of a pair: `"embedded_gaussian"` or `"dot_product"`, of embedded features
            without their mean over the positions.
        scale: See `NonLocalBlock`.
        batch_norm: See `NonLocalBlock`.
        relu: See `NonLocalBlock`.
        temperature: Divisor of the embedded Gaussian's products.

    Raises:
        ConfigError: If the value of an argument is not allowed.
    """

    def __init__(
        self,
        channels: int,
        *,
        ratio: float = 0.5,
        pairwise: str = "embedded_gaussian",
        scale: bool = True,
        batch_norm: bool = True,
        relu: bool = False,
        temperature: float = 0.05,
    ) -> None:
        check_choice("pairwise", pairwise, ("embedded_gaussian", "dot_product"))
        super().__init__(
            channels,
            ratio=ratio,
            pairwise=pairwise,
            scale=scale,
            batch_norm=batch_norm,
            relu=relu,
        )
        check_above_zero("temperature", temperature)
        if pairwise == "embedded_gaussian":
            self.factor /= temperature
        self.conv_mask = position_weights(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x C x H x W` features to features of the same shape."""
        values = self.g(x)
        single = weighted_sum(values, softmax_of_positions(self.conv_mask(x)))
        context: Tensor = self.conv_out(self._contexts(x, values) + single)
        return x + context

    def attention(self, x: Tensor) -> Tensor:
        """Compute how much each position contributes to the contexts of pairs and single positions.

        Args:
            x: `N x C x H x W` features.

        Returns:
            `N x 1 x H x W` weights that sum to 1 over each map, the mean of both kinds.

        Raises:
            ConfigError: See `NonLocalBlock.attention`.
        """
        return (super().attention(x) + softmax_of_positions(self.conv_mask(x))) / 2

    def _queries_and_keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        queries, keys = super()._queries_and_keys(x)
        return queries - queries.mean(dim=1, keepdim=True), keys - keys.mean(dim=1, keepdim=True)


def by_position(x: Tensor) -> Tensor:
    """Turn `N x C x H x W` into `N x HW x C`."""
    return x.flatten(2).transpose(1, 2)


def softmax_means(queries: Tensor, keys: Tensor, values: Tensor, factor: float) -> Tensor:
    """Compute each position's mean of the values, weighted by the softmax of its products.

    Args:
        queries: `N x HW x C`.
        keys: `N x HW x C`.
        values: `N x HW x C'`.
        factor: Factor of the products of queries and keys.

    Returns:
        `N x HW x C'`.
    """
    # PyTorch's fused kernels, which need no weights of all pairs, take one head's features.
    query, key, value = (part.contiguous()[:, None] for part in (queries, keys, values))
    return F.scaled_dot_product_attention(query, key, value, scale=factor)[:, 0]


def mean_attention(queries: Tensor, keys: Tensor, factor: float) -> Tensor:
    """Compute how much each position contributes to all positions' means, see `softmax_means`.

    Returns:
        `N x HW` weights with the sum 1.
    """
    total = torch.zeros_like(keys[..., 0])
    for some in torch.split(queries, QUERIES, dim=1):
        total += (some @ keys.transpose(1, 2) * factor).softmax(dim=-1).sum(dim=1)
    return total / queries.shape[1]


def _embedding(channels: int, hidden: int) -> nn.Conv2d:
    conv = nn.Conv2d(channels, hidden, kernel_size=1)
    nn.init.normal_(conv.weight, std=0.01)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def _last(hidden: int, channels: int, batch_norm: bool) -> nn.Sequential:
    """Build the convolution back to the block's channels; the block starts as the identity."""
    conv = nn.Conv2d(hidden, channels, kernel_size=1, bias=not batch_norm)
    if not batch_norm:
        for parameter in conv.parameters():
            nn.init.zeros_(parameter)
        return nn.Sequential(conv)
    norm = nn.BatchNorm2d(channels)
    nn.init.zeros_(norm.weight)
    return nn.Sequential(conv, norm)
