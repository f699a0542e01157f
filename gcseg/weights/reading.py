"""Read checkpoint files of any framework without running code in them."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from gcseg.errors import WeightsError, is_out_of_memory
from gcseg.exports.names import format_of
from gcseg.system.records import RecordError, parse_json
from gcseg.system.text import shown
from gcseg.weights import digests, torch_files
from gcseg.weights.pickles import Source, Unpickler
from gcseg.weights.records import own_record
from gcseg.weights.safe_objects import STAND_INS, Array
from gcseg.weights.unsafe import RefusedError

PARALLEL_PREFIX = "module."  # prefix of all names in saved (Distributed)DataParallel modules
TRAINING_PREFIX = "model."  # prefix of the network's parameters in gcseg's training checkpoints

# Key of the weights that the optimizer updates, in checkpoints of a training that averages its
# weights; the state dict has the average.
RAW_WEIGHTS = "raw_state_dict"

# Keys of the state dict in a checkpoint: Lightning, mmsegmentation; torchvision; others.
CONTAINERS = ("state_dict", "model", "model_state_dict", "model_state", "params")

# Last parts of names that only tensors which a network computes with have, not counts or indices.
WEIGHTS = ("weight", "bias", "running_mean", "running_var", "_mean", "_variance")

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)

PADDLE_NAMES = "StructuredToParameterName@@"  # names of the parameters elsewhere in Paddle
PADDLE_PARTS = "UnpackBigParamInfor@@"  # marks that parameters over 1 GiB are stored in parts

MAX_HEADER = 2**22  # bytes of names and shapes in a safetensors file; 100 for each tensor
MAX_EXPANSION = 5  # of a .tar.gz, as a factor; weights become a tenth smaller
MAX_MEMBERS = 100  # files in a .tar.gz

REMEDY = "give a complete file of weights and nothing else, or download it again"


@dataclass(frozen=True)
class CheckpointFile:
    """Content of a checkpoint file.

    Args:
        format: Format of the file: `"PaddlePaddle"`, `"PyTorch"` or `"safetensors"`.
        tensors: State dict on the CPU, by the names in the file, all numbers finite. The prefix of
            gcseg's training checkpoints is removed.
        extra: Content other than the state dict, such as mmsegmentation's `"meta"`, or `"gcseg"`
            in gcseg's files. Objects of numpy and mmengine in it are stand-ins.
    """

    format: str
    tensors: dict[str, Tensor]
    extra: Mapping[str, Any]


def read_checkpoint_file(path: str | Path, *, container: str | None = None) -> CheckpointFile:
    """Read a checkpoint file; its format is detected from the content, not from the name.

    - PaddlePaddle's `.pdparams`, and PaddleSeg's `.tar.gz` with one in it. Arrays of uint16, which
      Paddle writes for bfloat16, are read as bfloat16.
    - Files of `torch.save`, of any version of PyTorch: a state dict, or a dictionary with one in it
      as Lightning, mmsegmentation and torchvision write it.
    - `.safetensors`.

    No code in the file is run, and no more is allocated than its size allows. Checksums are
    verified where there are any: in the records of a file of `torch.save`, since version 1.6 of
    PyTorch; in a `.tar.gz`; and in files that gcseg wrote, see `gcseg.weights.digests`.

    Args:
        path: Path of the file.
        container: Key of the tensors in a file of `torch.save`; None for the keys that frameworks
            use.

    Raises:
        WeightsError: If the file is missing or damaged, claims data that it does not have, or
            holds NaN, infinity or objects other than weights; or if its record of a training is
            invalid.
    """
    path = Path(path)
    file = _read(path, container)
    try:
        own_record(file.extra)
    except WeightsError as error:
        raise WeightsError(f"can't use {path}: {error.cause}", error.remedy) from error
    return file


def _read(path: Path, container: str | None) -> CheckpointFile:
    with _opened(path) as (file, size):
        head = file.read(32)
        file.seek(0)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
            tensors, extra = _read_safetensors(path, file)
            return CheckpointFile("safetensors", _checked(tensors, size), extra)
        if head.startswith((torch_files.ZIP_MAGIC, torch_files.LEGACY_MAGIC)):
            content = torch_files.load(file, size)
            container, state = _state_dict(content, [container] if container else CONTAINERS)
            extra = {k: v for k, v in content.items() if k != container} if container else {}
            return CheckpointFile("PyTorch", _checked(state, size), extra)
        if head.startswith(b"\x1f\x8b"):
            inner, size = _unpack(file, size)
            return CheckpointFile("PaddlePaddle", _checked(_read_paddle(inner, size), size), {})
        if head.startswith(b"\x80"):
            digests.check_trailer(file, size)
            return CheckpointFile("PaddlePaddle", _checked(_read_paddle(file, size), size), {})
        raise RefusedError(f"it begins with {head[:16]!r}, which no checkpoint does")


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint file, see `read_checkpoint_file`.

    Raises:
        WeightsError: See `read_checkpoint_file`.
    """
    return read_checkpoint_file(path).tensors


