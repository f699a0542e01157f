"""The head ccnet in files of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gcseg.errors import WeightsError
from gcseg.weights.heads.known import (
    KnownHead,
    Mmseg,
    Node,
    PaddleSeg,
    Said,
    channels_of,
    conv_rows,
    paddle_conv_rows,
    with_bias,
)
from gcseg.weights.names import Rows, Shapes

_PADDLESEG_CHANNELS = 512
"""Channels of PaddleSeg's last convolution; those before it have a quarter of the features'."""


def _settings(shapes: Shapes, _: Said) -> Node:
    return {
        "name": "ccnet",
        "channels": channels_of(shapes, "head.conv_in.0"),
        "conv_bias": with_bias(shapes, "head.conv_cat.0"),
    }


def _attention_rows(names: Sequence[str], gamma: str) -> Rows:
    """Return the rows of the attention.

    Args:
        names: Their names of queries, keys and values.
        gamma: Their module of the factor.
    """
    ours = ("query", "key", "value")
    pairs = zip(names, ours, strict=True)
    return [
        *((f"cca.{left}_conv", f"context.{right}") for left, right in pairs),
        (gamma, "context"),
    ]


def _mmseg(head: Mapping[str, Any], _: Sequence[int]) -> Node:
    return {"type": "CCHead", "recurrence": head["recurrence"]}


def _paddleseg(head: Mapping[str, Any]) -> Node:
    return {"recurrence": head["recurrence"], "dropout_prob": head["dropout"]}


def _sizes(features: int) -> Mapping[str, Any]:
    if features // 4 != _PADDLESEG_CHANNELS:
        raise WeightsError(
            f"PaddleSeg's CCNet has other sizes with a backbone of {features} channels",
            "convert r50, r101 or r152, or to another format",
        )
    return {"channels": _PADDLESEG_CHANNELS}


CCNET = KnownHead(
    titles={"ccnet": "CCNet"},
    mark="context.query",
    telling=("conv_in.0", "context.value"),
    settings=_settings,
    unseen={
        "recurrence": (
            lambda value: type(value) is int and 1 <= value <= 16,
            "a whole number from 1 to 16",
        ),
        "negative_slope": (
            lambda value: type(value) in (int, float) and 0 <= value < 1,
            "a fraction",
        ),
    },
    mmseg={
        "ccnet": Mmseg(
            "CCNet",
            [
                *conv_rows("convs.0", "conv_in"),
                *_attention_rows(("query", "key", "value"), "cca.gamma"),
                *conv_rows("convs.1", "conv_out"),
                *conv_rows("conv_cat", "conv_cat"),
                ("conv_seg", "classifier"),
            ],
            _mmseg,
            implies={"negative_slope": 0.0},
        )
    },
    paddleseg=(
        PaddleSeg(
            "CCNet",
            [
                *paddle_conv_rows("conva", "conv_in"),
                *_attention_rows(("q", "k", "v"), "cca"),
                *paddle_conv_rows("convb", "conv_out"),
                *paddle_conv_rows("out.conv_bn_relu", "conv_cat"),
                ("out.conv", "classifier"),
            ],
            _paddleseg,
            auxiliary_at="aux_head.",
            auxiliary_rows=[*paddle_conv_rows("conv_bn_relu", "conv"), ("conv", "classifier")],
            auxiliary_divisor=2,
            without_bias=("head.conv_in", "head.conv_out"),
            sizes=_sizes,
            implies={"negative_slope": 0.01},
        ),
    ),
)
