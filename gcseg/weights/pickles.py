"""Pickles read as data: nothing that a file names is imported or called.

A pickle is a program for a small stack machine. Here it may put together numbers, texts, lists and
dictionaries, and name a few types, each of which is replaced by a stand-in without behaviour.
Lengths are compared with the rest of the file before anything is allocated.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gcseg.system.text import shown
from gcseg.weights.safe_objects import Array, DType, Foreign
from gcseg.weights.unsafe import RefusedError

MAX_OPERATIONS = 2_000_000  # reads of a pickle; a training checkpoint of ResNet-101 takes 100 000
MAX_LINE = 512  # most bytes of a type's module or name


class Source:
    """The rest of a file; reads are checked against its length before they allocate.

    Args:
        file: File, at the position to read from.
        left: Number of bytes from there to the end.
    """

    def __init__(self, file: io.BufferedReader | io.BytesIO, left: int) -> None:
        self.file = file
        self.size = self.left = left
        self.operations = 0

    def charge(self, operations: int) -> None:
        """Count operations, as each takes time and memory.

        Raises:
            RefusedError: If there were too many.
        """
        self.operations += operations
        if self.operations > MAX_OPERATIONS:
            raise RefusedError("it holds more objects than any checkpoint")

    def _take(self, size: int) -> None:
        self.charge(1)
        if size > self.left:
            raise RefusedError(f"it claims {size} more bytes, but {self.left} are left")
        self.left -= size

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes."""
        self._take(size)
        return self.file.read(size)

    def read_array(self, size: int) -> npt.NDArray[np.uint8]:
        """Read exactly `size` bytes into memory that an array can keep."""
        self._take(size)
        array = np.empty(size, np.uint8)
        if self.file.readinto(array.data) != size:
            raise RefusedError("it was cut while it was read")
        return array

    def skip(self, size: int) -> None:
        """Skip `size` bytes."""
        self._take(size)
        self.file.seek(size, io.SEEK_CUR)

    def readline(self) -> bytes:
        """Read a short line, including its line end."""
        line = self.file.readline(min(MAX_LINE, self.left))
        self._take(len(line))
        if not line.endswith(b"\n"):
            raise RefusedError("it names a type without an end")
        return line


