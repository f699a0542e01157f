"""Outputs of the reference frameworks and what they were computed from, see README.md."""

from tests.golden.generate import expected, golden_model, image, label, parameter, parameters

__all__ = ["expected", "golden_model", "image", "label", "parameter", "parameters"]
