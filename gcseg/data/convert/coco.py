"""Read COCO: JSON files of pictures and annotations, as polygons and run lengths.

Source: cocoapi. Later annotations are drawn over earlier ones, and crowds under all others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

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
from gcseg.data.convert.files import Export, entries, label_of, read_annotations, whole
from gcseg.data.convert.regions import bounds_of, coco_polygons, points_of
from gcseg.errors import DataError
from gcseg.system.text import brief, counted, printable

_OFFICIAL = "instances_"


def coco(export: Export) -> Source:
    """Read the annotation file, or those below a folder; of COCO's own, `instances_*.json`.

    A file's split is that of its name (`instances_train2017.json`) or folder (`valid/`).

    Raises:
        DataError: A file is no COCO, or names what is missing.
    """
    paths = export.with_suffix(".json")
    paths = [path for path in paths if path.name.startswith(_OFFICIAL)] or paths
    drawings: list[Drawing] = []
    labels: dict[str, Color | None] = {}
    notes: list[str] = []
    crowds = tails = 0
    for path in paths:
        content = read_annotations(path)
        categories = _categories(content, path)
        labels |= _labels(content["categories"])
        by_picture: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        for number, one in enumerate(entries(content["annotations"], str(path), "annotations"), 1):
            where = f"{path}: annotation {brief(one.get('id', number))}"
            if whole(one.get("category_id"), where, "category_id") not in categories:
                raise DataError(
                    f"{where} has the category {brief(one.get('category_id'))}, which the file "
                    "does not list",
                    "add it to the file's categories, or remove the annotation",
                )
            by_picture[whole(one.get("image_id"), where, "image_id")].append((number, one))
            crowds += bool(one.get("iscrowd")) and isinstance(one.get("segmentation"), dict)
        places = _places(path, export)
        known: set[int] = set()
        for picture in entries(content["images"], str(path), "images"):
            identity = whole(picture.get("id"), f"{path}: a picture", "id")
            where = f"{path}: picture {identity}"
            if identity in known:
                raise DataError(f"{where} is listed twice", "remove one of the two")
            known.add(identity)
            found = export.find(picture.get("file_name"), where, path.parent, *places)
            tails += found.by_tail
            drawings.append(
                Drawing(
                    where,
                    found.name,
                    _split(path, found.name),
                    found.path,
                    partial(_read, by_picture[identity], categories, path),
                    (whole(picture.get("height"), where, "height"),
                     whole(picture.get("width"), where, "width")),
                )
            )  # fmt: skip
        if alone := sum(len(some) for key, some in by_picture.items() if key not in known):
            notes.append(
                f"{counted(alone, 'annotation')} of pictures that {printable(str(path))} does not "
                "list left out"
            )
    if crowds:
        notes.append(
            f"{counted(crowds, 'crowd region')} drawn as their class, under all other annotations"
        )
    if tails:
        notes.append(f"{counted(tails, 'picture')} found by name in another folder than stated")
    return Source(drawings, labels, notes)


def _categories(content: object, path: Path) -> dict[int, str]:
    """Return the categories by number.

    Raises:
        DataError: The file is no COCO.
    """
    parts = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(part in content for part in parts):
        raise DataError(
            f"{path} has no {', '.join(parts)}, which COCO's files have",
            "give source= the file of instances, or check format=",
        )
    if any("segments_info" in one for one in entries(content["annotations"], str(path), parts[1])):
        raise DataError(
            f"{path} is COCO's panoptic form, whose masks are pictures",
            "give source= the file of instances",
        )
    return {
        whole(one.get("id"), f"{path}: a category", "id"): label_of(
            one.get("name"), f"{path}: category {brief(one.get('id'))}"
        )
        for one in entries(content["categories"], str(path), "categories")
    }


def _places(path: Path, export: Export) -> list[Path]:
    """Return where the pictures of a file usually are: train2017/ or images/train2017/."""
    word = path.stem.removeprefix(_OFFICIAL)
    around = [export.root, path.parent, *([export.images] if export.images else [])]
    return [folder / name for folder in around for name in (word, f"images/{word}")]


def _labels(categories: list[dict[str, Any]]) -> dict[str, Color | None]:
    """Return the categories' names with their colours, which COCO's panoptic form introduced."""
    labels: dict[str, Color | None] = {}
    for one in categories:
        color: Any = one.get("color")
        parts = color if isinstance(color, list) else []
        if len(parts) != 3 or not all(type(part) is int and 0 <= part < 256 for part in parts):
            color = None
        if one["name"] != IGNORE_LABEL:
            labels[one["name"]] = color and (color[0], color[1], color[2])
    return labels


def _split(path: Path, picture: PurePosixPath) -> str:
    """Return the split of a file: of a word in its name, of its folder, or of the picture's."""
    words = "".join(one if one.isalpha() else " " for one in path.stem).split()
    named = (split_named(word) for word in [*words, path.parent.name])
    return next((split for split in named if split is not None), split_of(picture))


def _read(
    some: list[tuple[int, dict[str, Any]]], categories: dict[int, str], path: Path
) -> Content:
    """Return the shapes of a picture, crowds first."""
    shapes: list[Shape] = []
    lost: Counter[str] = Counter()
    for number, one in sorted(some, key=lambda item: not item[1].get("iscrowd")):
        where = f"{path}: annotation {brief(one.get('id', number))}"
        label = categories[int(one["category_id"])]
        found = one.get("segmentation")
        if not found:
            lost["keypoints" if one.get("keypoints") else "box"] += 1
        elif isinstance(found, dict):
            shapes.append(Shape(label, where, partial(_drawn, found, where)))
        elif isinstance(found, list):
            rings = [points_of(ring, where) for ring in found]
            lost["few"] += sum(len(ring) < 3 for ring in rings)
            rings = [ring for ring in rings if len(ring) >= 3]
            if rings:
                shapes.append(Shape(label, where, coco_polygons(rings), bounds_of(rings)))
        else:
            raise DataError(f"{where} has no segmentation that is read", "export it again")
    return Content(shapes, +lost)


def _drawn(found: dict[str, Any], where: str, height: int, width: int) -> Any:
    """Return the mask of run lengths.

    Raises:
        DataError: They are of another size.
    """
    if found.get("size") != [height, width]:
        raise DataError(
            f"{where} has run lengths of size {brief(found.get('size'))}, and its picture is "
            f"{height}x{width} (height x width)",
            "export the annotations again",
        )
    return rle.decoded(found.get("counts"), height, width, where, by_rows=False)
