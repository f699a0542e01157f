"""Files that users of the page give: received into a temporary folder, and looked at."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from gcseg.data.channels import ARRAY_SUFFIX, stored_size
from gcseg.data.reading import IMAGE_SUFFIXES
from gcseg.errors import DataError, OutputError
from gcseg.predictor.sources import VIDEO_SUFFIXES
from gcseg.system.text import printable

KEPT = 50
"""Number of files that are kept; the oldest goes when another comes."""
LARGEST_PICTURE = 500 * 10**6
"""Most bytes of a picture's file."""
LARGEST_VIDEO = 4 * 10**9
"""Most bytes of a video's file."""

_SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, ARRAY_SUFFIX)
"""Suffixes that tell readers the kind of a file; others are left out of its path."""
_LONGEST_NAME = 100
_CHUNK = 1 << 20


class Stream(Protocol):
    """Content that arrives in parts."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        ...


@dataclass(frozen=True)
class Upload:
    """A file that was received.

    Args:
        key: Name in addresses, which can't be guessed.
        name: Name that the user knows it by.
        folder: Folder for what is made of it.
        path: The file.
    """

    key: str
    name: str
    folder: Path
    path: Path

    @property
    def is_video(self) -> bool:
        """Return whether the file is read as a video, by its suffix."""
        return is_video(self.name)

    def named(self, message: str) -> str:
        """Replace the file's path and name in a message by the name that the user knows."""
        return message.replace(str(self.path), self.name).replace(self.path.name, self.name)


def is_video(name: str) -> bool:
    """Return whether a file is read as a video, by the suffix of its name."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


class Uploads:
    """The files, in a temporary folder that only this user can read.

    Args:
        gone: Callback that is passed the key of a file that is removed.
    """

    def __init__(self, gone: Callable[[str], None] = lambda key: None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gcseg-demo-", ignore_cleanup_errors=True)
        self._gone = gone
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Return the temporary folder."""
        return Path(self._folder.name)

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()

    def receive(self, name: str, stream: Stream, size: int) -> Upload:
        """Write a file.

        Args:
            name: Name that the browser gives it; no path is taken from it.
            stream: The content.
            size: Number of bytes of the content.

        Raises:
            DataError: The content ends early.
            OutputError: It can't be written.
        """
        name = plain_name(name)
        key = secrets.token_urlsafe(12)
        folder = self.folder / key
        suffix = Path(name).suffix.lower()
        path = folder / f"{key}{suffix if suffix in _SUFFIXES else ''}"
        upload = Upload(key, name, folder, path)
        try:
            folder.mkdir()
            with upload.path.open("xb") as file:
                left = size
                while left and (part := stream.read(min(left, _CHUNK))):
                    file.write(part)
                    left -= len(part)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            why = error.strerror or type(error).__name__
            raise OutputError(f"{name} can't be kept ({why})", "free some space") from None
        if left:
            shutil.rmtree(folder, ignore_errors=True)
            raise DataError(f"{name} did not arrive whole", "drop it again")
        with self._lock:
            self._kept[key] = upload
            oldest = next(iter(self._kept)) if len(self._kept) > KEPT else None
        if oldest is not None:
            self.remove(oldest)
        return upload

    def find(self, key: str) -> Upload:
        """Return a file that was received.

        Raises:
            DataError: There is none of that key any more.
        """
        if (found := self._kept.get(key)) is None:
            raise DataError(
                f"this file is no longer here (the last {KEPT} are kept)", "drop it again"
            )
        return found

    def remove(self, key: str) -> None:
        """Remove a file, if it is still there."""
        if (found := self._kept.pop(key, None)) is not None:
            shutil.rmtree(found.folder, ignore_errors=True)
            self._gone(key)


def plain_name(name: str) -> str:
    """Return the last part of a name, without control characters, and not too long."""
    last = printable(name.replace("\\", "/").rpartition("/")[2]).strip() or "file"
    suffix = Path(last).suffix[:10]
    return last if len(last) <= _LONGEST_NAME else f"{last[: _LONGEST_NAME - 10]}...{suffix}"


def check_size(upload: Upload, channels: int, megapixels: float) -> None:
    """Check by a picture's header, before anything is decoded, that it is not too large.

    Raises:
        DataError: It is.
    """
    most = f"this page takes {megapixels:g} megapixels"
    remedy = "make it smaller, cut it into tiles, or give a larger megapixels= to gcseg.demo"
    size = _size(upload.path, channels)
    if size is not None and size[0] * size[1] > megapixels * 1e6:
        height, width = size
        raise DataError(f"{upload.name} has {height:,} x {width:,} pixels, and {most}", remedy)
    if size is None and _is_bomb(upload.path):
        raise DataError(f"{upload.name} is too large: {most}", remedy)


def _size(path: Path, channels: int) -> tuple[int, int] | None:
    """Return height and width from a header; None if it is not known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if (size := stored_size(path, channels)) is not None:
            return size
    try:  # `Image.open` refuses large pictures before it says how large
        with path.open("rb") as file:
            picture = PngImageFile(file)
            return picture.height, picture.width
    except (OSError, SyntaxError, ValueError):
        return None


def _is_bomb(path: Path) -> bool:
    """Return whether Pillow refuses a file for its number of pixels."""
    try:
        Image.open(path).close()
    except Image.DecompressionBombError:
        return True
    except Exception:  # reading the picture will report the fault
        return False
    return False
