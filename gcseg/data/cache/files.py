"""The files of the decoded cache: arrays in .npy format, named by a digest of their source.

An entry is written whole or not at all, and its name depends on its source's path, size and time
of change. So an entry is valid if it exists and is as long as its header says.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import mmap
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gcseg.data.datasets import Pair
from gcseg.data.images import RGB, Picture, PictureFormat
from gcseg.errors import DataError, OutputError
from gcseg.system.files import atomic_write

_FORMAT = b"gcseg decoded 1"
"""Part of all names; increase the number when decoding or storing changes."""

HEADER_BYTES = 128
# Source: numpy.lib.format, version 1.0: magic, length of the rest, a Python literal, line feed.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00v\x00\{'descr': '(\|u1|<f4)', 'fortran_order': False, "
    rb"'shape': \((\d+), (\d+)(?:, (\d+))?\), \} *\n"
)
_KINDS = {b"|u1": np.dtype(np.uint8), b"<f4": np.dtype("<f4")}

Entry = tuple[str, "str | None"]
"""Paths of a pair's decoded image and label; the label is None in a split without labels."""

Size = tuple[int, int]
"""Height and width."""

LABEL = PictureFormat(channels=0)
"""Form of a label as an entry, H x W of bytes."""

REMEDY = "free space there, or choose another folder with dataset.cache_folder="


class SourceKeys:
    """Digests that name decoded files, made from a source's path, size and time of change.

    Values that many files share are looked up once, so use one object for all pairs of a split.

    Args:
        pictures: Form of the images.
    """

    def __init__(self, pictures: PictureFormat = RGB) -> None:
        self._form = b"" if pictures.is_usual else str(pictures).encode()
        self._ignores = pictures.nodata is not None
        self._folders: dict[str, str] = {}
        self._tables: dict[int, bytes] = {}

    def image(self, pair: Pair) -> str:
        """Return the key of a pair's image.

        Raises:
            DataError: The image is missing.
        """
        bands = [self._key("image", path, b"").encode() for path in pair.bands]
        return self._key("image", pair.image, b"".join((self._form, *bands)))

    def label(self, pair: Pair) -> str | None:
        """Return the key of a pair's label and its label space; None without a label.

        Raises:
            DataError: The label is missing.
        """
        if pair.label is None:
            return None
        space = pair.label_space
        if id(space) not in self._tables:
            of_colors = b"" if space.key is None else repr(space.key).encode()
            self._tables[id(space)] = space.lookup.tobytes() + of_colors
        table = self._tables[id(space)]
        if self._ignores:  # pixels of which the image has no data
            table += self.image(pair).encode()
        return self._key("label", pair.label, table)

    def entry(self, folder: Path, pair: Pair) -> Entry:
        """Return the paths of a pair's arrays, whether or not they exist yet.

        Raises:
            DataError: A source is missing.
        """
        image, label = self.image(pair), self.label(pair)
        return f"{folder}/image-{image}.npy", label and f"{folder}/label-{label}.npy"

    def _key(self, kind: str, path: Path, table: bytes) -> str:
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        try:
            status = path.stat()
        except OSError as error:
            reason = "does not exist" if isinstance(error, FileNotFoundError) else error.strerror
            raise DataError(f"{kind} {path} {reason}", "check dataset.root") from None
        source = f"{self._folders[folder]}/{name} {status.st_size} {status.st_mtime_ns} {kind}"
        content = b"\0".join((_FORMAT, os.fsencode(source), table))
        return hashlib.sha256(content).hexdigest()[:32]


def write_array(path: str, array: Picture) -> None:
    """Write an H x W or H x W x C array of bytes or float32 as an entry.

    Raises:
        OutputError: The folder can't be written or the disk is full.
    """
    shape = f"({', '.join(map(str, array.shape))})"
    kind = "|u1" if array.dtype == np.uint8 else "<f4"
    literal = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    start = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    with writing(Path(path)), atomic_write(Path(path)) as file:
        file.write((start + literal).ljust(HEADER_BYTES - 1) + b"\n")
        file.write(np.ascontiguousarray(array, kind).data)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Add the remedy to errors of writing below the cache's folder."""
    try:
        yield
    except OutputError as error:
        raise OutputError(error.cause, REMEDY) from error
    except OSError as error:
        raise OutputError(f"{path} can't be written ({error.strerror})", REMEDY) from error


def array_size(path: str, form: PictureFormat) -> Size | None:
    """Return height and width of a whole entry; None if it is missing, damaged or cut off.

    Args:
        path: Path of the entry.
        form: Form of the array: that of the images, or `LABEL`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        header = _HEADER.fullmatch(os.read(descriptor, HEADER_BYTES))
        if header is None or _KINDS[header[1]] != form.dtype:
            return None
        if int(header[4] or 0) != form.channels:
            return None
        height, width = int(header[2]), int(header[3])
        values = height * width * max(1, form.channels)
        whole = os.fstat(descriptor).st_size == HEADER_BYTES + values * form.dtype.itemsize
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return (height, width) if whole else None


def entry_size(files: Entry, pictures: PictureFormat = RGB) -> Size | None:
    """Return height and width of a whole image with a whole label of the same size, else None.

    Args:
        files: Paths of both.
        pictures: Form of the image.
    """
    image, label = files
    size = array_size(image, pictures)
    return size if label is None or array_size(label, LABEL) == size else None


def open_array(path: str, size: Size, form: PictureFormat) -> Picture:
    """Map an entry as a read-only array; only the parts that are used are read from the disk.

    Args:
        path: Path of an entry whose size is known.
        size: Height and width.
        form: Form of the array: that of the images, or `LABEL`.

    Raises:
        DataError: The entry is gone or was cut off in the meantime.
    """
    shape = (*size, form.channels) if form.channels else size
    count = math.prod(shape) * form.dtype.itemsize
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pages = mmap.mmap(descriptor, HEADER_BYTES + count, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} of the decoded cache was removed or changed ({error})",
            "start again: missing files are decoded again",
        ) from None
    array: Picture = np.ndarray(shape, form.dtype, pages, HEADER_BYTES)
    return array


@contextmanager
def building(folder: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Lock a folder for writing by this process alone, and remove leftovers of killed ones.

    Args:
        folder: Folder of the cache; made if it is missing.
        say: Callback that is passed a line on the process that is waited for, if there is one.

    Raises:
        OutputError: The folder can't be made, written or locked.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # Lock a file, not the folder itself, because network file systems lock nothing else.
        lock = (folder / ".lock").open("a+")
    with lock:
        with writing(folder):
            _wait_for(lock.fileno(), folder, say)
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}")
            lock.flush()
            for kind in ("image", "label"):
                for leftover in folder.glob(f".{kind}-*.partial"):
                    leftover.unlink(missing_ok=True)
        yield


def _wait_for(lock: int, folder: Path, say: Callable[[str], object]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 1000, 0).decode(errors="replace") or "another process"
        say(f"waiting for {holder}, which is working in {folder}")
        fcntl.flock(lock, fcntl.LOCK_EX)
