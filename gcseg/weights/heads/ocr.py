"""The head ocr in files of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gcseg.weights.heads.known import (
    KnownHead,
    Mmseg,
    Node,
    Said,
    channels_of,
    conv_rows,
    with_bias,
)
from gcseg.weights.names import Shapes


def _settings(shapes: Shapes, _: Said) -> Node:
    return {
        "name": "ocr",
        "channels": channels_of(shapes, "head.conv.0"),
        "key_channels": channels_of(shapes, "head.value.0.0"),
        "conv_bias": with_bias(shapes, "head.conv.0"),
    }


def _mmseg(head: Mapping[str, Any], _: Sequence[int]) -> Node:
    return {"type": "OCRHead", "ocr_channels": head["key_channels"]}


_BLOCK = "object_context_block"

OCR = KnownHead(
    titles={"ocr": "OCRNet"},
    mark="key.0.0",
    telling=("conv.0", "value.0.0"),
    settings=_settings,
    mmseg={
        "ocr": Mmseg(
            "OCRNet",
            [
                *conv_rows("bottleneck", "conv"),
                *conv_rows(f"{_BLOCK}.query_project.{{n}}", "query.{n}"),
                *conv_rows(f"{_BLOCK}.key_project.{{n}}", "key.{n}"),
                *conv_rows(f"{_BLOCK}.value_project", "value.0"),
                *conv_rows(f"{_BLOCK}.out_project", "out"),
                *conv_rows(f"{_BLOCK}.bottleneck", "fuse"),
                ("conv_seg", "classifier"),
            ],
            _mmseg,
            cascade=True,
        )
    },
)
