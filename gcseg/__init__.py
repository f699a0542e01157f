"""gcseg: GCNet for semantic segmentation on PyTorch Lightning and Hydra.

What is below is imported on first use, so that `import gcseg` loads nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gcseg import errors
    from gcseg.python.predictor import Predictor
    from gcseg.python.run import evaluate, sweep, train
    from gcseg.python.settings import compose

__all__ = ["Predictor", "compose", "errors", "evaluate", "sweep", "train"]

__version__ = "0.1.0"

_MODULES = {
    "Predictor": "predictor",
    "compose": "settings",
    "evaluate": "run",
    "sweep": "run",
    "train": "run",
}
"""Classes and functions of the package, each with its module in gcseg.python."""


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("gcseg.errors")
    if name in _MODULES:
        return getattr(import_module(f"gcseg.python.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
