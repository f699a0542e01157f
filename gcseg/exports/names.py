"""Names of the formats of exports, and their files' suffixes; imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = {
    "onnx": ".onnx",
    "openvino": ".xml",
    "torch_export": ".pt2",
    "torchscript": ".torchscript",
}
"""Suffix of each format's file; OpenVINO's `.xml` has its weights in a `.bin` next to it."""


def format_of(path: Path) -> str | None:
    """Return the name of an export's format by its suffix; None for any other file."""
    return next((name for name, end in SUFFIXES.items() if end == path.suffix.lower()), None)
