"""Stand-ins for objects in a pickle: checked parts for numpy's arrays, empty ones for others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gcseg.system.text import shown
from gcseg.weights.unsafe import RefusedError

MAX_DIMENSIONS = 8  # most dimensions of an array or tensor

# numpy's number types, by their names in pickles.
_NUMBERS = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))


class DType:
    """Stand-in for a pickled numpy.dtype of numbers."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or code not in _NUMBERS:
            raise RefusedError(f"it holds an array of type {shown(code)}, not of real numbers")
        self.code = code
        self.order = "<"

    def __setstate__(self, state: object) -> None:
        """Set the byte order."""
        # (version, byte order, sub-array, names of fields, fields, ...)
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise RefusedError("it holds a damaged numpy.dtype")
        if any(part is not None for part in state[2:5]):
            raise RefusedError("it holds an array of records")
        self.order = "<" if state[1] == "=" else state[1]

    def numpy(self) -> np.dtype[Any]:
        """Return the type itself."""
        return np.dtype(self.order + self.code)


class Array:
    """Stand-in for a pickled numpy.ndarray: its parts, checked against each other."""

    __slots__ = ("columns_first", "data", "dtype", "shape")

    def __init__(self, *_: object) -> None:
        self.dtype: DType | None = None

    def __setstate__(self, state: object) -> None:
        """Set the content."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise RefusedError("it holds a damaged numpy.ndarray")
        _, shape, dtype, columns_first, data = state
        if isinstance(data, str):  # a pickle of Python 2
            data = data.encode("latin1")
        if type(dtype) is not DType or type(data) not in (bytes, np.ndarray):
            raise RefusedError("it holds an array that is not made of numbers")
        if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS or not are_sizes(shape):
            raise RefusedError("it holds an array with an impossible shape")
        claimed = math.prod(shape) * dtype.numpy().itemsize
        if claimed != len(data):
            raise RefusedError(
                f"it holds an array that claims {claimed} bytes ({' x '.join(map(str, shape))} of "
                f"{dtype.numpy()}), but has {len(data)}"
            )
        self.dtype, self.shape, self.data = dtype, shape, data
        self.columns_first = bool(columns_first)

    def tensor(self) -> Tensor:
        """Return the array as a tensor, which shares its memory if possible."""
        if self.dtype is None:
            raise RefusedError("it holds an array without content")
        if not len(self.data):
            return torch.from_numpy(np.empty(self.shape, self.dtype.code))
        dtype = self.dtype.numpy()
        array = np.frombuffer(self.data, dtype).reshape(
            self.shape, order="F" if self.columns_first else "C"
        )
        array = array.astype(dtype.newbyteorder("="), order="C", copy=False)
        return torch.from_numpy(array if array.flags.writeable else array.copy())


class Foreign:
    """Stand-in for an object of a training that gcseg does not use: it keeps nothing."""

    __slots__ = ()

    def __new__(cls, *_: object) -> Foreign:
        """Make a stand-in from any arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Ignore the state."""


def _scalar(dtype: object, data: object) -> object:
    """Return a pickled number of numpy as Python's."""
    number = Array()
    number.__setstate__((1, (), dtype, False, data))
    return number.tensor().item()


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> Array:
    """Return a pickled array of protocol 5."""
    array = Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


def _attribute(owner: object, name: object) -> None:
    """Return None for any attribute, as the records of mmengine refer to their own methods."""


STAND_INS: Mapping[str, Callable[..., Any]] = {
    "numpy.ndarray": Array,
    "numpy.dtype": DType,
    # numpy 2 renamed its inner modules
    "numpy.core.multiarray._reconstruct": Array,
    "numpy._core.multiarray._reconstruct": Array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
}
"""Stand-ins for numpy's arrays and numbers, by their names in pickles."""

TRAINING_STAND_INS: Mapping[str, Callable[..., Any]] = {
    "mmengine.logging.history_buffer.HistoryBuffer": Foreign,
    "builtins.getattr": _attribute,
}
"""Stand-ins for the objects that mmengine saves with the parameters in training."""


def are_sizes(values: tuple[object, ...]) -> bool:
    """Return whether all values are whole numbers that a size, stride or offset can have."""
    return all(type(value) is int and 0 <= value < 2**48 for value in values)
