"""The page of training samples: one HTML file with its pictures, styles and script inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from io import BytesIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.visualization.html import one_line

_STRIPE = IGNORE_INDEX - 1  # index of every other stripe; no class has it
_DARK, _BRIGHT = (70, 70, 70), (225, 225, 225)

# Longest side of a picture, in pixels; larger pictures are reduced to it.
_LONGEST = 1024
_LONGEST_ORIGINAL = 640

_SMALL = 64 * 64
"""Most pixels of an image that is stored without loss."""

_JPEG_QUALITIES = (90, 80, 65, 50)
_JPEG_BYTES_PER_PIXEL = 0.25
"""Most bytes per pixel of a JPEG; with more, the next lower quality is tried, as noise would bloat
the page."""

_OPEN_CHIPS = 16
"""Most classes that are listed below a sample without a click."""


@dataclass(frozen=True)
class BrowseSample:
    """One augmented sample, with the picture that it was made from.

    Args:
        name: Name of the picture.
        counter: Number of the sample in the training.
        image: Image as the network sees it, normalisation undone: H x W x 3 uint8 RGB.
        label: Class indices, H x W uint8; 255 where ignored or padded.
        original_image: Picture before augmentation, of any size.
        original_label: Label of that picture.
        text: Random choices of the augmentation, in one line.
    """

    name: str
    counter: int
    image: UInt8Array
    label: UInt8Array
    original_image: UInt8Array | None = None
    original_label: UInt8Array | None = None
    text: str = ""


def striped(label: UInt8Array) -> UInt8Array:
    """Return a label in whose ignored parts every other diagonal stripe has a separate index."""
    height, width = label.shape
    stripe = max(3, max(height, width) // 80)
    diagonal = np.add.outer(np.arange(height), np.arange(width)) // stripe % 2 == 1
    return np.where(diagonal & (label == IGNORE_INDEX), _STRIPE, label).astype(np.uint8)


def striped_palette(space: LabelSpace) -> UInt8Array:
    """Return the 256 x 3 RGB colours for the result of `striped`."""
    palette = space.palette
    palette[_STRIPE], palette[IGNORE_INDEX] = _DARK, _BRIGHT
    return palette


class Page:
    """A page that collects samples and writes them as HTML.

    Args:
        space: Names and colours of the classes.
    """

    def __init__(self, space: LabelSpace) -> None:
        self._space = space
        self._palette = striped_palette(space)
        self._cards: list[str] = []
        self._pixels = np.zeros(256, np.int64)

    def add(self, sample: BrowseSample) -> None:
        """Add a sample as a card of the page."""
        name = escape(one_line(sample.name))
        height, width = sample.label.shape
        text = f"<p>{escape(one_line(sample.text))}</p>" if sample.text else ""
        pixels = np.bincount(sample.label.ravel(), minlength=256)
        self._pixels += pixels
        chips = self._legend(pixels, only_present=True)
        is_open = " open" if np.count_nonzero(pixels) <= _OPEN_CHIPS else ""
        picture = self._picture(sample.image, sample.label, name, _LONGEST)
        self._cards.append(
            f'<article class="card">{picture}\n'
            f"<h2><b>{sample.counter}</b> {name}</h2>"
            f'{text}<p class="size">{height} x {width} (height x width)</p>\n'
            f"<details{is_open}><summary>classes</summary>{chips}</details>\n"
            f"{self._original(sample)}</article>\n"
        )

    def parts(self, title: str, columns: int) -> Iterator[str]:
        """Yield the page's text in pieces."""
        title = escape(one_line(title))
        digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
        yield (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            # The browser itself refuses everything that is not in this file.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            f"img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'\">\n"
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{title}</title>\n<link rel="icon" href="data:,">\n'
            f"<style>{_STYLE}</style>\n</head>\n"
            f'<body style="--columns: {columns}">\n<header>\n<h1>{title}</h1>\n'
        )
        yield _CONTROLS.replace("COLUMNS", str(columns))
        yield (
            f"</header>\n<details{' open' if self._space.num_classes <= 30 else ''}>"
            f"<summary>classes and their share of the pixels shown</summary>"
            f"{self._legend(self._pixels)}</details>\n<main>\n"
        )
        yield from self._cards
        yield f"</main>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"

    def _original(self, sample: BrowseSample) -> str:
        image, label = sample.original_image, sample.original_label
        if image is None:
            return ""
        name = escape(one_line(f"original of {sample.name}"))
        picture = self._picture(image, label, name, _LONGEST_ORIGINAL)
        return f"<details><summary>original</summary>{picture}</details>\n"

    def _picture(self, image: UInt8Array, label: UInt8Array | None, name: str, longest: int) -> str:
        """Return an image with its label in a layer above; `name` is escaped already."""
        height, width, _ = image.shape
        scale = min(1, longest / max(height, width))
        size = max(1, round(scale * width)), max(1, round(scale * height))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        sizes = f'width="{size[0]}" height="{size[1]}"'
        layers = f'<img class="image" {sizes} src="{_image_uri(image)}" alt="{name}">'
        if label is not None:
            label = np.asarray(cv2.resize(label, size, interpolation=cv2.INTER_NEAREST), np.uint8)
            uri = _label_uri(striped(label), self._palette)
            layers += f'<img class="label" {sizes} src="{uri}" alt="label of {name}">'
        kind = "picture coarse" if size[0] * size[1] <= _SMALL else "picture"
        # No picture is taller than the window.
        style = f"max-width: calc(85vh * {size[0] / size[1]:.4f})"
        return f'<div class="{kind}" style="{style}">{layers}</div>'

    def _legend(self, pixels: npt.NDArray[np.int64], *, only_present: bool = False) -> str:
        """Return the classes and the ignored pixels, each with its share of the pixels."""
        total = max(1, int(pixels.sum()))
        entries = [
            (f"background: rgb{color}", name, int(count))
            for color, name, count in zip(
                self._space.colors, self._space.names, pixels, strict=False
            )
        ]
        stripes = f"rgb{_DARK} 0 3px, rgb{_BRIGHT} 3px 6px"
        gradient = f"background: repeating-linear-gradient(135deg, {stripes})"
        entries.append((gradient, "ignored", int(pixels[IGNORE_INDEX])))
        items = [
            f'<li class="{"present" if count else "absent"}"><i style="{style}"></i>'
            f"<span>{escape(one_line(name))}</span> <b>{_percent(count / total)}</b></li>"
            for style, name, count in entries
            if count or not only_present
        ]
        return f'<ul class="legend">{"".join(items)}</ul>'


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2g} %" if 0 < fraction < 0.1 else f"{100 * fraction:.0f} %"


