"""Pictures with other channels than 8-bit RGB: TIFF, NumPy arrays, and one file for each band."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from gcseg.data import jpeg
from gcseg.data.faults import FileError
from gcseg.data.images import (
    MOST_PIXELS,
    ORIENTATION,
    RGB,
    DamagedError,
    Picture,
    PictureFormat,
    UnsuitableError,
    oriented,
    upper_bits_of,
)
from gcseg.data.reading import head_of, is_cut_off, read_image
from gcseg.data.tiff import STARTS as TIFF_STARTS
from gcseg.data.tiff import tiff_samples

ARRAY_SUFFIX = ".npy"
"""Suffix of files that hold one array of NumPy."""

MOST_CHANNELS = 16
"""Largest number of channels of a picture."""

_ARRAY_START = b"\x93NUMPY"
_PALETTE, _WHITE_IS_ZERO = 3, 0  # photometric interpretations of a TIFF
_NODATA_OF_GDAL = 42113  # tag of a TIFF
_INSTALL = "install it: pip install 'gcseg[bands]'"
_LARGEST_BYTE = 255
_REASONABLE = 64  # bytes of a pixel that are still decoded, to say how many channels it has

Mask = npt.NDArray[np.bool_]

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its lines name no file, errors do


def read_picture(paths: Sequence[Path], form: PictureFormat) -> tuple[Picture, Mask | None]:
    """Read a picture in any form; several files are its bands, in their order.

    Args:
        paths: One file or more of the same size. A file may have several channels.
        form: Form of the result.

    Returns:
        The picture, H x W x C of `form.dtype`, and the pixels without data, H x W, whose values are
        0; None for these if there are none.

    Raises:
        FileError: A file is missing, damaged, of another size or number of channels than wanted, or
            holds values that have no place in 0..1.
    """
    parts = [_read(path, form, alone=len(paths) == 1) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.shape[:2] != parts[0].shape[:2]:
            raise _fault(
                path,
                f"is {part.shape[0]}x{part.shape[1]}, but band {paths[0]} of the same picture is "
                f"{parts[0].shape[0]}x{parts[0].shape[1]} (height x width)",
                "resample the bands to one size",
            )
    raw = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    if raw.shape[2] == 1 and form.channels == 3 and len(paths) == 1:  # grey, as ever
        raw = np.repeat(raw, 3, axis=2)
    if raw.shape[2] != form.channels:
        raise _other_channels(paths, raw.shape[2], form.channels)
    missing = _without_data(raw, paths[0], form)
    picture = _scaled(raw, paths[0], form)
    if missing is not None:
        picture = np.array(picture)
        picture[missing] = 0
    return picture, missing


def is_array(path: Path) -> bool:
    """Return whether a file holds an array of NumPy, by its suffix."""
    return path.suffix.lower() == ARRAY_SUFFIX


def stored_size(path: Path, channels: int) -> tuple[int, int] | None:
    """Return height and width from a picture's header, upright; None if that can't be read.

    What is no regular file has none: opening a named pipe would wait for a writer.

    Args:
        path: Path of the picture.
        channels: Number of its channels.
    """
    if not path.is_file():
        return None
    try:
        if is_array(path):
            height, width, _ = _height_first(_open_array(path), channels).shape
            return height, width
        with Image.open(path) as image:
            width, height = image.size
            # For EXIF behind a PNG's pixels, Pillow would decode all of it.
            turned = image.format == "JPEG" and image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        return (width, height) if turned else (height, width)
    except Exception:  # reading the picture will report the fault
        try:
            samples = tiff_samples(path)  # Pillow does not know all of them
        except DamagedError:
            return None
        return samples.height, samples.width


def _fault(path: Path, reason: str, remedy: str) -> FileError:
    return FileError(f"image {path} {reason}", remedy, kind="unreadable image", files=[path])


def _other_channels(paths: Sequence[Path], found: int, wanted: int) -> FileError:
    """Return the error for a picture of another number of channels."""
    have = f"and {len(paths) - 1} more files have" if len(paths) > 1 else "has"
    remedy = f"give pictures of {_counted(wanted)}, or dataset.channels={found} if all have them"
    if found > MOST_CHANNELS:
        remedy = f"store at most {MOST_CHANNELS} channels, as height x width x channels"
    reason = f"{have} {_counted(found)} where dataset.channels={wanted}"
    return _fault(paths[0], reason, remedy)


def _counted(channels: int) -> str:
    return f"{channels} channel{'' if channels == 1 else 's'}"


def _read(path: Path, form: PictureFormat, *, alone: bool) -> Picture:
    """Read the raw values of a file, H x W x its channels.

    Args:
        path: Path of the file.
        form: Form of the whole picture.
        alone: Whether the file holds all channels, and not a part.

    Raises:
        FileError: The file can't be read.
    """
    channels = form.channels if alone else None
    head = head_of(path, "image")
    try:
        if head.startswith(TIFF_STARTS):
            return _read_tiff(path, form)
        if head.startswith(_ARRAY_START):
            return np.array(_height_first(_open_array(path), channels))
        return _read_other(path, head, channels)
    except DamagedError as error:
        raise _fault(
            path,
            f"is damaged ({error}; {path.stat().st_size} bytes)",
            "fetch this file again, or leave it out",
        ) from None
    except UnsuitableError as error:
        raise _fault(path, error.reason, error.remedy) from None


def _read_tiff(path: Path, form: PictureFormat) -> Picture:
    """Read all channels of the first picture of a TIFF, upright; pages of one size are channels.

    Raises:
        DamagedError: Part of the file is missing or wrong.
        UnsuitableError: It holds no such picture, or a library is missing that reads it.
    """
    try:
        import tifffile
    except ImportError:
        raise UnsuitableError("needs the library tifffile", _INSTALL) from None
    try:
        with tifffile.TiffFile(path) as file:
            series, page = file.series[0], file.pages.first
            if page.photometric in (_PALETTE, _WHITE_IS_ZERO) and series.ndim == 2:
                raise UnsuitableError(
                    "is a TIFF with a palette or with white as 0", "store values as they are meant"
                )
            axes = "".join(
                axis for axis, size in zip(series.axes, series.shape, strict=True) if size > 1
            )
            others = axes.replace("Y", "").replace("X", "")
            sizes = dict(zip(series.axes, series.shape, strict=True))
            height, width = sizes.get("Y", 1), sizes.get("X", 1)
            if len(others) > 1:
                shape = " x ".join(map(str, series.shape))
                raise UnsuitableError(
                    f"has more axes than height, width and channels ({shape})",
                    "store one picture per file",
                )
            channels = sizes[others] if others else 1
            _check_size(height, width, channels, series.dtype)
            _check_whole(file, path.stat().st_size)
            array = series.asarray().reshape([sizes[axis] for axis in axes])
            if form.nodata is None:
                _check_all_data(array, page.tags.get(_NODATA_OF_GDAL))
            tag = page.tags.get(ORIENTATION)
            orientation = 1 if tag is None else int(tag.value)
    except (DamagedError, UnsuitableError):
        raise
    except Exception as error:  # of many types in damaged files
        text = " ".join(str(error).split())
        if "imagecodecs" in text:
            raise UnsuitableError(
                "is compressed in a way that needs the library imagecodecs", _INSTALL
            ) from None
        raise DamagedError(text[:200] or type(error).__name__) from None
    if others:
        array = np.moveaxis(array, axes.index(others), -1)
    return oriented(array.reshape(height, width, channels), orientation)


def _check_whole(file: Any, size: int) -> None:
    """Check that all strips and tiles lie in the file: tifffile fills what is missing with zeros.

    Raises:
        DamagedError: One lies behind the file's end.
    """
    for page in file.series[0].pages:
        parts = zip(page.dataoffsets, page.databytecounts, strict=True)
        if any(start + count > size for start, count in parts):
            raise DamagedError("its end is missing")


def _check_all_data(array: Picture, tag: Any) -> None:
    """Check that no pixel has the value that the file itself says to stand for missing data.

    Raises:
        UnsuitableError: Some have it.
    """
    try:
        value = float(str(tag.value).strip("\0 "))
    except (AttributeError, ValueError):
        return
    if count := int(np.count_nonzero(array == value)):
        raise UnsuitableError(
            f"says that {value:g} stands for no data, which {100 * count / array.size:.2g} % of "
            "its values are",
            f"dataset.nodata={value:g} ignores such pixels, dataset.nodata=nan takes them as data",
        )


def _check_size(height: int, width: int, channels: int, dtype: np.dtype[Any]) -> None:
    """Check a picture before it is decoded.

    Raises:
        UnsuitableError: It is too large.
    """
    if height * width >= MOST_PIXELS:
        raise UnsuitableError("is too large", "cut it into parts of less than 2^30 pixels")
    if channels * dtype.itemsize > _REASONABLE * MOST_CHANNELS:
        raise UnsuitableError(
            f"has {channels} channels ({height}x{width} pixels)",
            "store at most 16 channels, as height x width x channels",
        )


def _open_array(path: Path) -> Picture:
    """Map an array of NumPy; nothing in the file is run.

    Raises:
        DamagedError: The file is cut off or no such array.
        UnsuitableError: The array is of another type or shape than a picture's.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError, OverflowError) as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise UnsuitableError(
                "holds Python objects, which are not read", "save an array of numbers with np.save"
            ) from None
        raise DamagedError(" ".join(str(error).split())[:200]) from None
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3) or 0 in array.shape:
        raise UnsuitableError(
            f"holds an array of shape {' x '.join(map(str, np.shape(array))) or 'nothing'}",
            "save height x width x channels",
        )
    return array


