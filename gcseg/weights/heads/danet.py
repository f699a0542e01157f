"""The head danet in files of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    with_bias,
)
from gcseg.weights.names import Shapes


def _settings(shapes: Shapes, _: Said) -> Node:
    channels = channels_of(shapes, "head.position_in.0")
    hidden = channels_of(shapes, "head.position.query")
    return {
        "name": "danet",
        "channels": channels,
        "attention_channels": None if hidden == channels // 8 else hidden,
        "conv_bias": with_bias(shapes, "head.position_in.0"),
    }


def _mmseg(head: Mapping[str, Any], _: Sequence[int]) -> Node:
    refuse_unless("mmsegmentation", "head.asymmetric", head["asymmetric"], False)
    given = head["attention_channels"]
    return {"type": "DAHead", "pam_channels": head["channels"] // 8 if given is None else given}


def _idle(head: Mapping[str, Any], num_classes: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of PaddleSeg's classifier of the features, which trainings alone have."""
    features = 4 * head["channels"]
    return {
        "aux_head.1.weight": (num_classes, features, 1, 1),
        "aux_head.1.bias": (num_classes,),
    }


DANET = KnownHead(
    titles={"danet": "DANet"},
    mark="position_in.0",
    telling=("position.query",),
    settings=_settings,
    unseen={"asymmetric": SWITCH},
    mmseg={
        "danet": Mmseg(
            "DANet",
            [
                *conv_rows("pam_in_conv", "position_in"),
                *(
                    (f"pam.{name}_project", f"position.{name}")
                    for name in ("query", "key", "value")
                ),
                ("pam.gamma", "position"),
                *conv_rows("pam_out_conv", "position_out"),
                ("pam_conv_seg", "position_classifier"),
                *conv_rows("cam_in_conv", "channel_in"),
                ("cam.gamma", "channel"),
                *conv_rows("cam_out_conv", "channel_out"),
                ("cam_conv_seg", "channel_classifier"),
                ("conv_seg", "classifier"),
            ],
            _mmseg,
        )
    },
    paddleseg=(
        PaddleSeg(
            "DANet",
            [
                *paddle_conv_rows("position_conv", "position_in"),
                *((f"pam.{name}_conv", f"position.{name}") for name in ("query", "key", "value")),
                ("pam", "position"),
                *paddle_conv_rows("conv2", "position_out"),
                ("aux_head_pam.1", "position_classifier"),
                *paddle_conv_rows("channel_conv", "channel_in"),
                ("cam", "channel"),
                *paddle_conv_rows("conv1", "channel_out"),
                ("aux_head_cam.1", "channel_classifier"),
                ("cls_head.1", "classifier"),
            ],
            lambda _: {"backbone_indices": (2, 3)},
            unused=("aux_head.1",),
            idle=_idle,
            sizes=lambda features: {"channels": features // 4, "attention_channels": None},
            implies={"asymmetric": True},
        ),
    ),
)
