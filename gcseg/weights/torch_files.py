"""Files of torch.save, checked before `torch.load` reads them.

`torch.load(weights_only=True)` runs no code of a file, but trusts its claims: it returns tensors
whose strides make terabytes of one number, picks one of two records of the same name, and ends the
process over keys that are nested too deeply. Nor does it verify the checksums in its files. So the
file is read as data first, and every claim is compared with the file's content.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch

from gcseg.system.text import shown
from gcseg.weights.pickles import Named, Source, Unpickler
from gcseg.weights.safe_objects import (
    MAX_DIMENSIONS,
    STAND_INS,
    TRAINING_STAND_INS,
    Foreign,
    are_sizes,
)
from gcseg.weights.unsafe import RefusedError

ZIP_MAGIC = b"PK\x03\x04"
# Each part of a file of torch < 1.6 is a separate pickle; the first is this number.
LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
LEGACY_VERSION = 1001

BLOCK = 2**20  # bytes read at once

MAX_DIRECTORY = 2**24  # most bytes of a zip archive's list of records; 80 for each

_STORAGES = {
    "torch.BoolStorage": torch.bool,
    "torch.ByteStorage": torch.uint8,
    "torch.CharStorage": torch.int8,
    "torch.ShortStorage": torch.int16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
}


def load(file: io.BufferedReader, size: int) -> Any:
    """Load a file of torch.save on the CPU, if it holds only tensors and plain data.

    Objects that mmengine saves with the parameters, and arrays of numpy, are stand-ins without
    behaviour in the result.

    Args:
        file: File to read.
        size: Size of the file, in bytes.

    Raises:
        RefusedError: If the file holds objects of other types, claims data that it does not have,
            or is damaged.
    """
    found = check(file, size)
    stand_ins = {**STAND_INS, **TRAINING_STAND_INS}
    file.seek(0)
    with (
        nullcontext()
        if found.isdisjoint(stand_ins)
        else torch.serialization.safe_globals([(make, name) for name, make in stand_ins.items()])
    ):
        return torch.load(file, map_location="cpu", weights_only=True)


def check(file: io.BufferedReader, size: int) -> set[str]:
    """Check a file of torch.save as `load` does, without loading its tensors.

    Args:
        file: File to read.
        size: Size of the file, in bytes.

    Returns:
        The names of the types in it.

    Raises:
        RefusedError: See `load`.
    """
    return _examine(file, size).found


def outline(file: io.BufferedReader, size: int) -> Any:
    """Return the content of a file of torch.save, with stand-ins in the place of its tensors.

    The file is checked as by `check`, except for the checksums, which require reading all of it.

    Args:
        file: File to read.
        size: Size of the file, in bytes.

    Raises:
        RefusedError: See `load`.
    """
    return _examine(file, size, sums=False).content


@dataclass
class _Examined:
    """A pickle that was read as data.

    Args:
        content: Content of the pickle, with stand-ins for tensors.
        found: Names of the types in it.
    """

    content: Any
    found: set[str]


def _examine(file: io.BufferedReader, size: int, *, sums: bool = True) -> _Examined:
    """Read the pickle of a file of torch.save as data, and compare it with the file's content."""
    file.seek(0)
    is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
    return _check_zip(file, size, sums) if is_zip else _check_legacy(file, size)


@dataclass
class _Storage:
    """A storage, as the pickle describes it."""

    itemsize: int
    numel: int


class _Claimed(Foreign):
    """Stand-in for a tensor whose claims were found to be true."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Check a parameter's own state: (requires_grad, volatile, hooks)."""
        if type(state) is not tuple or len(state) != 3 or type(state[0]) is not bool or state[2]:
            raise RefusedError("it holds a tensor with hooks or other state")


