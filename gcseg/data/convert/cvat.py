"""Read CVAT for images 1.1: an XML file of polygons, masks, boxes and ellipses.

Source: docs.cvat.ai, XML annotation format. Shapes are drawn by their z_order, and in the order of
the file where it is equal. Outlines are drawn as CVAT's own exports draw them, by pycocotools.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any
from xml.etree.ElementTree import Element

from gcseg.data.convert import rle
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
from gcseg.data.convert.files import Export, color_of, label_of, read_xml, real, whole
from gcseg.data.convert.regions import (
    Points,
    bitmap,
    bounds_of,
    box_corners,
    coco_polygons,
    ellipse_corners,
    points_of,
)
from gcseg.data.images import MOST_PIXELS
from gcseg.errors import DataError
from gcseg.system.text import counted, printable

_LOST = {"polyline": "line", "points": "point", "cuboid": "cuboid", "skeleton": "skeleton",
         "tag": "tag"}  # fmt: skip


def cvat(export: Export) -> Source:
    """Read the XML file, or those below a folder.

    Raises:
        DataError: A file is no CVAT, holds tracks of a video alone, or a picture is missing.
    """
    drawings: list[Drawing] = []
    labels: dict[str, Color | None] = {}
    tracks = tails = 0
    notes = []
    for path in export.with_suffix(".xml"):
        root = read_xml(path)
        if root.tag != "annotations":
            notes.append(f"{printable(str(path))} left out, as it is not CVAT's")
            continue
        tracks += len(root.findall("track"))
        for label in root.iterfind("meta//label"):
            name = label_of(label.findtext("name"), f"{path}: a label")
            labels[name] = color_of(label.findtext("color"))
        for image in root.iterfind("image"):
            where = f"{path}: image {printable(image.get('id', ''))}"
            found = export.find(image.get("name"), where, path.parent)
            tails += found.by_tail
            split = split_named(image.get("subset", "")) or split_of(found.name)
            for one in image:
                if one.tag not in _LOST and one.tag != "attribute":
                    labels.setdefault(label_of(one.get("label"), where), None)
            size = (whole(image.get("height"), where, "height"),
                    whole(image.get("width"), where, "width"))  # fmt: skip
            drawings.append(
                Drawing(where, found.name, split, found.path, partial(_read, image, where), size)
            )
    if tracks and not drawings:
        raise DataError(
            f"{export.root} holds tracks of a video, whose shapes are between key frames",
            "export the task as CVAT for images 1.1",
        )
    if tracks:
        notes.append(f"{counted(tracks, 'track')} of a video left out: export for images")
    if tails:
        notes.append(f"{counted(tails, 'picture')} found by name in another folder than stated")
    labels.pop(IGNORE_LABEL, None)
    return Source(drawings, labels, notes)


def _read(image: Element, source: str) -> Content:
    """Return the shapes of a picture, the lowest z_order first."""
    shapes: list[tuple[int, Shape]] = []
    lost: Counter[str] = Counter()
    for number, one in enumerate(image, 1):
        where = f"{source}, {one.tag} {number}"
        if one.tag in _LOST:
            lost[_LOST[one.tag]] += 1
            continue
        if one.tag == "attribute":
            continue
        order = whole(one.get("z_order", "0"), where, "z_order")
        label = label_of(one.get("label"), where)
        if one.tag == "mask":
            shapes.append((order, _mask(one, label, where)))
            continue
        points = _outline(one, where)
        if points is None:
            lost["kind"] += 1
        elif len(points) < 3:
            lost["few"] += 1
        else:
            shape = Shape(label, where, coco_polygons([points]), bounds_of([points]))
            shapes.append((order, shape))
    shapes.sort(key=lambda item: item[0])
    return Content([shape for _, shape in shapes], lost)


def _outline(one: Element, where: str) -> Points | None:
    """Return the corners of a polygon, box or ellipse; None for another kind."""

    def number(name: str, default: str | None = None) -> float:
        return real(one.get(name, default), where, name)

    if one.tag == "polygon":
        pairs = [pair.split(",") for pair in one.get("points", "").split(";") if pair]
        return points_of(pairs, where)
    degrees = number("rotation", "0")
    if one.tag == "box":
        left, top, right, bottom = map(number, ("xtl", "ytl", "xbr", "ybr"))
        return points_of(box_corners(left, top, right, bottom, degrees, pivot="centre"), where)
    if one.tag == "ellipse":
        x, y, radius_x, radius_y = map(number, ("cx", "cy", "rx", "ry"))
        return points_of(ellipse_corners(x, y, radius_x, radius_y, degrees), where)
    return None


def _mask(one: Element, label: str, where: str) -> Shape:
    """Return a mask, whose run lengths go along the rows of its box.

    Raises:
        DataError: It can't be read.
    """
    left, top, width, height = (
        whole(one.get(name), where, name) for name in ("left", "top", "width", "height")
    )
    if min(width, height) < 1 or width * height > MOST_PIXELS:
        raise DataError(f"{where} is {height}x{width} (height x width)", "export it again")
    runs: Any = one.get("rle", "").replace(" ", "").split(",")
    runs = [whole(run, where, "run length") for run in runs]

    def draw(picture_height: int, picture_width: int) -> Any:
        if width > picture_width or height > picture_height:
            raise DataError(f"{where} is larger than its picture", "export it again")
        pixels = rle.decoded(runs, height, width, where, by_rows=True)
        return bitmap(pixels, left, top)[0](picture_height, picture_width)

    return Shape(label, where, draw, (left, top, left + width, top + height))
