"""JPEG pictures, read strictly: what is missing or wrong in one is an error.

libjpeg, which every library decodes with, goes on after a fault: it fills in what is missing, and
says so in a warning that OpenCV and Pillow keep to themselves. simplejpeg makes errors of them, at
the same speed and with the same pixels.
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
"""How the messages begin for files that OpenCV may read all the same; all others tell of damage."""
_UNUSED = "Invalid SOS parameters"
"""Of what a sequential scan has no use for, and some phones set to zero."""
_SCAN = re.compile(
    rb"(\xff\xda\x00(?:\x08\x01.{2}|\x0a\x02.{4}|\x0c\x03.{6}|\x0e\x04.{8})).{3}", re.DOTALL
)
_HEADERS = 1 << 18  # bytes in which a camera's notes stand, a thumbnail with them


def read_jpeg(content: bytes) -> UInt8Array | None:
    """Decode a JPEG file, upright as its EXIF orientation says.

    Returns:
        H x W x 3 uint8 RGB; None for what simplejpeg does not decode and other libraries may.

    Raises:
        DamagedError: Something is missing or wrong in it.
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
    """How many pixels a JPEG file has by its header; 0 if that can't be told."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return 0
    return int(height) * int(width)


def _orientation(content: bytes) -> int:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # EXIF may be damaged in any way; the picture is not
        return 1
