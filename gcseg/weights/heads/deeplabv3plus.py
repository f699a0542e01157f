"""The head deeplabv3plus in files of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gcseg.errors import WeightsError
from gcseg.models.heads.deeplabv3plus import DILATIONS
from gcseg.weights.heads.known import (
    SWITCH,
    KnownHead,
    Mmseg,
    Node,
    PaddleSeg,
    Said,
    channels_of,
    conv_rows,
    paddle_conv_rows,
    refuse_unless,
    whole_numbers,
    with_bias,
)
from gcseg.weights.names import Orders, Rows, Shapes
from gcseg.weights.records import REMEDY


def _settings(shapes: Shapes, said: Said) -> Node:
    kernel = shapes.get("head.pyramid.0.weight", (1,))[-1]
    return {
        "name": "deeplabv3plus",
        "channels": channels_of(shapes, "head.image_pool.0"),
        "low_channels": channels_of(shapes, "head.low.0"),
        "dilations": _dilations(shapes, said.get("dilations")),
        "pyramid_kernel": kernel if kernel in (1, 3) else 1,
        "conv_bias": with_bias(shapes, "head.low.0"),
    }


def _dilations(shapes: Shapes, recorded: object) -> list[int]:
    """Return the dilations: the recorded ones, or those of published networks of output stride 8.

    The weights only show which branches are dilated: these have a depthwise convolution.

    Raises:
        WeightsError: If the file records none, and no published network has such branches.
    """
    dilated: list[bool] = []
    while True:
        branch = f"head.branches.{len(dilated)}"
        if f"{branch}.0.0.weight" not in shapes and f"{branch}.0.weight" not in shapes:
            break
        dilated.append(f"{branch}.0.0.weight" in shapes)
    for dilations in (recorded, DILATIONS):
        if isinstance(dilations, list | tuple) and [d != 1 for d in dilations] == dilated:
            return list(dilations)
    raise WeightsError(
        f"the head has {len(dilated)} branches, and the file does not say their dilations", REMEDY
    )


def _mmseg(head: Mapping[str, Any], channels: Sequence[int]) -> Node:
    refuse_unless("mmsegmentation", "head.pyramid_kernel", head["pyramid_kernel"], 3)
    refuse_unless("mmsegmentation", "head.depthwise_relu", head["depthwise_relu"], True)
    return {
        "type": "DepthwiseSeparableASPPHead",
        "dilations": tuple(head["dilations"]),
        "c1_in_channels": channels[0],
        "c1_channels": head["low_channels"],
    }


def _paddleseg(head: Mapping[str, Any]) -> Node:
    for setting, only in (("channels", 256), ("low_channels", 48), ("pyramid_kernel", 1)):
        refuse_unless("PaddleSeg", f"head.{setting}", head[setting], only)
    return {"aspp_ratios": tuple(head["dilations"])}


def _separable(theirs: str, ours: str) -> Rows:
    """Return mmsegmentation's rows of a depthwise convolution and a 1x1 convolution."""
    return [
        *conv_rows(f"{theirs}.depthwise_conv", f"{ours}.0"),
        *conv_rows(f"{theirs}.pointwise_conv", f"{ours}.1"),
    ]


def _paddle_separable(theirs: str, ours: str) -> Rows:
    return [
        *paddle_conv_rows(f"{theirs}.depthwise_conv", f"{ours}.0"),
        *paddle_conv_rows(f"{theirs}.piontwise_conv", f"{ours}.1"),  # spelled so there
    ]


def _orders(shapes: Shapes) -> Orders:
    """Return the order in which PaddleSeg joins the pyramid: the mean over the image comes last."""
    out, joined = (*shapes.get("head.pyramid.0.weight", ()), 0, 0)[:2]
    return {"head.pyramid.0.weight": [*range(joined - out, joined), *range(joined - out)]}


DEEPLABV3PLUS = KnownHead(
    titles={"deeplabv3plus": "DeepLabV3+"},
    mark="low.0",
    telling=("image_pool.0", "pyramid.0"),
    settings=_settings,
    unseen={"dilations": whole_numbers(1, 256), "depthwise_relu": SWITCH},
    mmseg={
        "deeplabv3plus": Mmseg(
            "DeepLabV3+",
            [
                *conv_rows("image_pool.1", "image_pool"),
                *_separable("aspp_modules.{n}", "branches.{n}"),
                *conv_rows("aspp_modules.{n}", "branches.{n}"),
                *conv_rows("bottleneck", "pyramid"),
                *conv_rows("c1_bottleneck", "low"),
                *_separable("sep_bottleneck.{n}", "decoder.{n}"),
                ("conv_seg", "classifier"),
            ],
            _mmseg,
            implies={"depthwise_relu": True},
        )
    },
    paddleseg=(
        PaddleSeg(
            "DeepLabV3P",
            [
                *paddle_conv_rows("aspp.global_avg_pool.1", "image_pool"),
                *_paddle_separable("aspp.aspp_blocks.{n}", "branches.{n}"),
                *paddle_conv_rows("aspp.aspp_blocks.{n}", "branches.{n}"),
                *paddle_conv_rows("aspp.conv_bn_relu", "pyramid"),
                *paddle_conv_rows("decoder.conv_bn_relu1", "low"),
                *_paddle_separable("decoder.conv_bn_relu{n+2}", "decoder.{n}"),
                ("decoder.conv", "classifier"),
            ],
            _paddleseg,
            without_bias=("head.image_pool",),
            implies={"depthwise_relu": False},
            orders=_orders,
        ),
    ),
)
