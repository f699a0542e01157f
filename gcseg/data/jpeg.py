"""Strict reader of JPEG pictures: missing or wrong data is an error.

libjpeg, which every library decodes with, continues after a fault: it fills in the missing part and
gives a warning that OpenCV and Pillow suppress. simplejpeg raises these warnings as errors, at the
same speed and with the same pixels.
"""

from __future__ import annotations

import io
import re

import simplejpeg
from PIL import Image

from gcseg.data.images import ORIENTATION, DamagedError, UInt8Array, oriented

START = b"\xff\xd8"

_LEFT_TO_OTHERS = (
    "Warning: unknown JFIF revision",
    "Unknown Adobe color transform",
    "Unsupported color",
    "Unsupported JPEG",
    "Could not determine",
    "tjDecompressHeader",
)
"""Start of the messages for files that OpenCV may still read; all others report damage."""
_UNUSED = "Invalid SOS parameters"
"""Start of the message on values that a sequential scan ignores and some phones set to zero."""
_SCAN = re.compile(
    rb"(\xff\xda\x00(?:\x08\x01.{2}|\x0a\x02.{4}|\x0c\x03.{6}|\x0e\x04.{8})).{3}", re.DOTALL
)
_HEADERS = 1 << 18  # bytes searched for EXIF, a thumbnail included


def read_jpeg(content: bytes) -> UInt8Array | None:
    """Decode a JPEG file, upright as its EXIF orientation says.

    Returns:
        H x W x 3 uint8 RGB; None for files that simplejpeg can't decode but other libraries may.

    Raises:
        DamagedError: Part of the file is missing or wrong.
    """
    try:
        try:
            image = simplejpeg.decode_jpeg(content, "RGB")
        except ValueError as error:
            if not str(error).startswith(_UNUSED):
                raise
            image = simplejpeg.decode_jpeg(_SCAN.sub(rb"\1\0?\0", content), "RGB")
    except ValueError as error:
        if str(error).startswith(_LEFT_TO_OTHERS):
            return None
        raise DamagedError(str(error)) from None
    return oriented(image, _orientation(content)) if b"Exif" in content[:_HEADERS] else image


def pixels_of(content: bytes) -> int:
    """Return the number of pixels in a JPEG file's header; 0 if it can't be read."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return 0
    return int(height) * int(width)


def _orientation(content: bytes) -> int:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # EXIF can be damaged in any way in an intact picture
        return 1
