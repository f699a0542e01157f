"""Checkpoints of gcseg and of other frameworks: names, reading, loading.

The names below are imported on first use, so that `python -m gcseg.weights --help` answers without
PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gcseg.weights.architecture import Description, describe, network_settings
    from gcseg.weights.ema import is_averaged, read_weights
    from gcseg.weights.keymaps import KEY_MAPS, MMSEG_GCNET, PADDLESEG_GCNET
    from gcseg.weights.load import load_backbone, load_tensors, load_weights
    from gcseg.weights.names import KeyMap
    from gcseg.weights.reading import (
        RAW_WEIGHTS,
        CheckpointFile,
        check_torch,
        load_torch,
        outline_torch,
        read_checkpoint_file,
        read_tensors,
    )
    from gcseg.weights.records import own_record

__all__ = [
    "KEY_MAPS",
    "MMSEG_GCNET",
    "PADDLESEG_GCNET",
    "RAW_WEIGHTS",
    "CheckpointFile",
    "Description",
    "KeyMap",
    "check_torch",
    "describe",
    "is_averaged",
    "load_backbone",
    "load_tensors",
    "load_torch",
    "load_weights",
    "network_settings",
    "outline_torch",
    "own_record",
    "read_checkpoint_file",
    "read_tensors",
    "read_weights",
]

_MODULES = {
    "architecture": ("Description", "describe", "network_settings"),
    "ema": ("is_averaged", "read_weights"),
    "keymaps": ("KEY_MAPS", "MMSEG_GCNET", "PADDLESEG_GCNET"),
    "load": ("load_backbone", "load_tensors", "load_weights"),
    "names": ("KeyMap",),
    "reading": (
        "RAW_WEIGHTS",
        "CheckpointFile",
        "check_torch",
        "load_torch",
        "outline_torch",
        "read_checkpoint_file",
        "read_tensors",
    ),
    "records": ("own_record",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"gcseg.weights.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
