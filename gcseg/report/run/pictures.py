"""Example images in a run's report: image, truth, prediction, errors, attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.report.data.browse_page import striped, striped_palette
from gcseg.report.run.examples import Example
from gcseg.visualization.attention_pictures import attention_overlay
from gcseg.visualization.html import (
    Markup,
    figure,
    image,
    jpeg_uri,
    one_line,
    png_uri,
    swatch,
    text,
)

LONGEST = 640
"""Longest side of a picture, in pixels."""

WRONG = (235, 0, 130)
"""RGB colour of wrongly predicted pixels; no class of a dataset has it."""

_OPEN_CLASSES = 30
"""Most classes that a legend lists completely; of more, only those in the pictures."""


def example_parts(examples: Sequence[Example], space: LabelSpace) -> list[Markup]:
    """Return a heading and a row of pictures for each example, and a legend of the classes.

    Args:
        examples: At least one example.
        space: Names and colours of the classes.
    """
    parts = [legend(examples, space)]
    for example in examples:
        score = "" if example.miou is None else f", mIoU {100 * example.miou:.1f} % on this image"
        parts.append(
            Markup(f"<h3>{text(example.kind)}: {text(one_line(example.name) + score)}</h3>")
        )
        parts.append(_narrow(_pictures(example, space)))
    return parts


def attention_parts(examples: Sequence[Example]) -> list[Markup]:
    """Return a row of attention maps laid over their images; empty if no example has one."""
    figures = []
    for example in examples:
        if example.attention is None:
            continue
        relative = _reduced(example.attention, cv2.INTER_AREA)
        picture = attention_overlay(_image(example), relative)
        name = one_line(example.name)
        most = float(example.attention.max())
        figures.append(
            figure(
                image(jpeg_uri(picture), f"attention over {name}"),
                f"{example.kind}, {name}: at most {most:.1f}× the weight of a uniform map",
            )
        )
    return [_narrow(figures)] if figures else []


def error_map(picture: UInt8Array, truth: UInt8Array, prediction: UInt8Array) -> UInt8Array:
    """Show wrong pixels in a strong colour over the greyed image, ignored ones in dark stripes.

    Args:
        picture: The image, H x W x 3 RGB.
        truth: True class indices, H x W.
        prediction: Predicted class indices, H x W.

    Returns:
        H x W x 3 RGB.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    drawn = np.repeat(70 + 0.6 * grey, 3, 2)
    ignored = truth == IGNORE_INDEX
    stripes = ignored & (striped(truth) == IGNORE_INDEX)
    drawn[ignored] = 0.25 * grey[ignored] + 20
    drawn[stripes] += 28
    wrong = ~ignored & (truth != prediction)
    drawn[wrong] = 0.15 * drawn[wrong] + 0.85 * np.array(WRONG, np.float32)
    return drawn.clip(0, 255).astype(np.uint8)


def legend(examples: Sequence[Example], space: LabelSpace) -> Markup:
    """Return the legend of the classes' colours and of the other colours in the pictures."""
    shown = list(range(space.num_classes))
    if space.num_classes > _OPEN_CLASSES:
        present = {int(index) for one in examples for index in np.unique(one.truth)}
        present |= {int(index) for one in examples for index in np.unique(one.prediction)}
        shown = [index for index in shown if index in present]
    entries = [(space.colors[index], space.names[index]) for index in shown]
    entries.append((WRONG, "wrong (in the map of errors)"))
    items = "".join(f"<li>{swatch(color)}{text(one_line(name))}</li>" for color, name in entries)
    return Markup(f'<ul class="legend">{items}<li>stripes: ignored</li></ul>')


def _pictures(example: Example, space: LabelSpace) -> list[Markup]:
    name = one_line(example.name)
    palette = striped_palette(space)
    small = _image(example)
    truth = _label(example.truth)
    prediction = _label(example.prediction)
    labelled = example.truth != IGNORE_INDEX
    wrong = np.count_nonzero(labelled & (example.truth != example.prediction))
    share = 100 * wrong / max(1, np.count_nonzero(labelled))
    errors = error_map(small, truth, prediction)
    return [
        figure(image(jpeg_uri(small), f"image {name}"), "image"),
        figure(image(png_uri(palette[striped(truth)]), f"truth of {name}"), "truth"),
        figure(image(png_uri(space.palette[prediction]), f"prediction of {name}"), "prediction"),
        figure(
            image(jpeg_uri(errors), f"errors in {name}"),
            f"errors: {share:.1f} % of the labelled pixels",
        ),
    ]


def _image(example: Example) -> UInt8Array:
    return np.asarray(_reduced(example.image, cv2.INTER_AREA), np.uint8)


def _label(label: UInt8Array) -> UInt8Array:
    return np.asarray(_reduced(label, cv2.INTER_NEAREST), np.uint8)


def _reduced(array: npt.NDArray[Any], interpolation: int) -> npt.NDArray[Any]:
    """Return a picture reduced to a longer side of at most `LONGEST`."""
    height, width = array.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(cv2.resize(array, size, interpolation=interpolation))


def _narrow(figures: Sequence[Markup]) -> Markup:
    return Markup(f'<div class="grid narrow">\n{"".join(figures)}\n</div>')
