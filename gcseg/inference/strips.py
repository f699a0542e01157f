"""Labels by test-time augmentation with little memory: added up in strips of rows.

The same as `predict_scores` and `predict_labels` of `gcseg.inference.predict`, within rounding. The
logits of all views wait in main memory at the resolution of the network's features; only a strip of
rows at a time is upsampled, added up and turned into labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gcseg.data.resize import Fit, scaled_size
from gcseg.inference.network_strips import logits_in_strips
from gcseg.inference.predict import (
    Augmentation,
    Average,
    Model,
    SlidingWindow,
    all_views,
    predict_confidence,
    predict_labels,
    view_of,
)
from gcseg.models import Segmentor

STRIP_ELEMENTS = 2**23
"""Of the scores of one strip and one view: 32 MiB in float32."""

Rows = Callable[[int, int], Tensor]
"""Gives rows from a first to one before a last, N x C x (last - first) x W, on the device."""


@dataclass(frozen=True)
class _Window:
    """A window of a view, and its logits in main memory: N x C x h x w, of any resolution."""

    rows: slice
    columns: slice
    logits: Tensor


@dataclass(frozen=True)
class _View:
    """A view's windows; one that is the whole view where it was not predicted by windows."""

    height: int
    width: int
    flip: bool
    windows: list[_Window]

    @property
    def classes(self) -> int:
        """Channels of the logits."""
        return self.windows[0].logits.shape[1]


