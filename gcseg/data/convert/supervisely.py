"""Read Supervisely: meta.json, and for each data set img/ and ann/ with a JSON for each picture.

Source: docs.supervisely.com, annotation format, and the SDK's geometry/. Later objects are drawn
over earlier ones; polygons have holes (`opencv` of `gcseg.data.convert.regions`).
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from gcseg.data.convert.drawings import (
    IGNORE_LABEL,
    Color,
    Content,
    Drawing,
    Shape,
    Source,
    split_named,
    split_of,
)
from gcseg.data.convert.files import Export, color_of, entries, label_of, read_annotations, whole
from gcseg.data.convert.regions import (
    bitmap,
    bitmap_of_png,
    bounds_of,
    opencv_polygon,
    points_of,
)
from gcseg.errors import DataError
from gcseg.system.text import counted, printable

_LOST = {"line": "line", "polyline": "line", "point": "point", "graph": "skeleton",
         "cuboid": "cuboid", "cuboid_2d": "cuboid"}  # fmt: skip


def supervisely(export: Export) -> Source:
    """Read a project.

    The split of a picture is that of a data set named train or val, or of its tag train or val.

    Raises:
        DataError: meta.json or a picture is missing, or a file is wrong.
    """
    paths = export.with_suffix(".json")
    metas = [path for path in paths if path.name == "meta.json"]
    if len(metas) != 1:
        raise DataError(
            f"{export.root} has {counted(len(metas), 'file')} meta.json, and a project has one",
            "give source= the folder of one project",
        )
    meta = read_annotations(metas[0])
    classes = meta.get("classes") if isinstance(meta, dict) else None
    labels: dict[str, Color | None] = {}
    for number, one in enumerate(entries(classes, str(metas[0]), "classes"), 1):
        labels[label_of(one.get("title"), f"{metas[0]}: class {number}")] = color_of(
            str(one.get("color"))
        )
    labels.pop(IGNORE_LABEL, None)
    drawings = [_drawing(export, path) for path in paths if path.parent.name == "ann"]
    strange = {label for drawing in drawings for label in _labels(Path(drawing.source))}
    strange -= {*labels, IGNORE_LABEL}
    notes = []
    if strange:
        labels |= dict.fromkeys(sorted(strange))
        notes.append(
            f"meta.json does not list {printable(', '.join(sorted(strange)))}, added at the end"
        )
    return Source(drawings, labels, notes)


def _drawing(export: Export, path: Path) -> Drawing:
    """Return the picture of ann/a.jpg.json, which is img/a.jpg."""
    content = _content(path)
    found = export.find(f"img/{path.name.removesuffix('.json')}", str(path), path.parent.parent)
    size = content.get("size")
    if not isinstance(size, dict):
        raise DataError(f"{path} has no size", "export the project again")
    tags = [tag.get("name") for tag in entries(content.get("tags") or [], str(path), "tags")]
    split = next(filter(None, (split_named(str(tag)) for tag in tags)), split_of(found.name))
    parts = [part for part in found.name.parts if part != "img"]
    stated = (
        whole(size.get("height"), str(path), "height"),
        whole(size.get("width"), str(path), "width"),
    )
    name = PurePosixPath(*parts)
    return Drawing(str(path), name, split, found.path, partial(_read, path), stated)


def _content(path: Path) -> dict[str, Any]:
    """Return what an annotation file holds.

    Raises:
        DataError: It is not Supervisely's.
    """
    content = read_annotations(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} is no annotation", "export the project again")
    entries(content.get("objects"), str(path), "objects")
    return content


def _labels(path: Path) -> list[str]:
    return [
        label_of(one.get("classTitle"), f"{path}: object {number}")
        for number, one in enumerate(_content(path)["objects"], 1)
    ]


def _read(path: Path) -> Content:
    """Return the shapes of a picture."""
    shapes = []
    lost: Counter[str] = Counter()
    for number, one in enumerate(_content(path)["objects"], 1):
        where = f"{path}: object {number}"
        kind = str(one.get("geometryType"))
        if kind in _LOST:
            lost[_LOST[kind]] += 1
            continue
        label = label_of(one.get("classTitle"), where)
        if kind == "bitmap":
            shapes.append(_bitmap(one, label, where))
        elif kind in ("polygon", "rectangle"):
            shape = _outline(kind, one, label, where)
            lost["few"] += shape is None
            shapes += [shape] if shape is not None else []
        else:
            lost["kind"] += 1
    return Content(shapes, +lost)


def _outline(kind: str, one: dict[str, Any], label: str, where: str) -> Shape | None:
    """Return a polygon with its holes, or a rectangle; None for one of two points or fewer."""
    points = one.get("points")
    if not isinstance(points, dict):
        raise DataError(f"{where} has no points", "export the project again")
    exterior = points_of(points.get("exterior"), where)
    if kind == "rectangle":
        if len(exterior) != 2:
            raise DataError(f"{where} is a rectangle of other than 2 points", "export it again")
        (left, top), (right, bottom) = exterior.min(0).tolist(), exterior.max(0).tolist()
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        exterior = points_of(corners, where)
    if len(exterior) < 3:
        return None
    interior = points.get("interior") or []
    if not isinstance(interior, list):
        raise DataError(f"{where} has no list of holes", "export the project again")
    holes = [points_of(hole, where) for hole in interior]
    draw = opencv_polygon(exterior, [hole for hole in holes if len(hole) >= 3])
    return Shape(label, where, draw, bounds_of([exterior]))


def _bitmap(one: dict[str, Any], label: str, where: str) -> Shape:
    """Return a bitmap, which lies at its origin in the picture."""
    found = one.get("bitmap")
    if not isinstance(found, dict):
        raise DataError(f"{where} has no bitmap", "export the project again")
    origin = points_of([found.get("origin")], where)
    if len(origin) != 1:
        raise DataError(f"{where} has no origin", "export the project again")
    left, top = (whole(value, where, "origin") for value in origin[0].tolist())

    def draw(height: int, width: int) -> Any:
        pixels = bitmap_of_png(found.get("data"), where, most=height * width, packed=True)
        return bitmap(pixels, left, top)[0](height, width)

    return Shape(label, where, draw)
