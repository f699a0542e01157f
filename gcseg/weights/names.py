"""Tables of names for both directions: another framework's of the parameters, and gcseg's.

A row pairs two patterns, theirs and ours. `{word}` stands for a number that both sides share, and
`{word+1}` for that number plus one, as where one side counts from 0 and the other from 1:

    "bb_{stage}_{block}.short._conv"  <->  "layer{stage+1}.{block}.downsample.1"

The number itself is never negative: `{block+7}` stands for 7 and more.

Rows name modules; the last part of a name (`weight`, `running_mean`) has a separate table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

Rows = Sequence[tuple[str, str]]
Shapes = Mapping[str, torch.Size]
Orders = Mapping[str, Sequence[int]]

_FIELD = re.compile(r"\{(?P<word>[a-z]+)(?:\+(?P<offset>\d+))?\}")


@dataclass(frozen=True)
class KeyMap:
    """Translation between one framework's parameter names and gcseg's.

    Args:
        source: Framework and network, for messages.
        modules: Rows of their module and ours; the first match counts.
        leaves: Rows of the last part of a name, theirs and ours.
        variants: ResNets (see `gcseg.models.resnets.VARIANTS`) that have these names there, the
            usual one first.
        unused: Their modules that gcseg's networks do not have, such as ImageNet's classifier.
        implies: Settings of the head that their networks have and the weights do not show.
        orders: Function that maps the shapes by gcseg's names to the convolutions whose input
            channels they have in another order: for each, their channel at each of ours.
    """

    source: str
    modules: Rows
    leaves: Rows
    variants: tuple[str, ...]
    unused: tuple[str, ...] = ()
    implies: Mapping[str, Any] = field(default_factory=dict)
    orders: Callable[[Shapes], Orders] | None = None

    def to_ours(self, key: str) -> str | None:
        """Translate their name of a parameter or buffer; `None` if it is not theirs."""
        return _translate(key, self.modules, self.leaves)

    def to_theirs(self, key: str) -> str | None:
        """Translate our name of a parameter or buffer; `None` if they have none for it."""
        return _translate(key, _swapped(self.modules), _swapped(self.leaves))

    def ignores(self, key: str) -> bool:
        """Return whether a name is theirs, of a parameter that gcseg's networks do not have."""
        module = key.rpartition(".")[0]
        return any(matches(pattern, module) for pattern in self.unused)

    def in_our_order(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors by gcseg's names with their input channels in gcseg's order."""
        found = dict(tensors)
        for name, order in self._orders(tensors).items():
            found[name] = found[name][:, list(order)]
        return found

    def in_their_order(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors by gcseg's names with their input channels in the framework's order."""
        found = dict(tensors)
        for name, order in self._orders(tensors).items():
            found[name] = found[name][:, torch.tensor(list(order)).argsort()]
        return found

    def _orders(self, tensors: Mapping[str, Tensor]) -> Orders:
        """Return the orders of the convolutions whose input channels differ in order."""
        if self.orders is None:
            return {}
        found = self.orders({name: tensor.shape for name, tensor in tensors.items()})
        return {
            name: order
            for name, order in found.items()
            if name in tensors and tensors[name].shape[1:2] == (len(order),)
        }


def matches(pattern: str, name: str) -> bool:
    """Return whether the name of a module fits a pattern of a row."""
    return _parse(pattern, name) is not None


def _swapped(rows: Rows) -> Rows:
    return [(right, left) for left, right in rows]


def _translate(key: str, modules: Rows, leaves: Rows) -> str | None:
    module, _, leaf = key.rpartition(".")
    new_leaf = dict(leaves).get(leaf)
    if new_leaf is None:
        return None
    for pattern, replacement in modules:
        numbers = _parse(pattern, module)
        if numbers is not None:
            return f"{_fill(replacement, numbers)}.{new_leaf}"
    return None


@cache
def _compile(pattern: str) -> tuple[re.Pattern[str], list[tuple[str, int]]]:
    """Turn a pattern into a regular expression and the words and offsets of its groups."""
    # re.split leaves literal text, word, offset, literal text, word, offset, ..., literal text
    parts = _FIELD.split(pattern)
    expression = r"([0-9]{1,4})".join(re.escape(literal) for literal in parts[::3])
    offsets = [int(offset or 0) for offset in parts[2::3]]
    return re.compile(expression), list(zip(parts[1::3], offsets, strict=True))


def _parse(pattern: str, text: str) -> dict[str, int] | None:
    """Read the numbers of a pattern from a text; `None` if it does not match."""
    expression, fields = _compile(pattern)
    match = expression.fullmatch(text)
    if match is None:
        return None
    numbers = {
        word: int(digits) - offset
        for (word, offset), digits in zip(fields, match.groups(), strict=True)
    }
    return numbers if min(numbers.values(), default=0) >= 0 else None


def _fill(pattern: str, numbers: dict[str, int]) -> str:
    """Put numbers into a pattern."""
    return _FIELD.sub(lambda m: str(numbers[m["word"]] + int(m["offset"] or 0)), pattern)


def under(theirs: str, ours: str, rows: Rows) -> Rows:
    """Return the rows with a prefix on either side."""
    return [(theirs + left, ours + right) for left, right in rows]


TORCH_LEAVES: Rows = [
    (leaf, leaf)
    for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
]

OUR_LEAVES: Rows = [*TORCH_LEAVES, ("gamma", "gamma")]
"""gcseg's own: factors of attentions have one name more."""

MMSEG_LEAVES: Rows = [*TORCH_LEAVES, ("scale", "gamma")]

PADDLE_LEAVES: Rows = [
    ("weight", "weight"),
    ("bias", "bias"),
    ("_mean", "running_mean"),
    ("_variance", "running_var"),
    ("gamma", "gamma"),
    # Paddle does not count batches: our num_batches_tracked has no name there.
]


# Context blocks. In residual blocks, theirs are the plugins of mmsegmentation and mmdetection at
# the position after_conv3; ours at other positions have no name there.
GLOBAL_CONTEXT_ROWS: Rows = [
    (name, name) for name in ("conv_mask", "channel_add_conv.{n}", "channel_mul_conv.{n}")
]
NON_LOCAL_ROWS: Rows = [
    *((f"{name}.conv", name) for name in ("g", "theta", "phi", "concat_project")),
    ("conv_out.conv", "conv_out.0"),
    ("conv_out.bn", "conv_out.1"),
    ("conv_mask", "conv_mask"),
]
BLOCK_ROWS: Rows = [
    (ours, ours)
    for ours in (
        *(name for _, name in (*GLOBAL_CONTEXT_ROWS, *NON_LOCAL_ROWS)),
        *("conv_value", "conv1", "conv2"),  # of blocks that no other framework's network has
    )
]
"""The modules of all context blocks, by gcseg's names."""
