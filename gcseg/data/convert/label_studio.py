"""Read Label Studio's JSON: brush masks, polygons, rectangles and ellipses, in percent.

Source: labelstud.io, export format, and label_studio_converter. Later regions are drawn over
earlier ones. Outlines are drawn as its COCO export draws them, by pycocotools.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gcseg.data.convert import brush
from gcseg.data.convert.drawings import (
    IGNORE_LABEL,
    Color,
    Content,
    Drawing,
    Shape,
    Source,
    split_of,
)
from gcseg.data.convert.files import (
    Export,
    Found,
    color_of,
    entries,
    label_of,
    read_annotations,
    read_xml,
    real,
    whole,
)
from gcseg.data.convert.regions import (
    Points,
    bounds_of,
    box_corners,
    coco_polygons,
    ellipse_corners,
    points_of,
)
from gcseg.errors import DataError
from gcseg.system.text import brief, counted, printable

INTERFACE = "label_config.xml"
"""Labelling interface of a project, copied from its settings."""

_KINDS = ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels")
_LABELLED = (*_KINDS, "labels")
_LOST = {"keypointlabels": "point", "keypoint": "point", "choices": "tag", "rating": "tag",
         "textarea": "tag", "taxonomy": "tag"}  # fmt: skip
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded picture."""


def label_studio(export: Export) -> Source:
    """Read the JSON files of an export ("JSON"), of annotations or else of predictions.

    Labels are in the order of label_config.xml, the labelling interface, if it is there, as the
    export does not list them, and then of the alphabet.

    Raises:
        DataError: A file is no export, or a picture is missing.
    """
    drawings: list[Drawing] = []
    labels: set[str] = set()
    untouched = tails = predicted = 0
    for path in export.with_suffix(".json"):
        content = read_annotations(path)
        tasks = content if isinstance(content, list) else [content]
        for number, task in enumerate(entries(tasks, str(path), "tasks"), 1):
            where = f"{path}: task {brief(task.get('id', number))}"
            if not isinstance(task.get("data"), dict):
                raise DataError(
                    f"{where} has no data, as Label Studio's export named JSON has",
                    "export as JSON, not as JSON-MIN or others",
                )
            regions, lost, from_model = _regions(task, where)
            if regions is None:
                untouched += 1
                continue
            predicted += from_model
            found = _find(export, task, where)
            tails += found.by_tail
            labels |= {label for one in regions if (label := _label(one)) is not None}
            drawings.append(
                Drawing(
                    where,
                    found.name,
                    split_of(found.name),
                    found.path,
                    partial(_read, regions, lost, where),
                    _size(regions, where),
                )
            )
    notes = []
    if untouched:
        notes.append(f"{counted(untouched, 'task')} without a finished annotation left out")
    if predicted:
        notes.append(
            f"{counted(predicted, 'task')} with predictions alone, which nobody has corrected: "
            "they are taken as they are"
        )
    if tails:
        notes.append(f"{counted(tails, 'picture')} found by name in another folder than stated")
    found_labels: dict[str, Color | None] = dict.fromkeys(sorted(labels - {IGNORE_LABEL}))
    listed = _interface(export)
    return Source(drawings, listed | {**found_labels, **listed}, notes)


def _interface(export: Export) -> dict[str, Color | None]:
    """Return the labels of the labelling interface with their colours, if it is there."""
    path = export.root / INTERFACE
    if path not in export.files:
        return {}
    return {
        label_of(one.get("value"), f"{path}: a label"): color_of(one.get("background"))
        for one in read_xml(path).iter("Label")
    }


def _regions(
    task: dict[str, Any], where: str
) -> tuple[list[dict[str, Any]] | None, Counter[str], bool]:
    """Return the results of the last annotation that was not skipped, or else of a prediction."""
    lost: Counter[str] = Counter()
    annotations = entries(task.get("annotations") or [], where, "annotations")
    finished = [one for one in annotations if not one.get("was_cancelled")]
    lost["cancelled"] = len(annotations) - len(finished)
    predictions = entries(task.get("predictions") or [], where, "predictions")
    from_model = not annotations and bool(predictions)
    chosen = finished or (predictions if from_model else [])
    if not chosen:
        return None, lost, False
    lost["annotator"] = max(0, len(finished) - 1)
    return entries(chosen[-1].get("result"), where, "result"), lost, from_model


