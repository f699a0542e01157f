"""Training samples to look at: a contact sheet, and a self-contained page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.errors import ConfigError
from gcseg.report.data.browse_page import BrowseSample, Page, striped, striped_palette
from gcseg.system.files import atomic_write
from gcseg.visualization.html import one_line
from gcseg.visualization.pictures import contact_sheet, overlay

MOST_COLUMNS = 16

# Sizes of the contact sheet, in pixels.
_WIDTH = 1600
_GAP = 4
_LINE = 16


def write_pages(
    samples: Iterable[BrowseSample],
    label_space: LabelSpace,
    folder: Path,
    *,
    title: str,
    columns: int = 2,
) -> list[Path]:
    """Write browse.png, a contact sheet, and browse.html.

    In both, ignored pixels are striped. The page shows the image, the label or one over the
    other, the originals if there are any, and each class's share of the pixels. It loads
    nothing.

    Args:
        samples: At least one sample, of any sizes. They are iterated over once and not kept.
        label_space: Names and colours of the classes.
        folder: Folder of the files; created if it is missing.
        title: Title of both.
        columns: Number of samples side by side, 1 to 16; the page shows fewer in a narrow window.

    Returns:
        Paths of the files.

    Raises:
        ConfigError: There are no samples, or too few or too many columns.
        OutputError: The folder can't be written.
    """
    if not 1 <= columns <= MOST_COLUMNS:
        raise ConfigError(f"columns={columns}", f"give 1 to {MOST_COLUMNS}")
    rows = [_header(title)]
    page = Page(label_space)
    remaining = iter(samples)
    while batch := list(islice(remaining, columns)):
        rows.append(_row(batch, label_space, columns))
        for sample in batch:
            page.add(sample)
    if len(rows) == 1:
        raise ConfigError("no samples to show", "ask for one or more")
    sheet, html = folder / "browse.png", folder / "browse.html"
    with atomic_write(sheet) as file:
        contact_sheet(rows, label_space, _WIDTH).save(file, "PNG")
    with atomic_write(html) as file:
        file.writelines(part.encode() for part in page.parts(title, columns))
    return [sheet, html]


def _header(title: str) -> UInt8Array:
    canvas = Image.new("RGB", (_WIDTH, 2 * _LINE), "white")
    draw = ImageDraw.Draw(canvas)
    note = "striped: ignored or padded"
    _text(draw, (_GAP, _GAP), title, _WIDTH // 2)
    _text(draw, (_WIDTH - _GAP - draw.textlength(note), _GAP), note, _WIDTH)
    return np.asarray(canvas, np.uint8)


def _row(samples: Sequence[BrowseSample], space: LabelSpace, columns: int) -> UInt8Array:
    """Return samples side by side: a caption, and below it the image and its overlay."""
    cell = _WIDTH // columns
    width = cell // 2 - _GAP
    sizes = [_fitted(sample.label, width) for sample in samples]
    top = 2 * _LINE if any(sample.text for sample in samples) else _LINE
    canvas = Image.new("RGB", (_WIDTH, top + _GAP + max(height for height, _ in sizes)), "white")
    draw = ImageDraw.Draw(canvas)
    for place, (sample, (height, width)) in enumerate(zip(samples, sizes, strict=True)):
        left = place * cell
        _text(draw, (left, 0), f"{sample.counter}  {sample.name}", cell - _GAP)
        _text(draw, (left, _LINE), sample.text, cell - _GAP)
        grows = height > sample.label.shape[0]
        smooth = cv2.INTER_NEAREST if grows else cv2.INTER_AREA
        image = np.asarray(
            cv2.resize(sample.image, (width, height), interpolation=smooth), np.uint8
        )
        label = np.asarray(
            cv2.resize(sample.label, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8
        )
        canvas.paste(Image.fromarray(image), (left, top))
        canvas.paste(Image.fromarray(_overlay(image, label, space)), (left + width + _GAP, top))
    return np.asarray(canvas, np.uint8)


def _fitted(label: UInt8Array, width: int) -> tuple[int, int]:
    """Return the largest height and width that fit into a width and 1.5 times that height."""
    scale = min(width / label.shape[1], 1.5 * width / label.shape[0])
    return max(1, round(scale * label.shape[0])), max(1, round(scale * label.shape[1]))


def _overlay(image: UInt8Array, label: UInt8Array, space: LabelSpace) -> UInt8Array:
    stripes = cv2.addWeighted(image, 0.3, striped_palette(space)[striped(label)], 0.7, 0)
    ignored = (label == IGNORE_INDEX)[..., None]
    return np.where(ignored, stripes, overlay(image, label, space)).astype(np.uint8)


def _text(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, width: int) -> None:
    """Write a line of text, cut off at a width."""
    text = one_line(text)
    while text and draw.textlength(text) > width:
        text = text[: -2 if text.endswith("…") else -1].rstrip() + "…" if len(text) > 1 else ""
    draw.text(place, text, fill="black")
