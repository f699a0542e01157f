"""TIFF reader: reports how a file stores its samples, and reads those of 8 and 16 bits.

OpenCV silently scales other samples, can't turn pictures, and continues after broken strips.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from gcseg.data.images import MOST_PIXELS, DamagedError, UInt8Array, UnsuitableError, upper_bits_of

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of the four kinds: little and big endian, each also as BigTIFF."""

_BITS, _CHANNELS, _EXTRA, _FORMAT, _WIDTH, _HEIGHT = 258, 277, 338, 339, 256, 257
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3

warnings.filterwarnings("ignore", module="PIL.TiffImagePlugin")  # they name no file, errors do

_KINDS = {_UNSIGNED: "unsigned integers", _SIGNED: "signed integers", _FLOAT: "floats"}
_REMEDY = (
    "scale its values to 0 to 255 as suits them, and store 8 bits per sample (PNG or TIFF), or set "
    "dataset.scale"
)


class Samples(NamedTuple):
    """Sample format of the first page of a TIFF.

    Args:
        bits: Bits per sample.
        kind: Type of the samples: 1 for unsigned integers, 2 for signed ones, 3 for floats.
        channels: Samples per pixel, including those with other meanings than colour.
        extra: Number of these with another meaning, such as transparency.
        height: Height of the page, in pixels, as stored.
        width: Width of the page, in pixels, as stored.
    """

    bits: int
    kind: int
    channels: int
    extra: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        """Number of pixels of the page."""
        return self.height * self.width

    def __str__(self) -> str:
        """Describe the samples for messages: 32-bit floats."""
        return f"{self.bits}-bit {_KINDS.get(self.kind, f'samples of kind {self.kind}')}"


def tiff_samples(path: Path) -> Samples:
    """Read how a TIFF stores its pixels.

    Raises:
        DamagedError: Its header can't be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if 43 in start[2:4]:  # BigTIFF
                start += file.read(8)
            tags = ImageFileDirectory_v2(start)
            file.seek(tags.next)
            tags.load(file)
        bits, kinds = tags.get(_BITS, (1,)), tags.get(_FORMAT, (_UNSIGNED,))
        return Samples(
            bits=max(bits),
            kind=max(kind if kind in _KINDS else _UNSIGNED for kind in kinds),
            channels=int(tags.get(_CHANNELS, 1)),
            extra=len(tags.get(_EXTRA, ())),
            height=int(tags[_HEIGHT]),
            width=int(tags[_WIDTH]),
        )
    except Exception:  # Pillow raises errors of many types
        raise DamagedError("its header can't be read") from None


def read_tiff(path: Path) -> UInt8Array | None:
    """Read the first page of a TIFF as a picture, upright.

    Of 16 unsigned bits the upper 8 are taken, as with a PNG.

    Returns:
        H x W x 3 uint8 RGB; None for undamaged files of kinds that Pillow does not know.

    Raises:
        DamagedError: Part of the file is missing or wrong.
        UnsuitableError: Its samples are no 8-bit pictures, or it has too many pixels.
    """
    samples = tiff_samples(path)
    if samples.kind != _UNSIGNED or samples.bits > 16:
        raise UnsuitableError(f"holds {samples}", _REMEDY)
    if samples.channels > 4 or (samples.channels == 2 and not samples.extra):
        raise UnsuitableError(
            f"has {samples.channels} channels",
            "store grey, or the three that count as RGB, or set dataset.channels",
        )
    if samples.pixels >= MOST_PIXELS:
        raise UnsuitableError("is too large", "cut it into parts of less than 2^30 pixels")
    with opened_tiff(path) as picture:
        if picture is None:
            return None
        if picture.mode.startswith("I"):
            grey = (np.asarray(picture) >> 8).astype(np.uint8)
            image = np.repeat(grey[..., None], 3, axis=2)
        else:
            image = np.array(picture if picture.mode == "RGB" else picture.convert("RGB"), np.uint8)
    return upper_bits_of(image) if samples.bits == 16 else image


@contextmanager
def opened_tiff(path: Path) -> Iterator[TiffImageFile | None]:
    """Open the first page of a TIFF for the `with` statement; None if Pillow does not know it.

    Raises:
        DamagedError: The file can't be read, also in the body of the `with` statement.
    """
    # `Image.open` refuses large pictures and warns of half as large ones.
    try:
        with path.open("rb") as file:
            try:
                picture = TiffImageFile(file)
            except SyntaxError as error:
                if "unknown" not in str(error):
                    raise
                yield None
                return
            yield picture
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedError(str(error)) from None
