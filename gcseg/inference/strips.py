"""Test-time augmentation with little memory: scores are added up in strips of rows.

The results are those of `predict_scores` and `predict_labels` of `gcseg.inference.predict`, within
rounding. The logits of all views are stored in main memory at the resolution of the network's
features; only a strip of rows at a time is upsampled, added up and turned into labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gcseg.inference.network_strips import logits_in_strips
from gcseg.inference.predict import add_view, predict_confidence, predict_labels, view_of
from gcseg.inference.protocol import Model, Modes, Protocol, all_views
from gcseg.models import Segmentor
from gcseg.models.segmentor import with_edges

STRIP_ELEMENTS = 2**23
"""Elements of the scores of one strip and one view: 32 MiB in float32."""

Rows = Callable[[int, int], Tensor]
"""Function that returns the rows first to last - 1, N x C x (last - first) x W, on the device."""


@dataclass(frozen=True)
class _Window:
    """A window of a view, and its logits in main memory: N x C x h x w, of any resolution.

    Args:
        rows: Rows of the view that the window covers.
        columns: Columns of the view that the window covers.
        logits: Logits at the network's output resolution.
        corners: Whether the network upsamples the logits with aligned corners.
        beyond: Rows and columns of the upsampled logits beyond those of the window.
    """

    rows: slice
    columns: slice
    logits: Tensor
    corners: bool
    beyond: int

    def pixel_rows(self, first: int, last: int, device: torch.device) -> Tensor:
        """Return rows of the view in the window, upsampled: N x C x (last - first) x width."""
        top, height = self.rows.start, self.rows.stop - self.rows.start
        width = self.columns.stop - self.columns.start

        def coarse(first: int, last: int) -> Tensor:
            return self.logits[..., first:last, :].to(device)

        coarse_size = self.logits.shape[-2], self.logits.shape[-1]
        size = height + self.beyond, width + self.beyond
        rows = resized_rows(coarse, coarse_size, size, first - top, last - top, self.corners)
        return rows[..., :width].float()


@dataclass(frozen=True)
class _View:
    """The windows of a view; a single one, the whole view, if there is no sliding window."""

    height: int
    width: int
    flip: bool
    windows: list[_Window]

    @property
    def classes(self) -> int:
        """Channels of the logits."""
        return self.windows[0].logits.shape[1]

    def rows(self, first: int, last: int, device: torch.device) -> Tensor:
        """Return rows of the logits, mirrored back: N x C x (last - first) x width float32."""
        found = self.windows[0].logits
        total = torch.zeros(*found.shape[:2], last - first, self.width, device=device)
        count = torch.zeros(1, 1, last - first, self.width, device=device)
        for window in self.windows:
            top, bottom = max(window.rows.start, first), min(window.rows.stop, last)
            if top < bottom:
                part = (..., slice(top - first, bottom - first), window.columns)
                total[part] += window.pixel_rows(top, bottom, device)
                count[part] += 1
        total /= count
        return total.flip(-1) if self.flip else total


@torch.inference_mode()
def predict_labels_in_strips(
    model: Model,
    images: Tensor,
    modes: Modes,
    protocol: Protocol | None = None,
    *,
    height: int,
    width: int,
    network_strips: int = 1,
    confidences: dict[str, Tensor] | None = None,
    classes: Tensor | None = None,
) -> dict[str, Tensor]:
    """Predict class indices of images under several modes of test-time augmentation at once.

    Args:
        model: See `predict_scores`.
        images: See `predict_scores`.
        modes: See `predict_scores`.
        protocol: See `predict_scores`.
        height: Height of the images without padding, in pixels.
        width: Width of the images without padding, in pixels.
        network_strips: Number of strips in which the network itself runs, see `logits_in_strips`;
            1 for the whole.
        confidences: Dictionary that receives `predict_confidence` of each mode; None for none.
        classes: Classes whose probabilities these are; None for the predicted ones.

    Returns:
        By mode, N x height x width int64.
    """
    protocol = protocol or Protocol()
    size, device = (images.shape[-2], images.shape[-1]), images.device
    views = {view: _predict(model, images, view, protocol, network_strips)
             for view in all_views(modes)}  # fmt: skip
    shape = len(images), height, width
    labels = {name: torch.empty(shape, dtype=torch.int64, device=device) for name in modes}
    if confidences is not None:
        confidences.update({name: torch.empty(shape, device=device) for name in modes})
    step = _rows_at_once(views.values(), len(images), size)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        totals: dict[str, Tensor] = {}
        for key, view in views.items():
            rows = partial(view.rows, device=device)
            view_size = view.height, view.width
            logits = resized_rows(rows, view_size, size, top, bottom, protocol.align_corners)
            add_view(totals, modes, key, protocol.scores(logits))
        for name, total in totals.items():
            strip = bottom - top, width
            labels[name][:, top:bottom] = predict_labels(total, *strip)
            if confidences is not None:
                own = None if classes is None else classes[:, top:bottom]
                sure = predict_confidence(total, *strip, protocol.average, own)
                confidences[name][:, top:bottom] = sure
    return labels


def _rows_at_once(views: Iterable[_View], images: int, size: tuple[int, int]) -> int:
    """Return the number of rows of images of a size that fit into `STRIP_ELEMENTS`."""
    # A row may be computed at the images' own size or at a view's.
    elements = max(
        view.classes * max(size[1], view.height * view.width // size[0]) for view in views
    )
    return max(STRIP_ELEMENTS // (images * elements), 1)


def _predict(
    model: Model,
    images: Tensor,
    view: tuple[float, bool],
    protocol: Protocol,
    network_strips: int,
) -> _View:
    scale, flip = view
    size = protocol.view_size(images.shape[-2], images.shape[-1], scale)
    images = view_of(images, size, flip)
    whole = [(slice(0, size[0]), slice(0, size[1]))]
    corners = isinstance(model, Segmentor) and model.align_corners
    asymmetric = isinstance(model, Segmentor) and model.asymmetric
    windows = []
    for rows, columns in protocol.window.places(*size) if protocol.window else whole:
        pixels = images[..., rows, columns]
        if not isinstance(model, Segmentor):
            logits = model(pixels)
        elif network_strips == 1:
            logits = model.coarse_logits(pixels)
        else:
            logits = logits_in_strips(model, pixels, network_strips)
        logits = with_edges(logits.cpu()) if asymmetric else logits.cpu()
        windows.append(_Window(rows, columns, logits, corners or asymmetric, int(asymmetric)))
    return _View(*size, flip, windows)


def resized_rows(
    source: Rows,
    source_size: tuple[int, int],
    size: tuple[int, int],
    first: int,
    last: int,
    align_corners: bool,
) -> Tensor:
    """Compute some rows of the result of `F.interpolate(..., mode="bilinear")`.

    Args:
        source: Function that returns rows of the source.
        source_size: Height and width of the source.
        size: Height and width of the whole result.
        first: First row of the result to compute.
        last: Row after the last one to compute.
        align_corners: Whether corners are aligned, as in F.interpolate.

    Returns:
        N x C x (last - first) x W, with the type of the source.
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
