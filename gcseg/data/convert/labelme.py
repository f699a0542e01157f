"""Read LabelMe: a JSON file for each picture, drawn by LabelMe's own rules.

Source: labelme, utils/shape.py: later shapes over earlier ones, outlines inside (`pillow` of
`gcseg.data.convert.regions`). Polygons have no holes.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from gcseg.data.convert.drawings import IGNORE_LABEL, Content, Drawing, Shape, Source, split_of
from gcseg.data.convert.files import (
    Export,
    entries,
    label_of,
    read_annotations,
    real,
    whole,
)
from gcseg.data.convert.regions import (
    bitmap,
    bitmap_of_png,
    bounds_of,
    pillow_circle,
    pillow_polygon,
    pillow_rectangle,
    points_of,
)
from gcseg.data.reading import IMAGE_SUFFIXES
from gcseg.errors import DataError
from gcseg.system.records import LARGEST_YAML, RecordError, read_text
from gcseg.system.text import counted, printable

LABELS = "labels.txt"
"""List of labels, as LabelMe takes it with --labels."""

_LINES = {"line": "line", "linestrip": "line", "point": "point", "points": "point"}


def labelme(export: Export) -> Source:
    """Read the JSON files below a folder.

    Labels are in the order of labels.txt, if there is one, and then of the alphabet. A picture that
    is missing is taken from its JSON file, where LabelMe has embedded it.

    Raises:
        DataError: A file is no JSON, or a picture is missing.
    """
    drawings: list[Drawing] = []
    labels: set[str] = set()
    others: list[Path] = []
    tails: list[str] = []
    for path in export.with_suffix(".json"):
        content = read_annotations(path)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            others.append(path)
            continue
        shapes = entries(content["shapes"], str(path), "shapes")
        labels |= {label_of(shape.get("label"), _where(path, number))
                   for number, shape in enumerate(shapes, 1)}  # fmt: skip
        size = None
        if content.get("imageHeight") is not None and content.get("imageWidth") is not None:
            size = (whole(content["imageHeight"], str(path), "imageHeight"),
                    whole(content["imageWidth"], str(path), "imageWidth"))  # fmt: skip
        picture: Any
        try:
            found = export.find(content.get("imagePath"), str(path), path.parent)
            picture, name = found.path, found.name
            tails += [str(path)] if found.by_tail else []
        except DataError:
            if not content.get("imageData"):
                raise
            picture = partial(_embedded, path)
            suffix = PurePosixPath(str(content.get("imagePath"))).suffix.lower()
            suffix = suffix if suffix in IMAGE_SUFFIXES else ".png"
            name = export.files.get(path, PurePosixPath(path.name)).with_suffix(suffix)
        drawings.append(
            Drawing(str(path), name, split_of(name), picture, partial(_read, path), size)
        )
    notes = []
    if others:
        notes.append(
            f"{counted(len(others), 'JSON file')} without shapes left out, such as "
            f"{printable(str(others[0]))}"
        )
    if tails:
        notes.append(
            f"{counted(len(tails), 'picture')} found by name in another folder than the JSON file "
            f"says, such as that of {printable(tails[0])}"
        )
    order = [*_listed(export.root / LABELS, export), *sorted(labels - {IGNORE_LABEL})]
    return Source(drawings, dict.fromkeys(order), notes)


def _listed(path: Path, export: Export) -> list[str]:
    """Return the labels of a list, one on each line, without LabelMe's of ignored regions."""
    if path not in export.files:
        return []
    try:
        lines = read_text(path, LARGEST_YAML).splitlines()
    except (RecordError, OSError) as error:
        raise DataError(f"{path} can't be read ({error})", "write a label on each line") from None
    return [line.strip() for line in lines if line.strip() and line.strip() != IGNORE_LABEL]


def _where(path: Path, number: int) -> str:
    return f"{path}: shape {number}"


def _embedded(path: Path) -> bytes:
    """Return the picture that a JSON file holds.

    Raises:
        DataError: It can't be read.
    """
    try:
        return base64.b64decode(read_annotations(path)["imageData"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise DataError(
            f"{path} holds a picture that can't be read ({error})", "put the picture next to it"
        ) from None


def _read(path: Path) -> Content:
    """Read the shapes of a picture."""
    shapes = []
    lost: Counter[str] = Counter()
    for number, one in enumerate(entries(read_annotations(path)["shapes"], str(path), "shapes"), 1):
        where = _where(path, number)
        kind = str(one.get("shape_type") or "polygon")
        if kind in _LINES:
            lost[_LINES[kind]] += 1
            continue
        points = points_of(one.get("points"), where)
        label = label_of(one.get("label"), where)
        wanted = {"rectangle": 2, "circle": 2, "mask": 2}.get(kind)
        is_polygon = kind in ("polygon", "oriented_rectangle")
        if is_polygon and len(points) < 3:
            lost["few"] += 1
        elif is_polygon:
            shapes.append(Shape(label, where, pillow_polygon(points), bounds_of([points])))
        elif wanted is None:
            lost["kind"] += 1
        elif len(points) != wanted:
            raise DataError(
                f"{where} is a {kind} of {counted(len(points), 'point')}",
                "draw it again in LabelMe",
            )
        else:
            shapes.append(_of_two_points(kind, one, points, label, where))
    return Content(shapes, lost)


def _of_two_points(kind: str, one: dict[str, Any], points: Any, label: str, where: str) -> Shape:
    """Return a rectangle, circle or mask."""
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    if kind == "rectangle":
        draw = pillow_rectangle(left, top, right, bottom)
        return Shape(label, where, draw, (left, top, right, bottom))
    if kind == "circle":
        x, y = points[0].tolist()
        radius = real(np.hypot(*(points[0] - points[1])), where, "radius")
        bounds = (x - radius, y - radius, x + radius, y + radius)
        return Shape(label, where, pillow_circle(x, y, radius), bounds)
    most = int((right - left + 2) * (bottom - top + 2))
    pixels = bitmap_of_png(one.get("mask"), where, most=most)
    draw, bounds = bitmap(pixels, int(left), int(top))
    return Shape(label, where, draw, bounds)
