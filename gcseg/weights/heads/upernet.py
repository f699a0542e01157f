"""The head upernet in files of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from gcseg.weights.heads.known import (
    KnownHead,
    Mmseg,
    Node,
    PaddleSeg,
    Said,
    channels_of,
    conv_rows,
    paddle_auxiliary_rows,
    paddle_conv_rows,
    refuse_unless,
    with_bias,
)
from gcseg.weights.heads.pooling import (
    UNSEEN,
    pooled_channels,
    pooling_settings,
    reversed_maps,
)
from gcseg.weights.names import Shapes

_POOLING, _JOINING = "head.pooling", "head.top.0"


def _settings(shapes: Shapes, said: Said) -> Node:
    return {
        "name": "upernet",
        "channels": channels_of(shapes, "head.fuse.0"),
        **pooling_settings(shapes, _POOLING, _JOINING, said.get("bins")),
        "conv_bias": with_bias(shapes, "head.fuse.0"),
    }


def _mmseg(head: Mapping[str, Any], channels: Sequence[int]) -> Node:
    inner, corners = head["inner_align_corners"], head["align_corners"]
    refuse_unless("mmsegmentation", "head.inner_align_corners", inner in (None, corners), True)
    pooled = pooled_channels(head, channels[3])
    refuse_unless("mmsegmentation", "head.pooled_channels", pooled, head["channels"])
    return {
        "type": "UPerHead",
        "in_channels": list(channels),
        "in_index": [0, 1, 2, 3],
        "pool_scales": tuple(head["bins"]),
    }


def _paddleseg(head: Mapping[str, Any]) -> Node:
    inner = head["inner_align_corners"]
    inner = head["align_corners"] if inner is None else inner
    refuse_unless("PaddleSeg", "head.inner_align_corners", inner, True)
    refuse_unless("PaddleSeg", "head.bins", head["bins"], [1, 2, 3, 6])
    refuse_unless("PaddleSeg", "head.pooled_channels", head["pooled_channels"], None)
    return {"backbone_indices": (0, 1, 2, 3), "channels": head["channels"]}


def _idle(head: Mapping[str, Any], num_classes: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of PaddleSeg's layers after the feature pyramid that nothing calls."""
    channels = head["channels"]
    norm = ("weight", "bias", "_mean", "_variance")
    return {
        "conv_last.0._conv.weight": (channels, 4 * channels, 3, 3),
        **{f"conv_last.0._batch_norm.{leaf}": (channels,) for leaf in norm},
        "conv_last.1.weight": (num_classes, channels, 1, 1),
        "conv_last.1.bias": (num_classes,),
    }


UPERNET = KnownHead(
    titles={"upernet": "UPerNet"},
    mark="laterals.0.0",
    telling=("pooling.projections.0.0", "top.0", "fuse.0"),
    settings=_settings,
    unseen={
        **UNSEEN,
        "inner_align_corners": (
            lambda value: value is None or type(value) is bool, "true, false or null",
        ),
    },
    mmseg={
        "upernet": Mmseg(
            "UPerNet",
            [
                *conv_rows("psp_modules.{n}.1", "pooling.projections.{n}"),
                *conv_rows("bottleneck", "top"),
                *conv_rows("lateral_convs.{n}", "laterals.{n}"),
                *conv_rows("fpn_convs.{n}", "refine.{n}"),
                *conv_rows("fpn_bottleneck", "fuse"),
                ("conv_seg", "classifier"),
            ],
            _mmseg,
        )
    },
    paddleseg=(PaddleSeg(
        "UPerNet",
        [
            *paddle_conv_rows("ppm.stages.{n}.1", "pooling.projections.{n}"),
            *paddle_conv_rows("ppm.conv_bn_relu2", "top"),
            *paddle_conv_rows("lateral_convs.{n}", "laterals.{n}"),
            *paddle_conv_rows("fpn_convs.{n}", "refine.{n}"),
            *paddle_conv_rows("fpn_bottleneck", "fuse"),
            ("conv_seg", "classifier"),
        ],
        _paddleseg,
        auxiliary_rows=paddle_auxiliary_rows("aux_head"),
        auxiliary_divisor=1,
        without_bias=("head.refine.{n}",),
        unused=("conv_last.0._conv", "conv_last.0._batch_norm", "conv_last.1"),
        idle=_idle,
        implies={"inner_align_corners": True},
        orders=partial(reversed_maps, pooling=_POOLING, joining=_JOINING),
    ),),
)  # fmt: skip
