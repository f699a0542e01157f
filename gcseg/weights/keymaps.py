"""How other frameworks name the parameters of our networks, as tables that read both ways.

A row pairs two patterns, theirs and ours. `{word}` stands for a number that both sides share, and
`{word+1}` for that number plus one, as where one side counts from 0 and the other from 1:

    "bb_{stage}_{block}.short._conv"  <->  "layer{stage+1}.{block}.downsample.1"

Rows name modules; the last part of a name (`weight`, `running_mean`) has a table of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

Rows = Sequence[tuple[str, str]]

_FIELD = re.compile(r"\{(?P<word>[a-z]+)(?:\+(?P<offset>\d+))?\}")


@dataclass(frozen=True)
class KeyMap:
    """The names of one framework's parameters beside ours.

    Args:
        source: The framework and network, for messages.
        modules: Rows of their module and our module; the first that matches counts.
        leaves: Rows of their and our last part of a name.
    """

    source: str
    modules: Rows
    leaves: Rows

    def to_ours(self, key: str) -> str | None:
        """Translate their name of a parameter or buffer; `None` if it is none of theirs."""
        return _translate(key, self.modules, self.leaves)

    def to_theirs(self, key: str) -> str | None:
        """Translate our name of a parameter or buffer; `None` if they have none for it."""
        return _translate(key, _swapped(self.modules), _swapped(self.leaves))


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
    expression = r"(\d+)".join(re.escape(literal) for literal in parts[::3])
    offsets = [int(offset or 0) for offset in parts[2::3]]
    return re.compile(expression), list(zip(parts[1::3], offsets, strict=True))


def _parse(pattern: str, text: str) -> dict[str, int] | None:
    """Read the numbers of a pattern from a text; `None` if it does not match."""
    expression, fields = _compile(pattern)
    match = expression.fullmatch(text)
    if match is None:
        return None
    return {
        word: int(digits) - offset
        for (word, offset), digits in zip(fields, match.groups(), strict=True)
    }


def _fill(pattern: str, numbers: dict[str, int]) -> str:
    """Put numbers into a pattern."""
    return _FIELD.sub(lambda m: str(numbers[m["word"]] + int(m["offset"] or 0)), pattern)


def _under(theirs: str, ours: str, rows: Rows) -> Rows:
    """The rows with a prefix on either side."""
    return [(theirs + left, ours + right) for left, right in rows]


# ---------------------------------------------------------------------------------- PaddlePaddle

PADDLE_LEAVES: Rows = [
    ("weight", "weight"),
    ("bias", "bias"),
    ("_mean", "running_mean"),
    ("_variance", "running_var"),
    # Paddle does not count batches: our num_batches_tracked has no name there.
]

PADDLE_RESNET_VD: Rows = [
    ("conv1_1._conv", "stem.0"),
    ("conv1_1._batch_norm", "stem.1"),
    ("conv1_2._conv", "stem.3"),
    ("conv1_2._batch_norm", "stem.4"),
    ("conv1_3._conv", "stem.6"),
    ("conv1_3._batch_norm", "stem.7"),
    ("bb_{stage}_{block}.conv{n}._conv", "layer{stage+1}.{block}.conv{n+1}"),
    ("bb_{stage}_{block}.conv{n}._batch_norm", "layer{stage+1}.{block}.bn{n+1}"),
    # downsample.0 is the average pool, or nothing, before the shortcut's convolution
    ("bb_{stage}_{block}.short._conv", "layer{stage+1}.{block}.downsample.1"),
    ("bb_{stage}_{block}.short._batch_norm", "layer{stage+1}.{block}.downsample.2"),
]

PADDLESEG_GCNET = KeyMap(
    source="PaddleSeg's GCNet",
    modules=[
        *_under("backbone.", "backbone.", PADDLE_RESNET_VD),
        ("head.conv_bn_relu1._conv", "head.conv_in.0"),
        ("head.conv_bn_relu1._batch_norm", "head.conv_in.1"),
        ("head.gc_block.conv_mask", "head.context.conv_mask"),
        ("head.gc_block.channel_add_conv.{n}", "head.context.channel_add_conv.{n}"),
        ("head.conv_bn_relu2._conv", "head.conv_out.0"),
        ("head.conv_bn_relu2._batch_norm", "head.conv_out.1"),
        ("head.conv_bn_relu3._conv", "head.conv_cat.0"),
        ("head.conv_bn_relu3._batch_norm", "head.conv_cat.1"),
        ("head.conv", "head.classifier"),
        ("head.auxlayer.conv_bn_relu._conv", "auxiliary_head.conv.0"),
        ("head.auxlayer.conv_bn_relu._batch_norm", "auxiliary_head.conv.1"),
        ("head.auxlayer.conv", "auxiliary_head.classifier"),
    ],
    leaves=PADDLE_LEAVES,
)

# -------------------------------------------------------------------------------- mmsegmentation

TORCH_LEAVES: Rows = [
    (leaf, leaf)
    for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
]

MMSEG_RESNET_V1C: Rows = [
    ("stem.{n}", "stem.{n}"),
    ("layer{stage}.{block}.conv{n}", "layer{stage}.{block}.conv{n}"),
    ("layer{stage}.{block}.bn{n}", "layer{stage}.{block}.bn{n}"),
    ("layer{stage}.{block}.downsample.{n}", "layer{stage}.{block}.downsample.{n}"),
]

MMSEG_GCNET = KeyMap(
    source="mmsegmentation's GCNet",
    modules=[
        *_under("backbone.", "backbone.", MMSEG_RESNET_V1C),
        ("decode_head.convs.0.conv", "head.conv_in.0"),
        ("decode_head.convs.0.bn", "head.conv_in.1"),
        ("decode_head.gc_block.conv_mask", "head.context.conv_mask"),
        ("decode_head.gc_block.channel_add_conv.{n}", "head.context.channel_add_conv.{n}"),
        ("decode_head.gc_block.channel_mul_conv.{n}", "head.context.channel_mul_conv.{n}"),
        ("decode_head.convs.1.conv", "head.conv_out.0"),
        ("decode_head.convs.1.bn", "head.conv_out.1"),
        ("decode_head.conv_cat.conv", "head.conv_cat.0"),
        ("decode_head.conv_cat.bn", "head.conv_cat.1"),
        ("decode_head.conv_seg", "head.classifier"),
        ("auxiliary_head.convs.0.conv", "auxiliary_head.conv.0"),
        ("auxiliary_head.convs.0.bn", "auxiliary_head.conv.1"),
        ("auxiliary_head.conv_seg", "auxiliary_head.classifier"),
    ],
    leaves=TORCH_LEAVES,
)

KEY_MAPS = (PADDLESEG_GCNET, MMSEG_GCNET)
