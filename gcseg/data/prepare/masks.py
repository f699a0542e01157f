"""Convert labels of another form to index masks, many at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from gcseg.data.label_spaces import UNKNOWN, LabelSpace
from gcseg.data.parallel import Progress, in_parallel
from gcseg.data.prepare.archives import whole
from gcseg.data.reading import UInt8Array, head_of, read_label
from gcseg.errors import DataError

AT_ONCE = 256
"""Number of masks whose sources may be in memory together."""


@dataclass(frozen=True)
class Mask:
    """A mask that is to be written.

    Args:
        target: Path of its PNG file.
        source: Description of its source, for messages.
        picture: Image file whose height and width it must have.
        read: Returns its values, H x W uint8; called in a thread, and only if the file is missing.
    """

    target: Path
    source: str
    picture: Path
    read: Callable[[], UInt8Array]


def write_masks(
    masks: Iterable[Mask],
    total: int,
    space: LabelSpace,
    report: Progress,
    palette: UInt8Array | None = None,
) -> None:
    """Write the masks that are missing and check those that exist.

    Each appears whole or not at all; after a kill the next call writes the missing ones.

    Args:
        masks: Masks to write; the iterable is advanced in the caller's thread only.
        total: Number of masks.
        space: Label space of the allowed values.
        report: Callback that is passed the number of masks done.
        palette: Colours by value, 256 x 3; None for grey masks.

    Raises:
        DataError: A mask has another size than its picture or a value outside its label space, or
            a file can't be read.
        OutputError: A mask can't be written.
    """
    waiting = iter(masks)
    done = 0
    written = False
    while some := list(islice(waiting, AT_ONCE)):
        for new in in_parallel(partial(_ensure, space, palette), some):
            done += 1
            written |= new
            report(done, total)
    if written:
        os.sync()


def _ensure(space: LabelSpace, palette: UInt8Array | None, mask: Mask) -> bool:
    """Check a mask or write it; return whether it was written."""
    if mask.target.exists():
        remedy = f"remove {mask.target} to make it again"
        try:
            values = read_label(mask.target, space)
        except DataError as error:
            raise DataError(error.cause, remedy) from None
        _check_size(values, mask.picture, str(mask.target), remedy)
        return False
    values = mask.read()
    _check_size(values, mask.picture, mask.source, "fetch this file again")
    unknown = np.unique(values[np.asarray(cv2.LUT(values, space.lookup)) == UNKNOWN])
    if unknown.size:
        raise DataError(
            f"{mask.source} holds value "
            f"{', '.join(map(str, unknown.tolist()))}, which is not a class",
            "fetch this file again",
        )
    image = Image.fromarray(values)
    if palette is not None:
        image.putpalette(palette.tobytes())
    with whole(mask.target) as file:
        image.save(file, "PNG")
    return True


def _check_size(values: UInt8Array, picture: Path, source: str, remedy: str) -> None:
    if picture.exists():
        head_of(picture, "image")  # what is no regular file is not opened
    try:
        with Image.open(picture) as image:
            width, height = image.size
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(
            f"{picture}, of which {source} is the label, can't be read ({error})",
            "fetch this file again",
        ) from None
    if values.shape != (height, width):
        found = "x".join(map(str, values.shape))
        raise DataError(
            f"{source} is {found} but its image {picture} is {height}x{width} (height x width)",
            remedy,
        )
