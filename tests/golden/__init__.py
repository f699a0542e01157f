"""Outputs of the reference frameworks and what they were computed from, see README.md."""

from tests.golden.generate import (
    BACKBONES,
    backbone_image,
    expected,
    golden_model,
    image,
    label,
    parameter,
    parameters,
)

__all__ = [
    "BACKBONES",
    "backbone_image",
    "expected",
    "golden_model",
    "image",
    "label",
    "parameter",
    "parameters",
]