def load_torch(path: str | Path) -> Any:
    """Load the whole content of a file of `torch.save` on the CPU.

    No code in the file is run. Objects of mmengine and numpy in it become stand-ins; NaN and
    infinity are allowed.

    Args:
        path: Path of the file.

    Raises:
        WeightsError: If the file is missing or damaged, claims data that it does not have, or
            holds objects other than tensors and plain data.
    """
    with _opened(Path(path)) as (file, size):
        _check_magic(file)
        return torch_files.load(file, size)


def check_torch(path: str | Path) -> None:
    """Check a file of `torch.save`, including its checksums, without loading its content.

    Raises:
        WeightsError: See `load_torch`.
    """
    with _opened(Path(path)) as (file, size):
        _check_magic(file)
        torch_files.check(file, size)


def outline_torch(path: str | Path) -> Any:
    """Return the content of a file of `torch.save`, with stand-ins in the place of its tensors.

    The file is checked as by `check_torch`, except for its checksums.

    Args:
        path: Path of the file.

    Raises:
        WeightsError: See `load_torch`.
    """
    with _opened(Path(path)) as (file, size):
        _check_magic(file)
        return torch_files.outline(file, size)


def _check_magic(file: io.BufferedReader) -> None:
    if not file.peek(16).startswith((torch_files.ZIP_MAGIC, torch_files.LEGACY_MAGIC)):
        raise RefusedError("it was not written by torch.save")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[io.BufferedReader, int]]:
    """Open a file and return its size too; any error until it is closed is a WeightsError."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait for someone to write into it
            kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
            raise WeightsError(f"no checkpoint at {path}, which is {kind}", "check the path")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise RefusedError("it is empty")
            yield file, size
    except WeightsError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WeightsError(f"no checkpoint at {path}", "check the path") from error
    except (RefusedError, RecordError) as error:
        raise _unreadable(path, str(error)) from error
    except OSError as error:
        raise WeightsError(
            f"can't read {path} ({error.strerror or shown(str(error))})",
            "check the path and its permissions, or download the file again",
        ) from error
    except Exception as error:  # of a dozen types, depending on where the file is broken
        if is_out_of_memory(error):
            raise WeightsError(f"there is not enough memory to read {path}", "free some") from error
        reason = (str(error).strip() or "no more is known").splitlines()[0]
        why = f"it is damaged: {type(error).__name__}, {shown(reason)}"
        raise _unreadable(path, why) from error


def _unreadable(path: Path, why: str) -> WeightsError:
    """Make the error for a file that holds no weights as checkpoints do."""
    if (name := format_of(path)) is not None:
        return WeightsError(
            f"{path} is an export ({name}), from which no weights can be loaded",
            "give the checkpoint that it was made from",
        )
    return WeightsError(f"can't read {path} ({why})", REMEDY)


def _read_paddle(file: io.BufferedReader | io.BytesIO, size: int) -> dict[Any, Any]:
    """Read a pickled dictionary of arrays, as paddle.save writes it."""
    admitted = {**STAND_INS, "builtins.tuple": _tuple}
    content = Unpickler(Source(file, size), admitted).load()
    _, state = _state_dict(content)
    if PADDLE_PARTS in state:
        raise RefusedError("its parameters are in parts, as Paddle writes those over 1 GiB")
    tensors = dict(state)
    tensors.pop(PADDLE_NAMES, None)
    for name, value in state.items():
        if isinstance(value, tuple) and len(value) == 2:
            value = value[1]  # in inner dictionaries, Paddle pairs each parameter with its name
        if isinstance(value, Array):
            tensor = value.tensor()
            bfloat16 = tensor.dtype == torch.uint16
            tensors[name] = tensor.view(torch.bfloat16) if bfloat16 else tensor
    return tensors


def _tuple(content: object) -> tuple[Any, ...]:
    if type(content) is not tuple:
        raise RefusedError("it holds a damaged tuple")
    return content


def _read_safetensors(
    path: Path, file: io.BufferedReader
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors, and gcseg's record of them in the header."""
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise RefusedError(f"its header claims {length} bytes, more than any checkpoint needs")
    header = json.loads(file.read(length).decode(), object_pairs_hook=_without_duplicates)
    # The library maps the file into memory: copies of the tensors survive a change of the file.
    tensors = {name: tensor.clone() for name, tensor in safetensors.torch.load_file(path).items()}
    metadata = header.get("__metadata__", {})  # texts, as the library requires
    digests.check_tensors(tensors, metadata)
    return tensors, {"gcseg": parse_json(metadata["gcseg"])} if "gcseg" in metadata else {}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise RefusedError(f"it holds {shown(key)} twice")
        content[key] = value
    return content