class Named:
    """An admitted type or function that a pickle names."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name = name
        self.make = make


class Unpickler(pickle._Unpickler):  # the C version allocates any length that is claimed
    """Reader of one pickle as data.

    It keeps those operations of Python's unpickler that build plain data.

    Args:
        source: Source to read from; its position is at the end of the pickle afterwards.
        admitted: Functions that make the stand-ins of the types and functions that the pickle may
            name, by their full names.
        persistent_load: Function that returns the objects stored outside the pickle.
    """

    stack: list[Any]
    metastack: list[Any]
    memo: dict[int, Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(
        self,
        source: Source,
        admitted: Mapping[str, Callable[..., Any]],
        persistent_load: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(source, encoding="latin1")  # for Python 2's texts, which may be bytes
        self.source = source
        # A pickle can use the same bytes many times: bytes that its results may still take in all.
        self.left = {"texts": source.size, "arrays": source.size}
        self.found: set[str] = set()
        self.admitted: dict[str, Callable[..., Any]] = {
            "_codecs.encode": self._encode,
            "builtins.bytes": _no_bytes,
            "collections.OrderedDict": self._dictionary,
            "builtins.set": self._set,
            **admitted,
        }
        self.outside = persistent_load

    def load(self) -> Any:
        """Read the pickle, and keep nothing of it in this object."""
        try:
            return super().load()
        finally:
            # This object is in reference cycles: it would keep large arrays until a collection.
            self.memo.clear()
            self.stack.clear()
            self.metastack.clear()

    def persistent_load(self, pid: Any) -> Any:
        """Look up an object that is stored outside the pickle.

        Raises:
            RefusedError: If this kind of file has no such objects.
        """
        if self.outside is None:
            raise RefusedError("it refers to objects outside it")
        return self.outside(pid)

    def find_class(self, module: str, name: str) -> Any:
        """Look a name up among the admitted ones.

        Raises:
            RefusedError: If it is not among them.
        """
        module = "builtins" if module == "__builtin__" else module
        full_name = f"{module}.{name}"
        if full_name not in self.admitted:
            raise RefusedError(f"it holds an object of type {shown(full_name)}")
        self.found.add(full_name)
        return Named(full_name, self.admitted[full_name])

    def _count(self, kind: str, size: int) -> None:
        self.left[kind] -= size
        if self.left[kind] < 0:
            raise RefusedError(f"its {kind} claim more bytes than the {self.source.size} it has")

    def _encode(self, text: str, encoding: str) -> bytes:
        """Return bytes as protocol 2 writes them."""
        if type(text) is not str or encoding not in ("latin1", "latin-1"):
            raise RefusedError(f"it holds a text encoded as {shown(encoding)}")
        self._count("texts", len(text))
        return text.encode("latin1")

    def _dictionary(self, items: object = ()) -> dict[Any, Any]:
        """Make a dictionary from a list of pairs, as Python 2 writes it."""
        if not isinstance(items, (list, tuple)):
            raise RefusedError("it holds a damaged dictionary")
        self.source.charge(len(items))
        content: dict[Any, Any] = {}
        for key, value in items:
            _put(content, key, value)
        return content

    def _set(self, values: object = ()) -> set[Any]:
        """Make a set from a list, as protocol 2 writes it."""
        if type(values) is not list:
            raise RefusedError("it holds a damaged set")
        return set(self._dictionary([(value, None) for value in values]))

    def load_frame(self) -> None:
        """Read past a frame's header, which only says how much to read ahead."""
        self.read(8)

    def load_array(self) -> None:
        """Read bytes, from which arrays can be made without a copy."""
        (size,) = struct.unpack("<I", self.read(4))
        self.append(self.source.read_array(size))

    def load_array8(self) -> None:
        """Read more than 4 GiB of bytes, or the bytes that protocol 5 writes for an array."""
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(self.source.read_array(size))

    def load_reduce(self) -> None:
        """Make a stand-in."""
        arguments = self.stack.pop()
        named = self.stack.pop()
        if type(named) is not Named or type(arguments) is not tuple:
            raise RefusedError("it calls something that is not a type")
        made = named.make(*arguments)
        if isinstance(made, Array) and made.dtype is not None:
            self._count("arrays", len(made.data))
        self.append(made)

    def load_build(self) -> None:
        """Give a stand-in its content."""
        state = self.stack.pop()
        instance = self.stack[-1]
        if type(instance) is dict:
            # A state dict keeps the versions of its modules in an attribute.
            if type(state) is not dict or not state.keys() <= {"_metadata"}:
                raise RefusedError("it changes a dictionary's attributes")
        elif isinstance(instance, (Array, DType, Foreign)):
            instance.__setstate__(state)
            if isinstance(instance, Array):
                self._count("arrays", len(instance.data))
        else:
            raise RefusedError(f"it changes {shown(instance)}")

    def load_append(self) -> None:
        """Put one value into a list."""
        value = self.stack.pop()
        self._list().append(value)

    def load_appends(self) -> None:
        """Put values into a list."""
        values = self.pop_mark()
        self._list().extend(values)

    def _list(self) -> list[Any]:
        target = self.stack[-1]
        if type(target) is not list:
            raise RefusedError(f"it appends to {shown(target)}")
        return target

    def load_setitem(self) -> None:
        """Put one pair into a dictionary."""
        value = self.stack.pop()
        key = self.stack.pop()
        _put(self.stack[-1], key, value)

    def load_setitems(self) -> None:
        """Put pairs into a dictionary."""
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            _put(self.stack[-1], key, value)

    def _refuse(self) -> None:
        raise RefusedError("its pickle does more than build plain data")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **dict.fromkeys(range(256), _refuse),
        **{
            code[0]: pickle._Unpickler.dispatch[code[0]]
            for code in (
                *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.BINPERSID),
                *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
                *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT),
                *(pickle.SHORT_BINBYTES, pickle.SHORT_BINSTRING, pickle.BINSTRING),
                *(pickle.SHORT_BINUNICODE, pickle.BINUNICODE, pickle.BINUNICODE8),
                *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
                *(pickle.EMPTY_LIST, pickle.EMPTY_DICT),
                *(pickle.GLOBAL, pickle.STACK_GLOBAL),
                *(pickle.BINGET, pickle.LONG_BINGET),
                *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE),
            )
        },
        pickle.FRAME[0]: load_frame,
        pickle.BINBYTES[0]: load_array,
        pickle.BINBYTES8[0]: load_array8,
        pickle.BYTEARRAY8[0]: load_array8,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.APPEND[0]: load_append,
        pickle.APPENDS[0]: load_appends,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }


def _put(target: object, key: object, value: object) -> None:
    """Put a pair into a dictionary that does not have the key yet.

    Keys are texts or whole numbers no larger than addresses, which optimizers of torch < 1.6 use:
    hashing deeply nested keys overflows the stack, and larger numbers can all have one hash.
    """
    if type(target) is not dict:
        raise RefusedError(f"it puts a pair into {shown(target)}")
    if type(key) is int:
        if not -(2**60) < key < 2**60:
            raise RefusedError("it holds a dictionary with a huge number as a key")
    elif type(key) is not str and key is not None and type(key) is not bool:
        raise RefusedError(f"it holds a dictionary with {shown(key)} as a key")
    if key in target:
        raise RefusedError(f"it holds {shown(str(key))} twice")
    target[key] = value


def _no_bytes() -> bytes:
    """Return the content of an empty array in protocol 2."""
    return b""
