"""Other frameworks' names of the parameters of gcseg's networks, as tables for both directions.

A row pairs two patterns, theirs and ours. `{word}` stands for a number that both sides share, and
`{word+1}` for that number plus one, as where one side counts from 0 and the other from 1:

    "bb_{stage}_{block}.short._conv"  <->  "layer{stage+1}.{block}.downsample.1"

The number itself is never negative: `{block+7}` stands for 7 and more.

Rows name modules; the last part of a name (`weight`, `running_mean`) has a separate table.
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
    """Translation between one framework's parameter names and gcseg's.

    Args:
        source: Framework and network, for messages.
        modules: Rows of their module and ours; the first match counts.
        leaves: Rows of the last part of a name, theirs and ours.
        variants: ResNets (see `gcseg.models.resnets.VARIANTS`) that have these names there, the
            usual one first.
        unused: Their modules that gcseg's networks do not have, such as ImageNet's classifier.
    """

    source: str
    modules: Rows
    leaves: Rows
    variants: tuple[str, ...]
    unused: tuple[str, ...] = ()

    def to_ours(self, key: str) -> str | None:
        """Translate their name of a parameter or buffer; `None` if it is not theirs."""
        return _translate(key, self.modules, self.leaves)

    def to_theirs(self, key: str) -> str | None:
        """Translate our name of a parameter or buffer; `None` if they have none for it."""
        return _translate(key, _swapped(self.modules), _swapped(self.leaves))

    def ignores(self, key: str) -> bool:
        """Return whether a name is theirs, of a parameter that gcseg's networks do not have."""
        return key.rpartition(".")[0] in self.unused


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


def _under(theirs: str, ours: str, rows: Rows) -> Rows:
    """Return the rows with a prefix on either side."""
    return [(theirs + left, ours + right) for left, right in rows]


# ------------------------------------------------------------------------- what frameworks share

TORCH_LEAVES: Rows = [
    (leaf, leaf)
    for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
]

PADDLE_LEAVES: Rows = [
    ("weight", "weight"),
    ("bias", "bias"),
    ("_mean", "running_mean"),
    ("_variance", "running_var"),
    # Paddle does not count batches: our num_batches_tracked has no name there.
]

# ------------------------------------------------------------------------------------- backbones

