"""The heads fcn and gc in files of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gcseg.weights.context_blocks import context_block
from gcseg.weights.heads.known import (
    SWITCH,
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
from gcseg.weights.names import BLOCK_ROWS, GLOBAL_CONTEXT_ROWS, NON_LOCAL_ROWS, Rows, Shapes, under


def _settings(shapes: Shapes, said: Said) -> Node:
    channels = channels_of(shapes, "head.conv_in.0")
    common = {"channels": channels, "conv_bias": with_bias(shapes, "head.conv_in.0")}
    recorded = said.get("context")
    recorded = recorded if isinstance(recorded, Mapping) else {}
    block = context_block(shapes, "head.context.", channels, recorded)
    if block is None:
        return {"name": "fcn", **common}
    if block["name"] == "gc" and block["layer_norm"]:
        return {**{k: block[k] for k in ("ratio", "pooling", "fusion")}, "name": "gc", **common}
    return {"name": "fcn", **common, "context": block}


_MMSEG_ROWS: Rows = [
    *conv_rows("convs.0", "conv_in"),
    *conv_rows("convs.1", "conv_out"),
    *conv_rows("conv_cat", "conv_cat"),
    ("conv_seg", "classifier"),
]


def mmseg_global_context(block: Mapping[str, Any]) -> Node:
    """Return the settings of a global context block in mmsegmentation's configuration."""
    return {
        "ratio": block["ratio"],
        "pooling_type": {"attention": "att", "average": "avg"}[block["pooling"]],
        "fusion_types": tuple(
            {"add": "channel_add", "multiply": "channel_mul"}[fusion]
            for fusion in block["fusion"].split("+")
        ),
    }


def _mmseg_fcn_or_gc(head: Mapping[str, Any], _: Sequence[int]) -> Node:
    refuse_unless("mmsegmentation", "head.asymmetric", head.get("asymmetric", False), False)
    if head["name"] == "fcn":
        return {"type": "FCNHead", "num_convs": 2, "concat_input": True}
    return {"type": "GCHead", **mmseg_global_context(head)}


def _mmseg_non_local(head: Mapping[str, Any], _: Sequence[int]) -> Node:
    block = head["context"]
    refuse_unless("mmsegmentation", "head.asymmetric", head["asymmetric"], False)
    refuse_unless("mmsegmentation", "head.context.relu", block["relu"], False)
    settings = {
        "reduction": _reduction("mmsegmentation", head),
        "use_scale": block["scale"],
        "mode": block["pairwise"],
    }
    if block["name"] == "dnl":
        return {"type": "DNLHead", **settings, "temperature": block["temperature"]}
    return {"type": "NLHead", **settings}


def _reduction(framework: str, head: Mapping[str, Any]) -> int:
    """Return the whole number by which a non-local block divides its channels.

    Raises:
        WeightsError: If it is no whole number.
    """
    channels = head["channels"]
    hidden = int(channels * head["context"]["ratio"])
    reduction: int = channels // hidden
    divides = channels // max(reduction, 1) == hidden
    refuse_unless(framework, "channels divided by a whole number", divides, True)
    return reduction


def _block(head: Mapping[str, Any]) -> str:
    """Return the name of the context block that a head has besides its own."""
    return str(head.get("context", {"name": "none"})["name"])


def _paddleseg_gc(head: Mapping[str, Any]) -> Node:
    refuse_unless("PaddleSeg", "pooling", head["pooling"], "attention")
    refuse_unless("PaddleSeg", "fusion", head["fusion"], "add")
    return {"gc_channels": head["channels"], "ratio": head["ratio"]}


def _paddleseg_dnl(head: Mapping[str, Any]) -> Node:
    block = head["context"]
    return {
        "reduction": _reduction("PaddleSeg", head),
        "use_scale": block["scale"],
        "mode": block["pairwise"],
        "temperature": block["temperature"],
    }


FCN = KnownHead(
    titles={"fcn": "FCN", "gc": "GCNet"},
    mark="conv_in.0",
    telling=("context.channel_add_conv.0", "context.channel_mul_conv.0", "context.g",
             "context.conv1"),
    settings=_settings,
    own_rows=under("context.", "context.", BLOCK_ROWS),
    unseen={"asymmetric": SWITCH},
    mmseg={
        "gc": Mmseg(
            "GCNet",
            [*_MMSEG_ROWS, *under("gc_block.", "context.", GLOBAL_CONTEXT_ROWS)],
            _mmseg_fcn_or_gc,
            lambda head: _block(head) == "none",
        ),
        "nl": Mmseg(
            "non-local network",
            [*_MMSEG_ROWS, *under("nl_block.", "context.", NON_LOCAL_ROWS)],
            _mmseg_non_local,
            lambda head: _block(head) == "nl",
        ),
        "dnl": Mmseg(
            "DNLNet",
            [*_MMSEG_ROWS, *under("dnl_block.", "context.", NON_LOCAL_ROWS)],
            _mmseg_non_local,
            lambda head: _block(head) == "dnl",
        ),
    },
    paddleseg=(
        PaddleSeg(
            "GCNet",
            [
                *paddle_conv_rows("conv_bn_relu1", "conv_in"),
                ("gc_block.conv_mask", "context.conv_mask"),
                ("gc_block.channel_add_conv.{n}", "context.channel_add_conv.{n}"),
                *paddle_conv_rows("conv_bn_relu2", "conv_out"),
                *paddle_conv_rows("conv_bn_relu3", "conv_cat"),
                ("conv", "classifier"),
            ],
            _paddleseg_gc,
            lambda head: head["name"] == "gc",
            auxiliary_rows=paddle_auxiliary_rows("auxlayer"),
        ),
        PaddleSeg(
            "DNLNet",
            [
                *paddle_conv_rows("conv0", "conv_in"),
                *((f"dnl_block.{name}", f"context.{name}")
                  for name in ("g", "theta", "phi", "conv_mask")),
                *paddle_conv_rows("dnl_block.conv_out", "context.conv_out"),
                *paddle_conv_rows("conv1", "conv_out"),
                *paddle_conv_rows("conv_cat", "conv_cat"),
                ("cls.1", "classifier"),
            ],
            _paddleseg_dnl,
            lambda head: _block(head) == "dnl",
            auxiliary_rows=[*paddle_conv_rows("aux.0", "conv"), ("aux.2", "classifier")],
            without_bias=("head.conv_in", "head.context.conv_out", "head.conv_out",
                          "head.conv_cat", "auxiliary_head.conv"),
            sizes=lambda features: {"channels": features // 4},
            implies={"asymmetric": True, "context": {"relu": True, "batch_norm": True}},
        ),
    ),
)  # fmt: skip
