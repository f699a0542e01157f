"""Checkpoints of ours and of other frameworks: names, reading, loading."""

from gcseg.weights.keymaps import KEY_MAPS, MMSEG_GCNET, PADDLESEG_GCNET, KeyMap
from gcseg.weights.load import load_tensors, load_weights, read_tensors

__all__ = [
    "KEY_MAPS",
    "MMSEG_GCNET",
    "PADDLESEG_GCNET",
    "KeyMap",
    "load_tensors",
    "load_weights",
    "read_tensors",
]