PADDLE_RESNET_VD_ROWS: Rows = [
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


def _paddleclas_rows(blocks: tuple[int, int, int, int]) -> Rows:
    """Return PaddleClas's rows: it numbers blocks through all stages; `blocks` counts each's."""
    rows = [
        ("stem.0.conv", "stem.0"),
        ("stem.0.bn", "stem.1"),
        ("stem.1.conv", "stem.3"),
        ("stem.1.bn", "stem.4"),
        ("stem.2.conv", "stem.6"),
        ("stem.2.bn", "stem.7"),
    ]
    for stage in (4, 3, 2, 1):  # the last first: each row matches all blocks from its first one on
        theirs = f"blocks.{{block+{sum(blocks[: stage - 1])}}}"
        ours = f"layer{stage}.{{block}}"
        rows += [
            (f"{theirs}.conv{{n}}.conv", f"{ours}.conv{{n+1}}"),
            (f"{theirs}.conv{{n}}.bn", f"{ours}.bn{{n+1}}"),
            (f"{theirs}.short.conv", f"{ours}.downsample.1"),
            (f"{theirs}.short.bn", f"{ours}.downsample.2"),
        ]
    return rows


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
_IN_BLOCK = "layer{stage}.{block}."

# torchvision's, which mmsegmentation, mmpretrain and timm kept
TORCH_BLOCK_ROWS: Rows = [
    *_under(f"{_IN_BLOCK}context_block.", f"{_IN_BLOCK}after_1x1.", GLOBAL_CONTEXT_ROWS),
    *_under(f"{_IN_BLOCK}nonlocal_block.", f"{_IN_BLOCK}after_1x1.", NON_LOCAL_ROWS[:-1]),
    ("layer{stage}.{block}.conv{n}", "layer{stage}.{block}.conv{n}"),
    ("layer{stage}.{block}.bn{n}", "layer{stage}.{block}.bn{n}"),
    ("layer{stage}.{block}.downsample.{n}", "layer{stage}.{block}.downsample.{n}"),
]

TORCH_RESNET_ROWS: Rows = [
    ("conv1", "stem.0"),
    ("bn1", "stem.1"),
    *TORCH_BLOCK_ROWS,
]

MMSEG_DEEP_STEM_ROWS: Rows = [
    ("stem.{n}", "stem.{n}"),
    *TORCH_BLOCK_ROWS,
]

TIMM_RESNET_D_ROWS: Rows = [
    ("conv1.0", "stem.0"),
    ("conv1.1", "stem.1"),
    ("conv1.3", "stem.3"),
    ("conv1.4", "stem.4"),
    ("conv1.6", "stem.6"),
    ("bn1", "stem.7"),
    *TORCH_BLOCK_ROWS,
]


def _anywhere(rows: Rows) -> Rows:
    """Return a backbone's rows for names without and with a network's prefix."""
    return [*_under("", "backbone.", rows), *_under("backbone.", "backbone.", rows)]


PADDLE_RESNET_VD = KeyMap(
    source="PaddleSeg's ResNet-vd",
    modules=_anywhere(PADDLE_RESNET_VD_ROWS),
    leaves=PADDLE_LEAVES,
    variants=("vd",),
    unused=("out", "fc"),
)

PADDLECLAS_RESNET_VD = tuple(
    KeyMap(
        source=f"PaddleClas's {name}",
        modules=_anywhere(_paddleclas_rows(blocks)),
        leaves=PADDLE_LEAVES,
        variants=("vd",),
        unused=("fc",),
    )
    for name, blocks in (
        ("ResNet18-vd", (2, 2, 2, 2)),
        ("ResNet34-vd or ResNet50-vd", (3, 4, 6, 3)),
        ("ResNet101-vd", (3, 4, 23, 3)),
        ("ResNet152-vd", (3, 8, 36, 3)),
    )
)

MMPRETRAIN_RESNET = KeyMap(
    source="mmpretrain's ResNetV1c or ResNetV1d",
    modules=_anywhere(MMSEG_DEEP_STEM_ROWS),
    leaves=TORCH_LEAVES,
    variants=("v1c", "v1d"),
    unused=("fc", "head.fc"),
)

TORCH_RESNET = KeyMap(
    source="torchvision's ResNet",
    modules=_anywhere(TORCH_RESNET_ROWS),
    leaves=TORCH_LEAVES,
    variants=("v1b",),
    unused=("fc", "head.fc"),
)

TIMM_RESNET_D = KeyMap(
    source="timm's ResNet-D",
    modules=_anywhere(TIMM_RESNET_D_ROWS),
    leaves=TORCH_LEAVES,
    variants=("d",),
    unused=("fc",),
)

# -------------------------------------------------------------------------------- whole networks

PADDLESEG_GCNET = KeyMap(
    source="PaddleSeg's GCNet",
    modules=[
        *_under("backbone.", "backbone.", PADDLE_RESNET_VD_ROWS),
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
    variants=("vd",),
)

MMSEG_HEAD_ROWS: Rows = [
    ("decode_head.convs.0.conv", "head.conv_in.0"),
    ("decode_head.convs.0.bn", "head.conv_in.1"),
    ("decode_head.convs.1.conv", "head.conv_out.0"),
    ("decode_head.convs.1.bn", "head.conv_out.1"),
    ("decode_head.conv_cat.conv", "head.conv_cat.0"),
    ("decode_head.conv_cat.bn", "head.conv_cat.1"),
    ("decode_head.conv_seg", "head.classifier"),
    ("auxiliary_head.convs.0.conv", "auxiliary_head.conv.0"),
    ("auxiliary_head.convs.0.bn", "auxiliary_head.conv.1"),
    ("auxiliary_head.conv_seg", "auxiliary_head.classifier"),
]


def _mmseg(network: str, block: Rows) -> tuple[KeyMap, KeyMap]:
    """Return the names of mmsegmentation's networks with a deep stem and with a plain ResNet.

    Args:
        network: Name of the networks.
        block: Rows of the head's context block.
    """
    head = [*MMSEG_HEAD_ROWS, *block]
    return (
        KeyMap(
            source=f"mmsegmentation's {network}",
            modules=[*_under("backbone.", "backbone.", MMSEG_DEEP_STEM_ROWS), *head],
            leaves=TORCH_LEAVES,
            variants=("v1c", "v1d", "vd"),
        ),
        KeyMap(
            source=f"mmsegmentation's {network} with a plain ResNet",
            modules=[*_under("backbone.", "backbone.", TORCH_RESNET_ROWS), *head],
            leaves=TORCH_LEAVES,
            variants=("v1b",),
        ),
    )


MMSEG_GCNET, MMSEG_GCNET_V1B = _mmseg(
    "GCNet", _under("decode_head.gc_block.", "head.context.", GLOBAL_CONTEXT_ROWS)
)
MMSEG_NON_LOCAL, MMSEG_NON_LOCAL_V1B = _mmseg(
    "non-local network", _under("decode_head.nl_block.", "head.context.", NON_LOCAL_ROWS)
)
MMSEG_DNL, MMSEG_DNL_V1B = _mmseg(
    "DNLNet", _under("decode_head.dnl_block.", "head.context.", NON_LOCAL_ROWS)
)

MMSEG_NETWORKS = {
    "gc": (MMSEG_GCNET, MMSEG_GCNET_V1B),
    "nl": (MMSEG_NON_LOCAL, MMSEG_NON_LOCAL_V1B),
    "dnl": (MMSEG_DNL, MMSEG_DNL_V1B),
}
"""Names of mmsegmentation's networks by context block, with a deep stem and with a plain ResNet."""

_BLOCK_ROWS: Rows = [
    (ours, ours)
    for ours in (
        *(name for _, name in (*GLOBAL_CONTEXT_ROWS, *NON_LOCAL_ROWS)),
        *("conv_value", "conv1", "conv2"),  # of blocks that no other framework's network has
    )
]
_PLACES = (
    "head.context.",
    *(f"backbone.{_IN_BLOCK}{position}." for position in ("after_3x3", "after_1x1", "after_add")),
)
"""Places of context blocks in gcseg's networks."""

# Our names are those on the right; apart from some blocks, mmsegmentation's networks have them all.
OURS = KeyMap(
    source="gcseg",
    modules=[
        *((ours, ours) for keys, _ in MMSEG_NETWORKS.values() for _, ours in keys.modules),
        *(row for place in _PLACES for row in _under(place, place, _BLOCK_ROWS)),
    ],
    leaves=TORCH_LEAVES,
    variants=("vd", "v1c", "v1b", "d", "v1d"),
)

KEY_MAPS = (
    PADDLESEG_GCNET,
    *(keys for both in MMSEG_NETWORKS.values() for keys in both),
    PADDLE_RESNET_VD,
    *PADDLECLAS_RESNET_VD,
    MMPRETRAIN_RESNET,
    TORCH_RESNET,
    TIMM_RESNET_D,
)
