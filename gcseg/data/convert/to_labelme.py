"""Write LabelMe: a JSON file of polygons next to each picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gcseg.data.convert.drawings import IGNORE_LABEL
from gcseg.data.convert.labelme import LABELS
from gcseg.data.convert.masks import Masked, each
from gcseg.data.convert.outlines import outlines
from gcseg.data.convert.regions import pillow_polygon
from gcseg.data.convert.same import Same
from gcseg.data.images import UInt8Array
from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.parallel import Progress

_VERSION = "5.5.0"
"""LabelMe's version whose form this is."""


def to_labelme(
    masks: Sequence[Masked],
    space: LabelSpace,
    folder: Path,
    progress: Progress,
    *,
    tolerance: float,
) -> Same:
    """Write <split>/<name>.json and labels.txt, which LabelMe takes as `--labels`.

    Args:
        masks: Pictures with their masks.
        space: The classes.
        folder: Folder that is written.
        progress: Callback that is passed the numbers of pictures done and of all.
        tolerance: Largest distance of polygons from the outlines in pixels.

    Returns:
        What is drawn again of the masks.
    """
    names = {**dict(enumerate(space.names)), IGNORE_INDEX: IGNORE_LABEL}
    same = Same()

    def convert(one: Masked, mask: UInt8Array) -> Same:
        shapes, drawn = _shapes(mask, names, tolerance)
        path = (folder / one.split / one.file).with_suffix(".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = mask.shape
        content = {
            "version": _VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": Path(one.file).name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        path.write_text(json.dumps(content, indent=1))
        return drawn

    for _, drawn in each(masks, convert, progress):
        same.add(drawn)
    (folder / LABELS).write_text("\n".join([IGNORE_LABEL, *space.names, ""]))
    return same


def _shapes(
    mask: UInt8Array, names: dict[int, str], tolerance: float
) -> tuple[list[dict[str, Any]], Same]:
    """Return a polygon for each region of a mask, the largest first."""
    shapes = []
    drawn = np.full_like(mask, IGNORE_INDEX)
    for value, points in outlines(mask, "centres", tolerance):
        while len(points) < 3:  # of one or two pixels, and LabelMe wants three corners
            points = np.concatenate([points, points[-1:]])
        drawn[pillow_polygon(points)(*mask.shape) != 0] = value
        shapes.append(
            {"label": names[value], "points": points.tolist(), "group_id": None,
             "description": "", "shape_type": "polygon", "flags": {}, "mask": None}
        )  # fmt: skip
    return shapes, Same.of(mask, drawn)
