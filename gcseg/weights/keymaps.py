"""Other frameworks' names of the parameters of gcseg's networks.

Those of heads are in `gcseg.weights.heads`.
"""

from __future__ import annotations

from gcseg.weights.heads import KNOWN_HEADS
from gcseg.weights.heads.known import Mmseg, PaddleSeg
from gcseg.weights.names import (
    BLOCK_ROWS,
    GLOBAL_CONTEXT_ROWS,
    MMSEG_LEAVES,
    NON_LOCAL_ROWS,
    OUR_LEAVES,
    PADDLE_LEAVES,
    TORCH_LEAVES,
    KeyMap,
    Rows,
    under,
)

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


_IN_BLOCK = "layer{stage}.{block}."

# torchvision's, which mmsegmentation, mmpretrain and timm kept
TORCH_BLOCK_ROWS: Rows = [
    *under(f"{_IN_BLOCK}context_block.", f"{_IN_BLOCK}after_1x1.", GLOBAL_CONTEXT_ROWS),
    *under(f"{_IN_BLOCK}nonlocal_block.", f"{_IN_BLOCK}after_1x1.", NON_LOCAL_ROWS[:-1]),
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
    return [*under("", "backbone.", rows), *under("backbone.", "backbone.", rows)]


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

_MMSEG_AUXILIARY: Rows = [
    ("convs.0.conv", "conv.0"),
    ("convs.0.bn", "conv.1"),
    ("conv_seg", "classifier"),
]


def _mmseg(head: Mmseg) -> tuple[KeyMap, KeyMap]:
    """Return the names of mmsegmentation's networks with a deep stem and with a plain ResNet."""
    main, auxiliary = (
        ("decode_head.1.", "decode_head.0.")
        if head.cascade
        else ("decode_head.", "auxiliary_head.")
    )
    heads = [
        *under(main, "head.", head.rows),
        *under(auxiliary, "auxiliary_head.", _MMSEG_AUXILIARY),
    ]
    return (
        KeyMap(
            source=f"mmsegmentation's {head.network}",
            modules=[*under("backbone.", "backbone.", MMSEG_DEEP_STEM_ROWS), *heads],
            leaves=MMSEG_LEAVES,
            variants=("v1c", "v1d", "vd"),
            implies=head.implies,
        ),
        KeyMap(
            source=f"mmsegmentation's {head.network} with a plain ResNet",
            modules=[*under("backbone.", "backbone.", TORCH_RESNET_ROWS), *heads],
            leaves=MMSEG_LEAVES,
            variants=("v1b",),
            implies=head.implies,
        ),
    )


def _paddleseg(network: PaddleSeg) -> KeyMap:
    return KeyMap(
        source=f"PaddleSeg's {network.network}",
        modules=[
            *under("backbone.", "backbone.", PADDLE_RESNET_VD_ROWS),
            *under("head.", "head.", network.rows),
            *under(network.auxiliary_at, "auxiliary_head.", network.auxiliary_rows),
        ],
        leaves=PADDLE_LEAVES,
        variants=("vd",),
        unused=tuple(f"head.{module}" for module in network.unused),
        implies=network.implies,
        orders=network.orders,
    )


MMSEG_NETWORKS = {name: _mmseg(head) for known in KNOWN_HEADS for name, head in known.mmseg.items()}
"""Names of mmsegmentation's networks by a short name, with a deep stem and with a plain ResNet."""

PADDLESEG_NETWORKS = {
    network.network: _paddleseg(network) for known in KNOWN_HEADS for network in known.paddleseg
}
"""Names of PaddleSeg's networks by their class."""

MMSEG_GCNET, MMSEG_GCNET_V1B = MMSEG_NETWORKS["gc"]
PADDLESEG_GCNET = PADDLESEG_NETWORKS["GCNet"]

_OUR_HEADS = dict.fromkeys(
    ours
    for known in KNOWN_HEADS
    for _, ours in (
        *(row for head in known.mmseg.values() for row in head.rows),
        *(row for network in known.paddleseg for row in network.rows),
        *known.own_rows,
    )
)
"""The modules of all heads by gcseg's names, each once."""
_PLACES = tuple(
    f"backbone.{_IN_BLOCK}{position}." for position in ("after_3x3", "after_1x1", "after_add")
)
"""Places of context blocks in the backbone."""

OURS = KeyMap(
    source="gcseg",
    modules=[
        *((f"backbone.{ours}", f"backbone.{ours}") for _, ours in MMSEG_DEEP_STEM_ROWS),
        *((f"head.{ours}", f"head.{ours}") for ours in _OUR_HEADS),
        *((f"auxiliary_head.{ours}", f"auxiliary_head.{ours}") for _, ours in _MMSEG_AUXILIARY),
        *(row for place in _PLACES for row in under(place, place, BLOCK_ROWS)),
    ],
    leaves=OUR_LEAVES,
    variants=("vd", "v1c", "v1b", "d", "v1d"),
)

KEY_MAPS = (
    *PADDLESEG_NETWORKS.values(),
    *(keys for both in MMSEG_NETWORKS.values() for keys in both),
    PADDLE_RESNET_VD,
    *PADDLECLAS_RESNET_VD,
    MMPRETRAIN_RESNET,
    TORCH_RESNET,
    TIMM_RESNET_D,
)