def _height_first(array: Picture, channels: int | None) -> Picture:
    """Return an array as height x width x channels.

    Of rasterio's order, channels x height x width, it is taken to be where only that fits.

    Raises:
        UnsuitableError: It is too large.
    """
    if array.ndim == 2:
        array = array[..., None]
    wanted = range(1, MOST_CHANNELS + 1) if channels is None else (channels,)
    if array.shape[2] not in wanted and array.shape[0] in wanted:
        array = array.transpose(1, 2, 0)
    height, width, found = array.shape
    _check_size(height, width, found, array.dtype)
    return array


def _read_other(path: Path, head: bytes, channels: int | None) -> Picture:
    """Read a PNG or another file that OpenCV knows, with its bits and, of four channels, its alpha.

    Raises:
        FileError: It can't be read.
        DamagedError: It is cut off.
    """
    if head.startswith(jpeg.START):
        photo = read_image(path)
        grey = simplejpeg.decode_jpeg_header(path.read_bytes())[2].lower() == "gray"
        return photo[..., :1] if grey else photo
    flags = cv2.IMREAD_UNCHANGED if channels == 4 else cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
    image: Picture | None
    try:
        image = cv2.imread(str(path), flags)
    except cv2.error:
        image = None
    if image is None or is_cut_off(path):
        return read_image(path)  # names the fault, or reads what OpenCV does not
    if image.ndim == 2:
        return image[..., None]
    return np.ascontiguousarray(image[..., (2, 1, 0, 3)[: image.shape[2]]])