@dataclass
class _Claims:
    """Checks of a pickle's claims about tensors.

    Args:
        size: Size of the file, in bytes.
        records: Sizes in bytes of the storages' records by key; `None` if they follow the pickle.
    """

    size: int
    records: Mapping[str, int] | None
    storages: dict[str, _Storage] = field(default_factory=dict)

    def admitted(self) -> dict[str, Callable[..., Any]]:
        """Return the functions for the types and functions that the pickle may name."""
        return {
            **STAND_INS,
            **TRAINING_STAND_INS,
            **dict.fromkeys(_STORAGES, _no_call),
            **{str(dtype): _no_call for dtype in _STORAGES.values()},
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_parameter": self.parameter,
            # torch before 0.4, which wrote some published backbones
            "torch._utils._rebuild_tensor": self.plain_tensor,
            "torch.nn.parameter.Parameter": self.parameter,
            "torch.Size": _size,
            "torch.device": _device,
            "collections.Counter": _counter,
        }

    def storage(self, claim: object) -> _Storage:
        """Check a storage: ("storage", type, key, device, number of elements)."""
        if self.records is None and isinstance(claim, tuple) and len(claim) == 6:
            if claim[5] is not None:
                raise RefusedError("it holds views of storages, as torch before 0.4 wrote them")
            claim = claim[:5]
        if not isinstance(claim, tuple) or len(claim) != 5 or claim[0] != "storage":
            raise RefusedError("it refers to objects outside it that are not storages")
        _, kind, key, device, numel = claim
        if type(kind) is not Named or kind.name not in _STORAGES:
            raise RefusedError("it holds a storage of a type that weights do not have")
        if type(key) is not str or type(device) is not str or not are_sizes((numel,)):
            raise RefusedError("it holds a damaged storage")
        storage = _Storage(_STORAGES[kind.name].itemsize, numel)
        if key in self.storages and self.storages[key] != storage:
            raise RefusedError(f"it holds storage {shown(key)} with two sizes")
        nbytes = storage.itemsize * numel
        if self.records is not None and self.records.get(key) != nbytes:
            raise RefusedError(
                f"storage {shown(key)} claims {nbytes} bytes, its record has "
                f"{self.records.get(key, 'none')}"
            )
        if nbytes > self.size:
            raise RefusedError(f"a storage claims {nbytes} bytes of a file of {self.size}")
        return self.storages.setdefault(key, storage)

    def tensor(
        self,
        storage: object,
        offset: object,
        shape: object,
        strides: object,
        requires_grad: object,
        hooks: object,
        metadata: object = None,
    ) -> _Claimed:
        """Check a tensor: it must lie in its storage and be no larger than the file."""
        if type(storage) is not _Storage or type(shape) is not tuple or type(strides) is not tuple:
            raise RefusedError("it holds a damaged tensor")
        if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
            raise RefusedError("it holds a tensor with too many dimensions")
        if not are_sizes((offset, *shape, *strides)):
            raise RefusedError("it holds a tensor with a shape that is none")
        if type(requires_grad) is not bool or hooks or metadata:
            raise RefusedError("it holds a tensor with hooks or other state")
        nbytes = math.prod(shape) * storage.itemsize
        if nbytes > self.size:
            raise RefusedError(
                f"a tensor of {' x '.join(map(str, shape))} claims {nbytes} bytes of a file of "
                f"{self.size}"
            )
        end = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + 1
        if (end if nbytes else offset) > storage.numel:  # type: ignore[operator]
            raise RefusedError("a tensor reaches beyond its storage")
        return _Claimed()

    def plain_tensor(
        self, storage: object, offset: object, shape: object, strides: object
    ) -> _Claimed:
        """Check a tensor without other state."""
        return self.tensor(storage, offset, shape, strides, False, None)

    def parameter(
        self, data: object, requires_grad: object = True, hooks: object = None
    ) -> _Claimed:
        """Check a parameter, which wraps a tensor."""
        if type(data) is not _Claimed or type(requires_grad) is not bool or hooks:
            raise RefusedError("it holds a damaged parameter")
        return data


def _no_call(*_: object) -> NoReturn:
    raise RefusedError("it defines a storage or number type itself")


def _size(values: object) -> tuple[object, ...]:
    if type(values) is not tuple or len(values) > MAX_DIMENSIONS or not are_sizes(values):
        raise RefusedError("it holds a damaged torch.Size")
    return values


def _device(kind: object, index: object = None) -> None:
    if type(kind) is not str or not (index is None or type(index) is int):
        raise RefusedError("it holds a damaged torch.device")


def _counter(content: object = None) -> dict[Any, Any]:
    if content is not None and type(content) is not dict:
        raise RefusedError("it holds a damaged collections.Counter")
    return content or {}


