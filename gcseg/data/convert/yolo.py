"""Read YOLO segmentation: a YAML file of names and folders, and a text file for each picture.

Source: docs.ultralytics.com, datasets/segment, and ultralytics' data/utils.py: corners are cut off
to whole pixels (`opencv` of `gcseg.data.convert.regions`), and smaller regions are drawn over
larger ones, as polygons2masks_overlap does.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from gcseg.data.convert.drawings import Content, Drawing, Shape, Source
from gcseg.data.convert.files import Export, label_of
from gcseg.data.convert.pictures import picture_size
from gcseg.data.convert.regions import bounds_of, opencv_polygon, points_of
from gcseg.data.images import UInt8Array
from gcseg.errors import DataError
from gcseg.system.records import LARGEST_YAML, RecordError, parse_yaml, read_text
from gcseg.system.text import brief, counted, printable, shown

_SPLITS = ("train", "val", "test")
_LARGEST_FILE = 2**27


def yolo(export: Export) -> Source:
    """Read the data set that a YAML file describes.

    A picture without a text file has no regions, as for ultralytics.

    Raises:
        DataError: The YAML file is missing or wrong, or a file that it names is.
    """
    path = _yaml(export)
    content = _read_yaml(path)
    names = content["names"]
    listed = dict(enumerate(names)) if isinstance(names, list) else dict(names)
    try:
        labels = {int(number): label_of(name, f"{path}: class {brief(number)}")
                  for number, name in listed.items()}  # fmt: skip
    except (TypeError, ValueError):
        raise DataError(
            f"{path} has names whose keys are no numbers", "number them from 0"
        ) from None
    drawings: list[Drawing] = []
    without = 0
    for split in _SPLITS:
        given = content.get(split)
        for one in given if isinstance(given, list) else [given]:
            if one is None:
                continue
            for picture in _pictures(export, content, one, f"{path}: {split}"):
                annotation = _annotation(picture)
                if annotation not in export.files:
                    without += 1
                    read = Content
                else:
                    read = partial(_read, annotation, labels, picture)  # type: ignore[assignment]
                name = export.pictures[picture]
                kept = [part for part in name.parts if part != "images"]
                source = str(annotation)
                drawings.append(Drawing(source, PurePosixPath(*kept), split, picture, read))
    notes = []
    if without:
        notes.append(
            f"{counted(without, 'picture')} without a text file, which YOLO takes for pictures of "
            "no object"
        )
    return Source(drawings, {labels[number]: None for number in sorted(labels)}, notes)


def _yaml(export: Export) -> Path:
    """Return the YAML file of the data set.

    Raises:
        DataError: There is none, or more than one.
    """
    found = export.with_suffix(".yaml", ".yml")
    usual = [path for path in found if path.name in ("data.yaml", "dataset.yaml", "data.yml")]
    described = usual if len(usual) == 1 else [path for path in found if path.parent == export.root]
    if len(described) == 1:
        return described[0]
    raise DataError(
        f"{export.root} has {counted(len(found), 'YAML file')}, and one has to give names and "
        "folders",
        "give source= that file, usually data.yaml",
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    """Return what the YAML file says.

    Raises:
        DataError: It is no such file.
    """
    try:
        # YAML's numbers as keys are no names of a record: quote them first.
        text = read_text(path, LARGEST_YAML)
        content = parse_yaml(_quoted_numbers(text))
    except (RecordError, OSError) as error:
        raise DataError(f"{path} can't be read ({error})", "write it as ultralytics does") from None
    if not isinstance(content, dict) or not isinstance(content.get("names"), list | dict):
        raise DataError(f"{path} has no names of the classes", "add names: [road, car]")
    return content


def _quoted_numbers(text: str) -> str:
    """Put the numbers that stand as keys on a line into quotes."""
    lines = []
    for line in text.splitlines():
        key, colon, _ = line.partition(":")
        number = key.strip()
        quoted = colon and number.isascii() and number.isdigit()
        lines.append(line.replace(number, f"'{number}'", 1) if quoted else line)
    return "\n".join(lines)


def _pictures(export: Export, content: dict[str, Any], given: object, where: str) -> list[Path]:
    """Return the pictures of a folder or list that the YAML file names.

    Folders are looked up in the export, wherever `path:` leads; so are `../train/images`, which
    some exports say for train/images.

    Raises:
        DataError: There is no such folder, or a listed picture is missing.
    """
    text = str(given).replace("\\", "/")
    stem = [part for part in str(content.get("path") or "").replace("\\", "/").split("/")
            if part not in ("", ".", "..")]  # fmt: skip
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    for length in range(len(stem) + 1):  # the whole path, then less and less of its beginning
        start = "/".join([*stem[length:], *parts])
        file = Path(os.path.normpath(export.root / start))
        if file in export.files and file.suffix == ".txt":
            return _listed(export, file, where)
        below = sorted(
            path for path in export.pictures if path.is_relative_to(file) and path != file
        )
        if below:
            return below
    raise DataError(
        f"{where} names {shown(text)}, in which {export.root} has no pictures",
        "correct the YAML file, or remove the line",
    )


def _listed(export: Export, path: Path, where: str) -> list[Path]:
    """Return the pictures that a list names, one on each line.

    Raises:
        DataError: The list can't be read, or names a picture that is missing.
    """
    return [
        export.find(line.strip(), f"{path}, which {where} names,", path.parent).path
        for line in _lines(path)
        if line.strip()
    ]


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path, _LARGEST_FILE).splitlines()
    except (RecordError, OSError) as error:
        raise DataError(f"{path} can't be read ({error})", "export it again") from None


def _annotation(picture: Path) -> Path:
    """Return the text file of a picture: in labels/ in the place of the last images/."""
    parts = list(picture.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _read(path: Path, labels: dict[int, str], picture: Path) -> Content:
    """Return the regions of a text file, the largest first.

    Raises:
        DataError: A line is no region, or of a class that the YAML file does not name.
    """
    height, width = picture_size(picture)
    shapes: list[tuple[int, Shape]] = []
    lost: Counter[str] = Counter()
    for number, line in enumerate(_lines(path), 1):
        where = f"{path}: line {number}"
        words = line.split()
        if not words:
            continue
        try:
            label = labels[int(words[0])]
        except (ValueError, KeyError):
            raise DataError(
                f"{where} has the class {printable(words[0][:20])}, which the YAML file does not "
                "name",
                "add it to names, or remove the line",
            ) from None
        if len(words) == 5:
            lost["box"] += 1
            continue
        points = points_of(words[1:], where) * (width, height)
        if len(points) < 3:
            lost["few"] += 1
            continue
        points = points_of(points, where)
        mask = opencv_polygon(points)(height, width)
        shape = Shape(label, where, partial(_same, mask), bounds_of([points]))
        shapes.append((int(np.count_nonzero(mask)), shape))
    shapes.sort(key=lambda item: -item[0])
    return Content([shape for _, shape in shapes], lost)


def _same(mask: UInt8Array, height: int, width: int) -> UInt8Array:
    return mask
