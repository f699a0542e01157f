"""Images as Python code holds them, brought to the form in which files are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from gcseg.data.images import Picture, PictureFormat
from gcseg.data.reading import UInt8Array
from gcseg.errors import DataError

_RGB_FORMS = (
    "give H x W x 3 uint8 RGB, a PIL image, or a tensor 3 x H x W of uint8 or of floats in 0..1"
)

_LARGEST_BYTE = 255


def as_picture(image: object, form: PictureFormat) -> Picture:
    """Convert an image to the form in which a dataset's files are read.

    Args:
        image: A PIL image of any mode; an array H x W x C or, of one channel or grey, H x W; or a
            tensor C x H x W. For RGB they hold uint8, or floats in 0..1, which are rounded to 256
            steps; for other forms the raw values that `form` scales.
        form: Form of the pictures that the network was trained on.

    Returns:
        H x W x C of `form.dtype`.

    Raises:
        DataError: The type, the shape or the values are others.
    """
    if form.is_rgb and isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"), np.uint8)
    remedy = _RGB_FORMS if form.is_rgb else f"give an array H x W x C or a tensor C x H x W: {form}"
    if isinstance(image, Tensor):
        array = image.detach().cpu().numpy()
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise DataError(f"the image is of type {type(image).__name__}", remedy)
    if array.ndim == 2:
        array = array[..., None]
    if form.is_rgb and array.shape[2:] == (1,):
        array = np.repeat(array, 3, axis=2)
    if array.ndim != 3 or array.shape[2] != form.channels or not array.size:
        shape = " x ".join(map(str, image.shape))
        raise DataError(f"the image is {shape}", remedy)
    if form.scale is not None:
        return _scaled(array, *form.scale, remedy)
    return _bytes(array, remedy)


def _bytes(array: npt.NDArray[Any], remedy: str) -> UInt8Array:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"the image holds {array.dtype}", remedy)
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # false for NaN too
        raise DataError(f"the image holds floats from {low:.3g} to {high:.3g}", remedy)
    return np.ascontiguousarray((array * 255).round().astype(np.uint8))


def _scaled(array: npt.NDArray[Any], least: float, most: float, remedy: str) -> Picture:
    if array.dtype == np.uint8 and most > _LARGEST_BYTE:
        raise DataError(f"the image holds bytes, where raw values reach {most:g}", remedy)
    low, high = float(array.min()), float(array.max())
    if not (low >= least and high <= most):  # false for NaN too
        raise DataError(f"the image holds values from {low:g} to {high:g}", remedy)
    return np.ascontiguousarray(((array - least) / (most - least)).astype(np.float32))
