"""A random window of a randomly scaled image; the rest is neither read nor resized."""

from __future__ import annotations

from typing import Any

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

from gcseg.data.images import Picture
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.reading import UInt8Array, count_values
from gcseg.data.resize import ResizeToFit, scaled_size

MAX_REDRAWS = 10
"""Largest number of redraws of a window that one class dominates, as in mmsegmentation."""

MISALIGNMENT = 1 / 256
"""Largest offset of a resized window in source pixels; it changes values by under a level."""


class KeepsViews(A.DualTransform):  # type: ignore[misc]  # albumentations is untyped
    """A transform that takes and returns arrays without copying them.

    albumentations copies arrays that are not contiguous, in full, before and after a transform.
    """

    def apply_with_params(
        self, params: dict[str, Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Transform the entries that have a function, and pass on the rest."""
        return {
            key: value
            if value is None or key not in self._key2func
            else self._key2func[key](value, **params)
            for key, value in kwargs.items()
        }


class RandomScaledCrop(KeepsViews):
    """Resize by a random factor and take a random window; only the window's pixels are computed.

    Only the rows and columns of the source that the window needs are read, and at most a few more;
    the source may be a memory map. Labels are exactly those of resizing the whole with OpenCV and
    then cropping. So are photographs at steps of 0.25; at other scales they differ by at most a
    level, 0.02 on average. Where black pixels alternate with white, it may be 3.

    An image smaller than the window in a direction is taken whole in it; padding comes after
    normalisation, where its colour is exact.

    Called with `focus=(row, column)`, a pixel of the source, it draws from the windows that contain
    this pixel; None stands for all windows.

    Source: PaddleSeg's ResizeStepScaling and the cropping half of RandomPaddingCrop; with `fit` and
    `cat_max_ratio` mmsegmentation's Resize and RandomCrop.

    Args:
        height: Window height in pixels.
        width: Window width in pixels.
        scale_min: Smallest factor.
        scale_max: Largest factor.
        scale_step: Distance between the possible factors; 0 draws from the whole range.
        fit: Rectangle to which the factor applies, and into which the image is resized to fit; None
            to apply the factor to the image.
        cat_max_ratio: A window is drawn again, at most 10 times, if only one class is labelled in
            it or one has at least this fraction of the labelled pixels; 1 accepts any window, and
            so does an image without a mask.
        p: Probability of applying the transform.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    def __init__(
        self,
        height: int,
        width: int,
        scale_min: float = 0.5,
        scale_max: float = 2.0,
        scale_step: float = 0.25,
        fit: ResizeToFit | None = None,
        cat_max_ratio: float = 1.0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        self.height = height
        self.width = width
        self.scale_min = scale_min
        self.scale_max = scale_max
        self.scale_step = scale_step
        self.fit = fit
        self.cat_max_ratio = cat_max_ratio

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, int]:
        """Draw the scaled size and the window in it, in pixels."""
        height, width = params["shape"][:2]
        scaled = scaled_size(height, width, self._draw_scale(), self.fit)
        focus = data.get("focus")
        if focus is not None:
            focus = tuple(map(_scaled_pixel, focus, (height, width), scaled))
        window = self._draw_window(scaled, focus)
        if self.cat_max_ratio < 1 and data.get("mask") is not None:
            for _ in range(MAX_REDRAWS):
                if self._is_mixed(self.apply_to_mask(data["mask"], **window)):
                    break
                window = self._draw_window(scaled, focus)
        return window

    def _draw_scale(self) -> float:
        if not self.scale_step:
            return float(self.py_random.uniform(self.scale_min, self.scale_max))
        steps = int((self.scale_max - self.scale_min) / self.scale_step + 1e-6)
        return self.scale_min + self.scale_step * int(self.py_random.randint(0, steps))

    def _draw_window(
        self, scaled: tuple[int, int], focus: tuple[int, int] | None
    ) -> dict[str, int]:
        corner = []
        for axis, size in enumerate((self.height, self.width)):
            first, last = 0, max(scaled[axis] - size, 0)
            if focus is not None:
                first, last = max(focus[axis] - size + 1, first), min(focus[axis], last)
            corner.append(self.py_random.randint(first, last))
        return {
            "scaled_height": scaled[0],
            "scaled_width": scaled[1],
            "top": corner[0],
            "left": corner[1],
        }

    def _is_mixed(self, label: UInt8Array) -> bool:
        pixels = count_values(label)[:IGNORE_INDEX]
        several = np.count_nonzero(pixels) > 1
        return bool(several and pixels.max() / pixels.sum() < self.cat_max_ratio)

    def apply(
        self,
        img: Picture,
        *,
        scaled_height: int,
        scaled_width: int,
        top: int,
        left: int,
        **_: Any,
    ) -> Picture:
        """Compute the window of an image, H x W x C."""
        height, width = img.shape[:2]
        rows, columns = min(self.height, scaled_height), min(self.width, scaled_width)
        if (height, width) == (scaled_height, scaled_width):
            return np.array(img[top : top + rows, left : left + columns])
        first_row, last_row, above = _needed(height, scaled_height, top, rows)
        first_column, last_column, before = _needed(width, scaled_width, left, columns)
        source = img[first_row:last_row, first_column:last_column]
        by_row, by_column = scaled_height / height, scaled_width / width
        if source.shape[:2] == (
            round(source.shape[0] * by_row),
            round(source.shape[1] * by_column),
        ):  # OpenCV would only copy: at a scale so near to 1 only the whole has another size
            source, above, before = img, top, left
        resized = cv2.resize(source, None, fx=by_column, fy=by_row, interpolation=cv2.INTER_LINEAR)
        window = resized[above : above + rows, before : before + columns]
        return np.ascontiguousarray(window, img.dtype).reshape(rows, columns, *img.shape[2:])

    def apply_to_mask(
        self,
        mask: UInt8Array,
        *,
        scaled_height: int,
        scaled_width: int,
        top: int,
        left: int,
        **_: Any,
    ) -> UInt8Array:
        """Compute the window of a label, H x W, without mixing classes."""
        rows = _nearest(mask.shape[0], scaled_height, top, self.height)
        columns = _nearest(mask.shape[1], scaled_width, left, self.width)
        part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if part.shape[:2] == (rows.size, columns.size):  # at scale 1
            return np.array(part)
        # Whole rows, then those of the transpose: far faster than pixel by pixel.
        turned = cv2.transpose(part.take(rows - rows[0], axis=0))
        window = cv2.transpose(turned.take(columns - columns[0], axis=0))
        return np.asarray(window, np.uint8).reshape(rows.size, columns.size, *mask.shape[2:])


def _needed(size: int, scaled: int, first: int, count: int) -> tuple[int, int, int]:
    """Find what to resize for pixels `first` to `first + count` along one axis of a scaled image.

    Resizing a slice puts pixel `i` of the result at `(i + 0.5) * step - 0.5` in the slice. For
    these to be the places of the whole image's pixels, the slice must begin where a border between
    pixels of the scaled image meets one of the source. So some extra pixels are computed before
    the window: none or a few at steps of 0.25, about 60 at a scale such as 1.618.

    Args:
        size: Number of pixels of the source.
        scaled: Number of pixels of the whole scaled image.
        first: First pixel of the window.
        count: Number of pixels in the window.

    Returns:
        First pixel of the source, the one after the last, and the number of extra pixels.
    """
    step = size / scaled
    last = min(int((first + count - 0.5) * step - 0.5) + 2, size)
    borders = np.arange(first, -1, -1) * step
    nearest = np.rint(borders)
    meets = np.abs(borders - nearest) <= min(MISALIGNMENT, step / 4)
    # The slice must also contain the pixels that the first one is interpolated from.
    meets &= nearest <= max((first + 0.5) * step - 0.5, 0)
    extra = int(meets.argmax())  # the image's own border always meets
    return int(nearest[extra]), last, extra


def _nearest(size: int, scaled: int, first: int, count: int) -> npt.NDArray[np.intp]:
    """Return the source pixels that OpenCV's INTER_NEAREST takes for a window along one axis."""
    pixels = np.arange(first, min(first + count, scaled))
    step = 1 / (scaled / size)  # rounded as in OpenCV, for the same pixels
    return np.asarray(np.minimum((pixels * step).astype(np.intp), size - 1))


def _scaled_pixel(pixel: int, size: int, scaled: int) -> int:
    """Return the first pixel of a scaled label that shows a pixel of the source, or the next."""
    shown = _nearest(size, scaled, 0, scaled)
    return min(int(np.searchsorted(shown, pixel)), scaled - 1)