def _find(export: Export, task: dict[str, Any], where: str) -> Found:
    """Return the picture of a task, by the path or address that it was imported from.

    Raises:
        DataError: There is none.
    """
    addresses = [value for value in task["data"].values() if isinstance(value, str)]
    names = [name for address in addresses for name in _paths(address)]
    names += [task["file_upload"]] if isinstance(task.get("file_upload"), str) else []
    first: DataError | None = None
    for name in names:
        start, slash, last = name.rpartition("/")
        for one in dict.fromkeys((name, f"{start}{slash}{_UPLOADED.sub('', last, count=1)}")):
            try:
                return export.find(one, where)
            except DataError as error:
                first = first or error
    raise first or DataError(f"{where} names no picture", "export the project again")


def _paths(address: str) -> list[str]:
    """Return the paths that an address may stand for: of local storage that of `d`, the path."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return [address]
    if local := parse_qs(parts.query).get("d"):
        return [local[0].lstrip("/"), f"/{local[0]}"]
    return [f"/{unquote(parts.path).lstrip('/')}"]


def _size(regions: list[dict[str, Any]], where: str) -> tuple[int, int] | None:
    """Return height and width of the annotated picture; None if no region says it."""
    sizes = {
        (whole(one["original_height"], where, "original_height"),
         whole(one["original_width"], where, "original_width"))
        for one in regions
        if "original_height" in one and "original_width" in one
    }  # fmt: skip
    if len(sizes) > 1:
        raise DataError(f"{where} has regions of pictures of several sizes", "export it again")
    return next(iter(sizes), None)


def _labels(one: dict[str, Any]) -> list[str]:
    value = one.get("value")
    if not isinstance(value, dict):
        return []
    lists = [value[kind] for kind in _LABELLED if isinstance(value.get(kind), list)]
    found: list[Any] = lists[0] if lists else []
    return [label for label in found if isinstance(label, str) and label.strip()]


def _label(one: dict[str, Any]) -> str | None:
    """Return the first label of a region that has an area."""
    if _kind(one) is None:
        return None
    return next(iter(_labels(one)), None)


def _kind(one: dict[str, Any]) -> str | None:
    """Return brush, polygon, rectangle or ellipse; None for what has no area."""
    kind = str(one.get("type")).lower().removesuffix("labels")
    return kind if f"{kind}labels" in _KINDS else None


def _read(regions: list[dict[str, Any]], lost: Counter[str], source: str) -> Content:
    """Return the shapes of a picture."""
    shapes: list[Shape] = []
    lost = Counter(lost)
    for number, one in enumerate(regions, 1):
        where = f"{source}, region {printable(brief(one.get('id', number)))}"
        kind = _kind(one)
        if kind is None:
            name = str(one.get("type")).lower()
            lost[_LOST.get(name, "kind")] += name not in ("labels", "relation")
            continue
        labels = _labels(one)
        if not labels:
            # Outlines without labels go with a result of type labels, which repeats them.
            lost["unnamed"] += one.get("type") in _KINDS
            continue
        lost["further"] += len(labels) - 1
        if one.get("image_rotation"):
            raise DataError(
                f"{where} was drawn on a picture that was turned in Label Studio",
                "turn the picture's file instead, and draw the region again",
            )
        shape = _shape(kind, one, labels[0], where)
        lost["few"] += shape is None
        shapes += [] if shape is None else [shape]
    return Content(shapes, +lost)


def _shape(kind: str, one: dict[str, Any], label: str, where: str) -> Shape | None:
    value = one["value"]
    if kind == "brush":
        if value.get("format", "rle") != "rle":
            raise DataError(f"{where} has a brush mask that is no rle", "export as JSON")
        return Shape(label, where, partial(_brushed, value.get("rle"), where))
    height = whole(one.get("original_height"), where, "original_height")
    width = whole(one.get("original_width"), where, "original_width")
    points = _outline(kind, value, height, width, where)
    if len(points) < 3:
        return None
    return Shape(label, where, coco_polygons([points]), bounds_of([points]))


def _brushed(rle: object, where: str, height: int, width: int) -> Any:
    return brush.decoded(rle, height, width, where)


def _outline(kind: str, value: dict[str, Any], height: int, width: int, where: str) -> Points:
    """Return the corners of a polygon, rectangle or ellipse in pixels."""
    if kind == "polygon":
        return points_of(points_of(value.get("points"), where) * (width / 100, height / 100), where)

    def number(name: str, of: float) -> float:
        return real(value.get(name), where, name) * of / 100

    degrees = real(value.get("rotation") or 0, where, "rotation")
    x, y = number("x", width), number("y", height)
    if kind == "rectangle":
        right, bottom = x + number("width", width), y + number("height", height)
        corners = box_corners(x, y, right, bottom, degrees, pivot="corner")
    else:
        radii = number("radiusX", width), number("radiusY", height)
        corners = ellipse_corners(x, y, *radii, degrees)
    return points_of(corners, where)
