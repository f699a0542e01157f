"""Checkpoint files of every format, written as their frameworks write them, and odd ones."""

import atexit
import functools
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

NAME_TABLE = "StructuredToParameterName@@"


def write_paddle(path, tensors, protocol=4, table=True):
    content = {name: tensor.numpy() for name, tensor in tensors.items()}
    if table:
        content[NAME_TABLE] = {name: f"conv2d_{i}.w_0" for i, name in enumerate(content)}
    path.write_bytes(pickle.dumps(content, protocol))


def write_archive(path, tensors):
    inner = path.with_suffix(".inner")
    write_paddle(inner, tensors)
    write_tar(path, {"resnet/": None, "resnet/model.pdparams": inner.read_bytes()})


def write_tar(path, members):
    """A .tar.gz of contents by name, `None` for a folder, or of whole `TarInfo`s."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, tarfile.TarInfo):
                info = content
            elif content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)


def write_mmseg(path, tensors, **arguments):
    meta = {"mmseg_version": "0.11.0", "CLASSES": ("road", "sky"), "PALETTE": [[0, 1, 2]]}
    torch.save({"meta": meta, "state_dict": tensors}, path, **arguments)


FOUR_ONES = np.ones(4, "<f4").tobytes()
LEGACY = {"_use_new_zipfile_serialization": False}  # the format of torch < 1.6

# name: (what the reader calls the format, how to write it)
WRITERS = {
    "pdparams, protocol 2": ("PaddlePaddle", lambda p, t: write_paddle(p, t, 2)),
    "pdparams, protocol 4": ("PaddlePaddle", write_paddle),
    "pdparams, protocol 5": ("PaddlePaddle", lambda p, t: write_paddle(p, t, 5)),
    "pdparams without names": ("PaddlePaddle", lambda p, t: write_paddle(p, t, 2, False)),
    "tar.gz": ("PaddlePaddle", write_archive),
    "pth": ("PyTorch", lambda p, t: torch.save(t, p)),
    "pth of mmseg": ("PyTorch", write_mmseg),
    "legacy pth": ("PyTorch", lambda p, t: torch.save(t, p, **LEGACY)),
    "legacy pth of mmseg": ("PyTorch", lambda p, t: write_mmseg(p, t, **LEGACY)),
    "safetensors": ("safetensors", lambda p, t: save_file(t, p)),
}


class Reduced:
    """Pickles to a call of a function with arguments, and perhaps to a state after it."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


def array(shape, dtype, data, columns_first=False):
    """Pickles to an array of numpy that claims what it likes."""
    function = np.ones(1).__reduce__()[0]
    state = (1, shape, dtype, columns_first, data)
    return Reduced(function, (np.ndarray, (0,), b"b"), state)


class Storage(tuple):
    """Pickles to a reference to a storage."""


def torch_pickle(content):
    """What torch.save pickles, of storages that claim what they like."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return tuple(value) if isinstance(value, Storage) else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(content)
    return buffer.getvalue()


def torch_records(content, storages=(FOUR_ONES,)):
    """The records of a file of torch.save by name."""
    records = {"x/data.pkl": torch_pickle(content), "x/byteorder": b"little"}
    records |= {f"x/data/{i}": data for i, data in enumerate(storages)}
    return records | {"x/version": b"3\n"}


def write_zip(path, records, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)


def claimed_tensor(
    shape, strides, numel=4, offset=0, key="0", kind=torch.FloatStorage, grad=False, hooks=None
):
    """Pickles to a tensor of torch that claims what it likes."""
    storage = Storage(("storage", kind, key, "cpu", numel))
    arguments = (storage, offset, shape, strides, grad, hooks or {})
    return Reduced(torch._utils._rebuild_tensor_v2, arguments)


def write_safetensors(path, header, data):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


READER = """
import json, os, resource, sys
from pathlib import Path
from gcseg.weights import load_torch, read_checkpoint_file
from gcseg.errors import WeightsError

def attempt(read, path):
    try:
        read(path)
    except WeightsError as error:
        return str(error)
    except BaseException as error:
        return f"{type(error).__name__}: {error}", "not a WeightsError"
    return None

def read_all(paths, megabytes):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for path in map(Path, paths):
        print(json.dumps([attempt(read, path) for read in (read_checkpoint_file, load_torch)]))
        sys.stdout.flush()

for line in sys.stdin:
    child = os.fork()
    if not child:
        read_all(*json.loads(line))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Program that has imported what reads, and reads files in a new process for each line."""


@functools.cache
def reader():
    process = subprocess.Popen(
        [sys.executable, "-c", READER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        text=True,
    )
    atexit.register(process.communicate)
    return process


def read_apart(paths, megabytes):
    """Read files in a process of its own that may take some more memory than it starts with.

    Returns:
        For each file the outcomes of `read_checkpoint_file` and `load_torch`: `None` if it was
        read, the message of a `WeightsError`, or a list with anything else.
    """
    process = reader()
    # The bounds on time are about hanging alone.
    hangs = threading.Timer(60 + len(paths), process.kill)
    hangs.start()
    try:
        print(json.dumps([list(map(str, paths)), megabytes]), file=process.stdin, flush=True)
        answers = []
        while not isinstance(answer := json.loads(process.stdout.readline() or "-1"), int):
            answers.append(answer)
    finally:
        hangs.cancel()
    assert answer == 0, f"{paths[len(answers)]} ended the process: {answer}"
    assert len(answers) == len(paths)
    return answers