def _check_zip(file: io.BufferedReader, size: int, sums: bool) -> _Examined:
    """Check a file of torch >= 1.6: a zip archive of a pickle and of a record per storage."""
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        names = [info.orig_filename for info in infos]
        _check_names(names)
        folder = names[0].partition("/")[0] if names else ""
        if f"{folder}/constants.pkl" in names:
            raise RefusedError("it is a program of torch.jit.save, not a state dict")
        for info, name in zip(infos, names, strict=True):
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                raise RefusedError(f"its record {shown(name)} is compressed")
            if info.flag_bits & 0x1:
                raise RefusedError(f"its record {shown(name)} is encrypted")
        if sum(info.file_size for info in infos) > size:
            raise RefusedError("its records claim more bytes than it has")
        if f"{folder}/data.pkl" not in names:
            raise RefusedError("it is a zip archive, but not of torch.save")
        if sums:
            _check_sums(archive)
        content = archive.read(f"{folder}/data.pkl")
    prefix = f"{folder}/data/"
    records = {
        name.removeprefix(prefix): info.file_size
        for info, name in zip(infos, names, strict=True)
        if name.startswith(prefix)
    }
    return _check_pickle(Source(io.BytesIO(content), len(content)), _Claims(size, records))


def _check_sums(archive: zipfile.ZipFile) -> None:
    """Compare all records with their checksums, which `torch.load` ignores."""
    infos = archive.infolist()
    if not any(info.CRC for info in infos):
        raise RefusedError("torch.serialization.set_crc32_options(False) left its checksums out")
    for info in infos:
        try:
            with archive.open(info) as record:
                while record.read(BLOCK):  # the last read compares the checksum
                    pass
        except zipfile.BadZipFile:
            name = shown(info.orig_filename)
            raise RefusedError(f"it is damaged: its record {name} has another checksum") from None


def _check_directory(file: io.BufferedReader, size: int) -> None:
    """Check that a zip archive's list of records is where every reader looks for it.

    The list must end where the archive's end record begins, so that all readers take the same
    bytes for it, and be small enough to be read as a whole.
    """
    file.seek(max(0, size - 98))
    tail = file.read(98)
    end = tail[-22:]
    if len(end) < 22 or end[:4] != b"PK\x05\x06" or end[20:] != b"\0\0":
        raise RefusedError("it is incomplete: the list of its records is not at its end")
    length, start = struct.unpack("<II", end[12:20])
    stop = size - 22
    if tail[-42:-38] == b"PK\x06\x07":  # the same with larger numbers, as torch always writes
        wide = struct.unpack("<QQ", tail[-58:-42])
        (place,) = struct.unpack("<Q", tail[-34:-26])
        stop = size - 98
        same = all(n in (m, 0xFFFFFFFF) for n, m in zip((length, start), wide, strict=True))
        if not same or place != stop or tail[:4] != b"PK\x06\x06":
            raise RefusedError("it has two lists of records")
        length, start = wide
    if start + length != stop or length > MAX_DIRECTORY:
        raise RefusedError("its list of records is damaged")


def _check_names(names: list[str]) -> None:
    """Check that all names are different, under one folder, and do not lead out of it."""
    if len({name.lower() for name in names}) < len(names):
        raise RefusedError("two of its records have the same name")
    folders = {name.partition("/")[0] for name in names}
    for name in names:
        parts = name.split("/")
        if "\\" in name or "\0" in name or "" in parts or ".." in parts or len(folders) > 1:
            raise RefusedError(f"it holds a record {shown(name)}, which torch.save does not write")


def _check_pickle(source: Source, claims: _Claims) -> _Examined:
    if source.read(2) != b"\x80\x02":
        raise RefusedError("it was saved in another protocol of pickles than torch.save's own, 2")
    unpickler = Unpickler(source, claims.admitted(), claims.storage)
    return _Examined(unpickler.load(), unpickler.found)


def _check_legacy(file: io.BufferedReader, size: int) -> _Examined:
    """Check a file of torch < 1.6: pickles one after the other, then the storages."""
    file.seek(len(LEGACY_MAGIC))
    source = Source(file, size - len(LEGACY_MAGIC))
    if Unpickler(source, {}).load() != LEGACY_VERSION:
        raise RefusedError(f"its format has another version than {LEGACY_VERSION}")
    Unpickler(source, {}).load()  # sizes of C types on the machine it was saved on
    claims = _Claims(size, None)
    examined = _check_pickle(source, claims)
    keys = Unpickler(source, {}).load()
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise RefusedError("it holds a damaged list of storages")
    if len(set(keys)) < len(keys) or set(keys) != claims.storages.keys():
        raise RefusedError("its list of storages is not that of its tensors")
    for key in keys:
        storage = claims.storages[key]
        (numel,) = struct.unpack("<q", source.read(8))
        if numel != storage.numel:
            raise RefusedError(f"storage {shown(key)} claims {storage.numel} values, not {numel}")
        source.skip(numel * storage.itemsize)
    return examined