def _unpack(file: io.BufferedReader, size: int) -> tuple[io.BytesIO, int]:
    """Unpack a .tar.gz in memory, up to its only .pdparams, and return that one's size too."""
    unpacked = io.BytesIO()
    with gzip.GzipFile(fileobj=file) as stream:
        while chunk := stream.read(2**20):
            unpacked.write(chunk)
            if unpacked.tell() > MAX_EXPANSION * size + 2**20:
                raise RefusedError(f"it unpacks to more than {MAX_EXPANSION} times its size")
    unpacked.seek(0)
    found = []
    with tarfile.open(fileobj=unpacked, mode="r:") as archive:
        for number, member in enumerate(archive):
            name = Path(member.name)
            if name.is_absolute() or ".." in name.parts or "\\" in member.name:
                raise RefusedError(f"it holds {shown(member.name)}, which leads out of it")
            if not (member.isdir() or member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)):
                raise RefusedError(f"it holds {shown(member.name)}, which is not a plain file")
            if number >= MAX_MEMBERS:
                raise RefusedError(f"it holds more than {MAX_MEMBERS} files")
            # macOS puts a ._name next to each file
            if name.suffix == ".pdparams" and not name.name.startswith("."):
                found.append(member)
    if len(found) != 1 or found[0].isdir() or found[0].sparse is not None:
        raise RefusedError(f"it holds {len(found)} .pdparams files instead of one")
    unpacked.seek(found[0].offset_data)
    if unpacked.read(1) != b"\x80":
        raise RefusedError(f"{shown(found[0].name)} in it is not a file of PaddlePaddle")
    unpacked.seek(found[0].offset_data)
    return unpacked, found[0].size


def _state_dict(
    content: object, containers: Iterable[str] = CONTAINERS
) -> tuple[str | None, Mapping[Any, Any]]:
    """Find the state dict in a file's content, and its key."""
    if not isinstance(content, Mapping):
        kind = "Tensor" if isinstance(content, Tensor) else type(content).__name__
        raise RefusedError(f"it holds a {kind}, not a state dict")
    for key in containers:
        inner = content.get(key)
        if isinstance(inner, Mapping):
            return key, inner
    return None, content


def _checked(state: Mapping[Any, Any], size: int) -> dict[str, Tensor]:
    """Check the content of a state dict.

    Args:
        state: Tensors by name, and any other entries of the file.
        size: Most bytes of all tensors together.

    Returns:
        The tensors by name, without the prefix of gcseg's training checkpoints, and without that
        of DistributedDataParallel where all have it.
    """
    for name in state:
        if not isinstance(name, str):
            raise RefusedError(f"{shown(str(name))} in it is not the name of a parameter")
    tensors = _tensors_of(_without_prefix(state))
    pieces = _pieces(tensors)
    if sum(tensor.numel() * tensor.element_size() for tensor in pieces.values()) > size:
        raise RefusedError(f"its tensors claim more bytes than the {size} it has")
    broken = [name for name, tensor in pieces.items() if not _is_finite(tensor)]
    if broken:
        others = f", as {len(broken) - 1} more have" if len(broken) > 1 else ""
        raise RefusedError(f"{shown(broken[0])} has NaN or infinity among its values{others}")
    return tensors


def _without_prefix(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the network's entries of a state dict by the network's own names.

    Other entries of a training, such as the class weights of a loss, are left out.
    """
    if state and all(name.startswith(PARALLEL_PREFIX) for name in state):
        state = {name.removeprefix(PARALLEL_PREFIX): value for name, value in state.items()}
    inner = {
        name.removeprefix(TRAINING_PREFIX): value
        for name, value in state.items()
        if name.startswith(TRAINING_PREFIX) and isinstance(value, Tensor)
    }
    return inner or state


def _tensors_of(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a network's state; other entries are left out if not parameters.

    Raises:
        RefusedError: If a parameter is not a tensor, or has a wrong type.
    """
    tensors = {}
    for name, value in state.items():
        weight = name.rpartition(".")[2] in WEIGHTS
        if isinstance(value, Tensor):
            if value.dtype not in FLOATING and (weight or value.dtype not in WHOLE):
                kind = str(value.dtype).removeprefix("torch.")
                raise RefusedError(f"{shown(name)} is of type {kind}, not floating-point")
            tensors[name] = value.detach()
        elif weight:
            kind = "numpy array" if isinstance(value, Array) else type(value).__name__
            raise RefusedError(f"{shown(name)} is a {kind}, not a tensor")
    return tensors


def _pieces(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that cover each piece of memory once, as tied weights may share it."""
    pieces: dict[object, tuple[str, Tensor]] = {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        pieces.setdefault(place, (name, tensor))
    return dict(pieces.values())


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point():
        return True
    # NaN and infinity reach the sum, which reads the memory once and allocates nothing.
    # Finite numbers may overflow in it, so they are checked one by one then.
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())
