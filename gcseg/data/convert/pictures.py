"""Pictures of a conversion: their size, and their way to its folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from gcseg.data.images import ORIENTATION
from gcseg.data.reading import head_of, read_image
from gcseg.errors import DataError


def place_picture(picture: Path | Callable[[], bytes], target: Path, *, copy: bool) -> None:
    """Put a picture in its place.

    Args:
        picture: Its file, or a function that returns its content.
        target: Its place.
        copy: Whether to copy; a hard link is made otherwise, where the file system can.

    Raises:
        DataError: The picture can't be read.
        OSError: The place can't be written.
    """
    if callable(picture):
        target.write_bytes(picture())
        return
    if not picture.is_file():
        raise DataError(f"picture {picture} is no regular file", "put a picture in its place")
    if not copy:
        try:
            os.link(picture.resolve(), target)
        except OSError:  # another disk
            pass
        else:
            return
    try:
        content = picture.open("rb")
    except OSError as error:
        raise DataError(
            f"picture {picture} can't be opened ({error.strerror})", "check who may read it"
        ) from None
    with content, target.open("xb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


def picture_size(path: Path) -> tuple[int, int]:
    """Return height and width of a picture as it is read, turned upright.

    Raises:
        DataError: It is no picture.
    """
    head_of(path, "image")  # what is no regular file is not opened
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION) in (5, 6, 7, 8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        found = read_image(path).shape  # of formats that Pillow does not know
        return found[0], found[1]
    return (width, height) if turned else (height, width)