@torch.inference_mode()
def predict_labels_in_strips(
    model: Model,
    images: Tensor,
    modes: Mapping[str, Augmentation],
    *,
    height: int,
    width: int,
    network_strips: int = 1,
    average: Average = "logits",
    window: SlidingWindow | None = None,
    fit: Fit | None = None,
    align_corners: bool = False,
    confidences: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Class indices of images under several modes of test-time augmentation at once.

    Args:
        model: See `predict_scores`.
        images: See `predict_scores`.
        modes: See `predict_scores`.
        height: Of the images without padding, in pixels.
        width: Likewise.
        network_strips: How many strips the network itself runs in, see `logits_in_strips`; 1 for
            the whole.
        average: See `predict_scores`.
        window: See `predict_scores`.
        fit: See `predict_scores`.
        align_corners: See `predict_scores`.
        confidences: Where given, `predict_confidence` of each mode is put into it.

    Returns:
        By mode, N x height x width int64.
    """
    size = images.shape[-2], images.shape[-1]
    corners = model.align_corners if isinstance(model, Segmentor) else False
    views = {
        (scale, flip): _predict(
            model, images, scaled_size(*size, scale, fit), flip, window, network_strips
        )
        for scale, flip in all_views(modes)
    }
    # Of the scores for one row of the images, at the images' or at a view's own size.
    elements = max(
        view.classes * max(size[1], view.height * view.width // size[0]) for view in views.values()
    )
    step = max(STRIP_ELEMENTS // (len(images) * elements), 1)
    shape = len(images), height, width
    labels = {name: torch.empty(shape, dtype=torch.int64, device=images.device) for name in modes}
    if confidences is not None:
        confidences.update({name: torch.empty(shape, device=images.device) for name in modes})
    for top in range(0, height, step):
        bottom = min(top + step, height)
        totals: dict[str, Tensor] = {}
        for key, view in views.items():
            scores = _upsampled(view, size, top, bottom, corners, align_corners, images.device)
            if average == "probabilities":
                scores = scores.softmax(1)
            for name, mode in modes.items():
                if key in mode.views:
                    weight = 1 / len(mode.views)
                    if name in totals:
                        totals[name].add_(scores, alpha=weight)
                    else:
                        totals[name] = scores * weight
        for name, total in totals.items():
            rows = bottom - top
            labels[name][:, top:bottom] = predict_labels(total, rows, width)
            if confidences is not None:
                sure = predict_confidence(total, rows, width, average)
                confidences[name][:, top:bottom] = sure
    return labels


def _predict(
    model: Model,
    images: Tensor,
    size: tuple[int, int],
    flip: bool,
    window: SlidingWindow | None,
    network_strips: int,
) -> _View:
    images = view_of(images, size, flip)
    places = window.places(*size) if window else [(slice(0, size[0]), slice(0, size[1]))]
    windows = []
    for rows, columns in places:
        pixels = images[..., rows, columns]
        if not isinstance(model, Segmentor):
            logits = model(pixels)
        elif network_strips == 1:
            logits = model.coarse_logits(pixels)
        else:
            logits = logits_in_strips(model, pixels, network_strips)
        windows.append(_Window(rows, columns, logits.cpu()))
    return _View(*size, flip, windows)


def _upsampled(
    view: _View,
    size: tuple[int, int],
    first: int,
    last: int,
    corners: bool,
    back_corners: bool,
    device: torch.device,
) -> Tensor:
    """Rows of a view's logits at the size (height, width) of the images, in float32.

    Args:
        view: At its own size.
        size: Of the images.
        first: Of the rows.
        last: One beyond them.
        corners: Whether the network upsamples its logits with aligned corners.
        back_corners: Whether they are resized from the view's to the images' size with these.
        device: For the rows.

    Returns:
        N x C x (last - first) x W.
    """

    def view_rows(first: int, last: int) -> Tensor:
        found = view.windows[0].logits
        total = torch.zeros(*found.shape[:2], last - first, view.width, device=device)
        count = torch.zeros(1, 1, last - first, view.width, device=device)
        for window in view.windows:
            top, bottom = max(window.rows.start, first), min(window.rows.stop, last)
            if top < bottom:
                part = (..., slice(top - first, bottom - first), window.columns)
                total[part] += window_rows(window, top, bottom)
                count[part] += 1
        total /= count
        return total.flip(-1) if view.flip else total

    def window_rows(window: _Window, first: int, last: int) -> Tensor:
        def coarse_rows(first: int, last: int) -> Tensor:
            return window.logits[..., first:last, :].to(device)

        top, height = window.rows.start, window.rows.stop - window.rows.start
        width = window.columns.stop - window.columns.start
        coarse_size = window.logits.shape[-2], window.logits.shape[-1]
        return resized_rows(
            coarse_rows, coarse_size, (height, width), first - top, last - top, corners
        ).float()

    return resized_rows(view_rows, (view.height, view.width), size, first, last, back_corners)


def resized_rows(
    source: Rows,
    source_size: tuple[int, int],
    size: tuple[int, int],
    first: int,
    last: int,
    align_corners: bool,
) -> Tensor:
    """Rows of what `F.interpolate(..., mode="bilinear")` makes of a whole picture.

    Args:
        source: Gives rows of the whole.
        source_size: Height and width of the whole.
        size: Height and width to which it is resized.
        first: Of the rows that are wanted.
        last: One beyond them.
        align_corners: As F.interpolate takes it.

    Returns:
        N x C x (last - first) x W, in the type of the source.
    """
    if source_size == size:
        return source(first, last)
    # Positions in float32, as F.interpolate computes them: its rounding is part of the result.
    wanted = torch.arange(first, last, dtype=torch.float32)
    if align_corners:
        ratio = torch.tensor((source_size[0] - 1) / max(size[0] - 1, 1), dtype=torch.float32)
        position = wanted * ratio
    else:
        ratio = torch.tensor(source_size[0] / size[0], dtype=torch.float32)
        position = ((wanted + 0.5) * ratio - 0.5).clamp(min=0)
    above = position.long().clamp(max=source_size[0] - 1)
    below = (above + 1).clamp(max=source_size[0] - 1)
    start = int(above[0])
    part = source(start, int(below[-1]) + 1)
    weight = (position - above).to(part.device).unsqueeze(-1)
    above, below = (above - start).to(part.device), (below - start).to(part.device)
    rows = part.index_select(-2, above) * (1 - weight) + part.index_select(-2, below) * weight
    rows = F.interpolate(
        rows, (last - first, size[1]), mode="bilinear", align_corners=align_corners
    )
    return rows.to(part.dtype)
