"""Exports of annotation tools, made from index masks: what no direction of gcseg.data writes."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import yaml
from PIL import Image

from gcseg.data.convert.outlines import outlines
from gcseg.data.convert.rle import runs_by_rows
from gcseg.data.label_spaces import LabelSpace
from tests.data.trees import write

Samples = dict[str, tuple[np.ndarray, np.ndarray]]
"""Pictures and masks of class indices with 255 ignored, by name."""


def png(array, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(array, np.uint8)).save(file, "PNG", **options)
    return file.getvalue()


def cvat_export(root: Path, samples: Samples, space: LabelSpace, *, masks: bool = False) -> Path:
    """CVAT for images: polygons whose z_order decides, in the opposite order of the file."""
    lines = ["<?xml version='1.0' encoding='utf-8'?>", "<annotations><version>1.1</version><meta>"]
    lines += ["<task><labels>"]
    for name, color in zip(space.names, space.colors, strict=True):
        lines.append(f"<label><name>{name}</name><color>#{bytes(color).hex()}</color></label>")
    lines += ["</labels></task></meta>"]
    for number, (name, (image, mask)) in enumerate(samples.items()):
        write(root / "images" / f"{name}.png", image)
        height, width = mask.shape
        lines.append(
            f'<image id="{number}" name={quoteattr(name + ".png")} width="{width}" '
            f'height="{height}">'
        )
        some = cvat_masks(mask, space) if masks else cvat_polygons(mask, space)
        lines += [*reversed(some), "</image>"]
    path = root / "annotations.xml"
    path.write_text("\n".join([*lines, "</annotations>"]))
    return root


def cvat_polygons(mask, space: LabelSpace) -> list[str]:
    found = []
    for order, (value, points) in enumerate(outlines(mask, "edges", 0)):
        name = "__ignore__" if value == 255 else space.names[value]
        pairs = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
        found.append(f'<polygon label="{name}" points="{pairs}" z_order="{order}"></polygon>')
    return found


def cvat_masks(mask, space: LabelSpace) -> list[str]:
    found = []
    for value in (value for value in np.unique(mask) if value != 255):
        rows, columns = (mask == value).nonzero()
        top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        runs = runs_by_rows((mask == value)[top:bottom, left:right].astype(np.uint8))
        found.append(
            f'<mask label="{space.names[value]}" rle="{", ".join(map(str, runs))}" left="{left}" '
            f'top="{top}" width="{right - left}" height="{bottom - top}" z_order="0"></mask>'
        )
    return found


def supervisely_export(root: Path, samples: Samples, space: LabelSpace) -> Path:
    """A project of bitmaps."""
    classes = [
        {"title": name, "shape": "bitmap", "color": f"#{bytes(color).hex()}"}
        for name, color in zip(space.names, space.colors, strict=True)
    ]
    for name, (image, mask) in samples.items():
        write(root / "ds" / "img" / f"{name}.png", image)
        height, width = mask.shape
        objects = []
        for value in (value for value in np.unique(mask) if value != 255):
            rows, columns = (mask == value).nonzero()
            top, left = rows.min(), columns.min()
            part = (mask == value)[top : rows.max() + 1, left : columns.max() + 1]
            content = base64.b64encode(zlib.compress(png(part * 255))).decode()
            objects.append(
                {"classTitle": space.names[value], "geometryType": "bitmap",
                 "bitmap": {"data": content, "origin": [int(left), int(top)]}}
            )  # fmt: skip
        size = {"height": height, "width": width}
        path = root / "ds" / "ann" / f"{name}.png.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"size": size, "tags": [], "objects": objects}))
    (root / "meta.json").write_text(json.dumps({"classes": classes, "tags": []}))
    return root


def yolo_export(root: Path, samples: Samples, space: LabelSpace) -> Path:
    """YOLO segmentation: outlines through the centres of pixels, from 0 to 1."""
    for name, (image, mask) in samples.items():
        write(root / "images" / "train" / f"{name}.png", image)
        height, width = mask.shape
        lines = []
        for value, points in outlines(mask, "centres", 0):
            if value == 255:
                continue
            while len(points) < 3:
                points = np.concatenate([points, points[-1:]])
            numbers = ((points + 0.5) / (width, height)).ravel()
            lines.append(" ".join([str(value), *(f"{number:.6f}" for number in numbers)]))
        path = root / "labels" / "train" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines))
    content = {"path": ".", "train": "images/train", "names": dict(enumerate(space.names))}
    (root / "data.yaml").write_text(yaml.safe_dump(content))
    return root


def voc_export(root: Path, samples: Samples, space: LabelSpace) -> Path:
    """VOC as CVAT exports it: masks of colours, labelmap.txt; ignored pixels in the border's."""
    lines = ["# label:color_rgb:parts:actions"]
    for name, color in zip(space.names, space.colors, strict=True):
        lines.append(f"{name}:{','.join(map(str, color))}::")
    palette = space.palette.copy()
    palette[255] = (224, 224, 192)
    for name, (image, mask) in samples.items():
        write(root / "JPEGImages" / f"{name}.png", image)
        write(root / "SegmentationClass" / f"{name}.png", palette[mask])
        write(root / "SegmentationObject" / f"{name}.png", palette[mask])
    (root / "labelmap.txt").write_text("\n".join(lines))
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("\n".join(samples))
    return root


def rgb_export(root: Path, samples: Samples, space: LabelSpace) -> Path:
    """Masks of colours next to a class list; ignored pixels are black."""
    for name, (image, mask) in samples.items():
        write(root / "images" / f"{name}.png", image)
        write(root / "masks" / f"{name}.png", space.palette[mask])
    classes = [{"name": name, "color": list(color)}
               for name, color in zip(space.names, space.colors, strict=True)]  # fmt: skip
    (root / "classes.yaml").write_text(yaml.safe_dump({"classes": classes}))
    return root