def _without_data(raw: Picture, path: Path, form: PictureFormat) -> Mask | None:
    """Return the pixels of which a channel holds no data; None if there are none.

    Raises:
        FileError: Values are NaN or infinite, and the form says no value for missing data.
    """
    missing: Mask | None = None
    if raw.dtype.kind == "f":
        wrong = np.asarray(~np.isfinite(raw).all(axis=2))
        if wrong.any():
            missing = wrong
            if form.nodata is None:
                share = 100 * float(wrong.mean())
                raise _fault(
                    path,
                    f"has NaN or infinity in {share:.2g} % of its pixels",
                    "dataset.nodata=nan ignores such pixels",
                )
    if form.nodata is not None and not math.isnan(form.nodata):
        empty = np.asarray((raw == form.nodata).any(axis=2))
        if empty.any():
            missing = empty if missing is None else missing | empty
    return missing


def _scaled(raw: Picture, path: Path, form: PictureFormat) -> Picture:
    """Return raw values as the form has them in memory.

    Raises:
        FileError: They are no bytes, and the form has no scale; or they are, and its scale is for
            larger values.
    """
    if raw.dtype.kind not in "uif" and raw.dtype.kind != "b":
        raise _fault(path, f"holds values of type {raw.dtype}", "store real numbers")
    if form.scale is None:
        if raw.dtype == np.uint8:
            return raw
        if raw.dtype == np.uint16 and form.channels == RGB.channels:
            try:
                return upper_bits_of((raw >> 8).astype(np.uint8))
            except UnsuitableError as error:
                raise _fault(path, error.reason, error.remedy) from None
        kind = {"u": "unsigned integers", "i": "signed integers", "f": "floats"}
        finite = raw[np.isfinite(raw)] if raw.dtype.kind == "f" else raw
        least, most = (finite.min(), finite.max()) if finite.size else (0, 0)
        raise _fault(
            path,
            f"holds {8 * raw.dtype.itemsize}-bit {kind.get(raw.dtype.kind, 'values')}, from "
            f"{least:g} to {most:g}",
            "say which value counts as 1, such as dataset.scale=10000 or dataset.scale=65535, or "
            "which ones as 0 and 1: dataset.scale=[-30,0]",
        )
    least, most = form.scale
    if raw.dtype == np.uint8 and max(abs(least), abs(most)) > _LARGEST_BYTE:
        raise _fault(
            path,
            f"has 8 bits per channel, so that raw values {least:g} to {most:g} would leave it "
            "nearly black",
            "store it with the bits of the others, or give dataset.scale=255 if all have 8",
        )
    exact = np.float32 if raw.dtype.itemsize <= 2 or raw.dtype == np.float32 else np.float64
    values = raw.astype(exact)
    if least:
        values -= exact(least)
    values *= exact(1 / (most - least))
    return values.astype(np.float32, copy=False)