def _image_uri(image: UInt8Array) -> str:
    picture = Image.fromarray(image)
    if image.shape[0] * image.shape[1] <= _SMALL:
        return _uri(picture, "png", optimize=True)
    for quality in _JPEG_QUALITIES:
        uri = _uri(picture, "jpeg", quality=quality, optimize=True)
        if 3 / 4 * len(uri) <= _JPEG_BYTES_PER_PIXEL * picture.width * picture.height:
            break
    return uri


def _label_uri(label: UInt8Array, palette: UInt8Array) -> str:
    picture = Image.fromarray(label)
    picture.putpalette(palette.tobytes())
    return _uri(picture, "png", optimize=True)


def _uri(picture: Image.Image, kind: str, **options: int) -> str:
    file = BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


_CONTROLS = """<form>
<fieldset>
<label><input type="radio" name="view" id="view-image"> image</label>
<label><input type="radio" name="view" id="view-overlay" checked> overlay</label>
<label><input type="radio" name="view" id="view-label"> label</label>
</fieldset>
<label class="opacity">opacity
<input type="range" name="opacity" min="0" max="1" step="0.05" value="0.6"></label>
<label class="columns">columns
<input type="range" name="columns" min="1" max="16" step="1" value="COLUMNS"></label>
<small>Point at or tap a picture to see it without its label.</small>
</form>
"""

_SCRIPT = """
for (const slider of document.querySelectorAll("input[type=range]")) {
  const apply = () => document.body.style.setProperty("--" + slider.name, slider.value);
  slider.addEventListener("input", apply);
  apply();
}
"""

_STYLE = """
:root { color-scheme: light dark; --page: #f4f4f2; --card: #fff; --text: #1c1c1c; --faint: #666;
  --line: #d5d5d0; }
@media (prefers-color-scheme: dark) {
  :root { --page: #161618; --card: #222225; --text: #ececec; --faint: #a0a0a0; --line: #3a3a3e; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 0 1rem 2rem; background: var(--page); color: var(--text);
  font: 15px/1.4 system-ui, sans-serif; --opacity: 0.6; }
header { position: sticky; top: 0; z-index: 2; padding: 0.5rem 0; background: var(--page);
  border-bottom: 1px solid var(--line); margin-bottom: 0.75rem; }
h1 { font-size: 1.15rem; margin: 0 0 0.25rem; overflow-wrap: anywhere; }
form, fieldset { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 1rem; margin: 0;
  border: 0; padding: 0; }
form label { display: inline-flex; align-items: center; gap: 0.3rem; }
input[type=range] { width: 8rem; }
small, .size, summary { color: var(--faint); }
summary { cursor: pointer; }
main { display: grid; gap: 1rem; align-items: start; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(max(min(100%, 16rem),
    (100% - (var(--columns) - 1) * 1rem) / var(--columns) - 0.5px), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 6px;
  padding: 0.6rem; min-width: 0; }
.picture { position: relative; overflow: hidden; border-radius: 3px; }
.picture img { display: block; width: 100%; height: auto; }
.coarse img { image-rendering: pixelated; }
.picture .label { position: absolute; inset: 0; height: 100%; opacity: var(--opacity); }
body:has(#view-image:checked) .label { opacity: 0; }
body:has(#view-label:checked) .picture .label { opacity: 1; }
.picture:hover .label, body:has(#view-label:checked) .picture:hover .label { opacity: 0; }
body:not(:has(#view-overlay:checked)) .opacity { opacity: 0.4; }
.card h2 { font-size: 1rem; font-weight: normal; margin: 0.5rem 0 0; overflow-wrap: anywhere; }
.card p { margin: 0.15rem 0; overflow-wrap: anywhere; }
.legend { list-style: none; margin: 0.3rem 0; padding: 0; display: grid; gap: 0.1rem 1rem;
  grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); font-size: 0.87rem; }
.legend li { display: flex; align-items: baseline; gap: 0.4rem; }
.legend i { flex: none; width: 0.85em; height: 0.85em; border: 1px solid #888; border-radius: 2px; }
.legend span { flex: 1; overflow-wrap: anywhere; }
.legend b { font-weight: normal; font-variant-numeric: tabular-nums; white-space: nowrap; }
.legend .absent { opacity: 0.45; }
@media (max-width: 36rem) { .columns { display: none !important; } header { position: static; } }
"""
