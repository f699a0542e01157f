"""Write COCO: an annotation of run lengths for each class of a picture, or polygons for regions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gcseg.data.convert import rle
from gcseg.data.convert.drawings import IGNORE_LABEL
from gcseg.data.convert.masks import Masked, each
from gcseg.data.convert.outlines import outlines
from gcseg.data.convert.regions import coco_polygons
from gcseg.data.convert.same import Same
from gcseg.data.images import UInt8Array
from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.parallel import Progress

_IGNORED = IGNORE_INDEX + 1
"""Category of ignored regions, which are in the holes of others."""

Found = tuple[int, int, list[dict[str, Any]], Same]
"""Height, width, annotations without their numbers, and what is drawn again of the mask."""


def to_coco(
    masks: Sequence[Masked],
    space: LabelSpace,
    folder: Path,
    progress: Progress,
    *,
    tolerance: float | None,
) -> Same:
    """Write annotations/instances_<split>.json.

    Args:
        masks: Pictures with their masks.
        space: The classes.
        folder: Folder that is written.
        progress: Callback that is passed the numbers of pictures done and of all.
        tolerance: Largest distance of polygons from the outlines in pixels; None for run lengths.

    Returns:
        What is drawn again of the masks.
    """
    by_split: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
    same = Same()

    def convert(one: Masked, mask: UInt8Array) -> Found:
        if tolerance is None:
            return (*mask.shape, _runs(mask), Same.of(mask, mask))
        return (*mask.shape, *_polygons(mask, tolerance))

    for one, found in each(masks, convert, progress):
        height, width, some, drawn = found
        same.add(drawn)
        pictures, annotations = by_split.setdefault(one.split, ([], []))
        number = len(pictures) + 1
        pictures.append({"id": number, "file_name": one.file, "height": height, "width": width})
        for annotation in some:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **annotation})
    (folder / "annotations").mkdir()
    for split, (pictures, annotations) in by_split.items():
        numbers = {one["category_id"] for one in annotations}
        content = {
            "info": {"description": f"written by gcseg: {split}"},
            "licenses": [],
            "categories": _categories(space, with_ignored=_IGNORED in numbers),
            "images": pictures,
            "annotations": annotations,
        }
        with (folder / "annotations" / f"instances_{split}.json").open("w") as file:
            json.dump(content, file)
    return same


def _categories(space: LabelSpace, *, with_ignored: bool) -> list[dict[str, Any]]:
    both = zip(space.names, space.colors, strict=True)
    categories: list[dict[str, Any]] = [
        {"id": number, "name": name, "color": list(color)}
        for number, (name, color) in enumerate(both, 1)
    ]
    return categories + [{"id": _IGNORED, "name": IGNORE_LABEL}] * with_ignored


def _runs(mask: UInt8Array) -> list[dict[str, Any]]:
    """Return an annotation for each class of a mask."""
    return [
        {"category_id": value + 1, "iscrowd": 0, **_measured(mask == value),
         "segmentation": rle.encoded(np.asarray(mask == value, np.uint8))}
        for value in np.unique(mask).tolist()
        if value != IGNORE_INDEX
    ]  # fmt: skip


def _measured(inside: Any) -> dict[str, Any]:
    """Return area and box (left, top, width, height) of a region."""
    rows, columns = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
    left, top = int(columns[0]), int(rows[0])
    box = [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
    return {"area": int(inside.sum()), "bbox": box}


def _polygons(mask: UInt8Array, tolerance: float) -> tuple[list[dict[str, Any]], Same]:
    """Return an annotation for each region of a mask, the largest first."""
    annotations = []
    drawn = np.full_like(mask, IGNORE_INDEX)
    for value, points in outlines(mask, "edges", tolerance):
        if len(points) < 3:
            continue
        inside = coco_polygons([points])(*mask.shape) != 0
        if not inside.any():
            continue
        drawn[inside] = value
        annotations.append(
            {
                "category_id": _IGNORED if value == IGNORE_INDEX else value + 1,
                "iscrowd": 0,
                **_measured(inside),
                "segmentation": [points.ravel().tolist()],
            }
        )
    return annotations, Same.of(mask, drawn)
