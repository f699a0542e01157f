"""The head psp in files of weights."""

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
from gcseg.weights.heads.pooling import UNSEEN, pooled_channels, pooling_settings, reversed_maps
from gcseg.weights.names import Shapes

_POOLING, _JOINING = "head.pyramid", "head.conv.0"


def _settings(shapes: Shapes, said: Said) -> Node:
    return {
        "name": "psp",
        "channels": channels_of(shapes, _JOINING),
        **pooling_settings(shapes, _POOLING, _JOINING, said.get("bins")),
        "conv_bias": with_bias(shapes, _JOINING),
    }


def _mmseg(head: Mapping[str, Any], channels: Sequence[int]) -> Node:
    pooled = pooled_channels(head, channels[3])
    refuse_unless("mmsegmentation", "head.pooled_channels", pooled, head["channels"])
    return {"type": "PSPHead", "pool_scales": tuple(head["bins"])}


def _paddleseg(head: Mapping[str, Any]) -> Node:
    return {"pp_out_channels": head["channels"], "bin_sizes": tuple(head["bins"])}


PSP = KnownHead(
    titles={"psp": "PSPNet"},
    mark="pyramid.projections.0.0",
    telling=("conv.0",),
    settings=_settings,
    unseen=UNSEEN,
    mmseg={
        "psp": Mmseg(
            "PSPNet",
            [
                *conv_rows("psp_modules.{n}.1", "pyramid.projections.{n}"),
                *conv_rows("bottleneck", "conv"),
                ("conv_seg", "classifier"),
            ],
            _mmseg,
        )
    },
    paddleseg=(
        PaddleSeg(
            "PSPNet",
            [
                *paddle_conv_rows("psp_module.stages.{n}.1", "pyramid.projections.{n}"),
                *paddle_conv_rows("psp_module.conv_bn_relu2", "conv"),
                ("conv", "classifier"),
            ],
            _paddleseg,
            auxiliary_rows=paddle_auxiliary_rows("auxlayer"),
            sizes=lambda _: {"pooled_channels": None},
            orders=partial(reversed_maps, pooling=_POOLING, joining=_JOINING),
        ),
    ),
)
