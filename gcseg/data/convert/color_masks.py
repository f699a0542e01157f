"""Read masks of colours: VOC's, with labelmap.txt as CVAT exports it, and those of a colour table.

A pixel has the class of its colour. Palette masks are read by their colours too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from gcseg.data.class_list import ClassList
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
from gcseg.data.convert.files import Export
from gcseg.data.images import UInt8Array
from gcseg.data.label_spaces import VOC
from gcseg.data.reading import head_of
from gcseg.errors import ConfigError, DataError
from gcseg.system.records import LARGEST_YAML, RecordError, read_text
from gcseg.system.text import counted, printable, shown

Codes = npt.NDArray[np.uint32]
"""Colours as one number each, H x W."""

_VOID: Color = (224, 224, 192)
"""Colour of VOC's borders and difficult objects, which are neither trained on nor scored."""
_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Suffixes of masks: formats that keep colours."""
_MASKS = "SegmentationClass"
_LISTS = "ImageSets/Segmentation"
_FOLDERS = {"labels", "label", "masks", "mask", "annotations", "annotation", "gt",
            "segmentationclass", "segmentationobject"}  # fmt: skip
"""Names of folders of masks."""


def voc(export: Export) -> Source:
    """Read SegmentationClass/, with labelmap.txt or VOC's own colours.

    The splits are those of ImageSets/Segmentation/train.txt and val.txt.

    Raises:
        DataError: A folder or picture is missing, or labelmap.txt is wrong.
    """
    table = _labelmap(export)
    masks = {
        name: path for path, name in export.files.items()
        if _MASKS in name.parts[:-1] and name.suffix.lower() in _SUFFIXES
    }  # fmt: skip
    if not masks:
        raise DataError(f"{export.root} has no masks in {_MASKS}/", "give the folder with it")
    splits = _lists(export)
    drawings = []
    notes = []
    left = 0
    for name, path in masks.items():
        below = PurePosixPath(*name.parts[name.parts.index(_MASKS) + 1 :]).with_suffix("")
        if splits and str(below) not in splits:
            left += 1
            continue
        picture = _partner(export, below, path)
        kept = PurePosixPath(f"{below}{picture.suffix}")
        split = splits.get(str(below), "train")
        drawings.append(_drawing(path, kept, split, picture, table))
    if left:
        notes.append(f"{counted(left, 'mask')} in no list of {_LISTS} left out")
    labels: dict[str, Color | None] = {
        name: color for color, name in table.items() if name != IGNORE_LABEL
    }
    return Source(drawings, labels, notes, _masks_of(export))


def rgb(export: Export, classes: ClassList) -> Source:
    """Read masks of the colours of a class list, paired with pictures by name.

    Pixels of the colours under `ignore` in the class list are ignored.

    Masks are the files below a folder named labels, masks, annotations or gt, or all in source=
    where images= gives the pictures.

    Raises:
        ConfigError: The class list gives no colours, or one of two meanings.
        DataError: There are no masks, or a picture is missing.
    """
    if not classes.has_colors:
        raise ConfigError(
            "format=rgb needs the classes' colours, and the class list gives none",
            "give each class its color: {name: road, color: [128, 64, 128]}",
        )
    key = classes.color_key("error")
    names = [*classes.label_space.names, *(IGNORE_LABEL,) * len(classes.ignored_colors)]
    table: dict[Color, str] = dict(zip(key.colors, names, strict=True))
    masks = {
        name: path for path, name in export.files.items()
        if name.suffix.lower() in _SUFFIXES
        and (export.images is not None or _FOLDERS & {part.lower() for part in name.parts[:-1]})
    }  # fmt: skip
    if not masks:
        raise DataError(
            f"{export.root} has no masks in a folder named labels or masks",
            "give source= the folder of the masks and images= that of the pictures",
        )
    drawings = []
    for name, path in masks.items():
        kept = [part for part in name.parts[:-1] if part.lower() not in _FOLDERS]
        below = PurePosixPath(*kept, name.stem)
        picture = _partner(export, below, path)
        drawings.append(
            _drawing(
                path, PurePosixPath(f"{below}{picture.suffix}"), split_of(name), picture, table
            )
        )
    labels: dict[str, Color | None] = {
        name: color for color, name in table.items() if name != IGNORE_LABEL
    }
    return Source(drawings, labels, other=list(masks.values()))


def _masks_of(export: Export) -> list[Path]:
    """Return the files of VOC's two folders of masks."""
    folders = {_MASKS, "SegmentationObject"}
    return [path for path, name in export.files.items() if folders & {*name.parts[:-1]}]


def _drawing(
    path: Path, name: PurePosixPath, split: str, picture: Path, table: Mapping[Color, str]
) -> Drawing:
    return Drawing(str(path), name, split, picture, partial(_read, path, table))


def _partner(export: Export, name: PurePosixPath, mask: Path) -> Path:
    """Return the picture of a mask: of the same name, in another folder.

    Raises:
        DataError: There is none, or several.
    """
    wanted = name.parts
    masks = mask.parent
    found = [
        path
        for path in export.by_stem(wanted[-1])
        if path.parent != masks
        and not (_FOLDERS & {part.lower() for part in _parents(export, path)})
    ]
    best = max((_agreement(path, wanted) for path in found), default=0)
    found = [path for path in found if _agreement(path, wanted) == best]
    if len(found) != 1:
        which = "no picture" if not found else f"two pictures, {found[0]} and {found[1]}"
        raise DataError(
            f"mask {mask} has {which} of its name",
            "put the picture in a folder of the same name, or give images= the folder of all",
        )
    return found[0]


def _parents(export: Export, path: Path) -> tuple[str, ...]:
    return export.pictures[path].parts[:-1]


def _agreement(path: Path, wanted: tuple[str, ...]) -> int:
    """Return how many parts at the end of a path are those of a name without suffix."""
    parts = [*path.parts[:-1], path.stem]
    count = 0
    for one, other in zip(reversed(parts), reversed(wanted), strict=False):
        if one != other:
            break
        count += 1
    return count


def _read(path: Path, table: Mapping[Color, str]) -> Content:
    """Return a shape for each colour of a mask, and the colours that are no class's.

    Raises:
        DataError: The mask can't be read.
    """
    head_of(path, "mask")  # what is no regular file is not opened
    try:
        with Image.open(path) as image:
            transparent = image.mode in ("RGBA", "LA")
            pixels = np.asarray(image.convert("RGB"), np.uint8)
            opacity = np.asarray(image.convert("RGBA"))[..., 3] if transparent else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"mask {path} can't be read ({error})", "export it again") from None
    codes = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    known = {red << 16 | green << 8 | blue: name for (red, green, blue), name in table.items()}
    values, counts = np.unique(codes, return_counts=True)
    shapes = []
    unknown: Counter[Color] = Counter()
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        color = (value >> 16, value >> 8 & 255, value & 255)
        if value in known:
            draw = partial(_equal, codes, value, opacity)
            shapes.append(Shape(known[value], f"{path}: colour {list(color)}", draw))
        elif color != (0, 0, 0):  # black is nothing, unless it is a class
            unknown[color] += count
    return Content(shapes, colors=unknown)


def _equal(
    codes: Codes, value: int, opacity: UInt8Array | None, height: int, width: int
) -> UInt8Array:
    """Return the pixels of one colour, of those that are opaque.

    Raises:
        DataError: The mask has another size than its picture.
    """
    if codes.shape != (height, width):
        raise DataError(
            f"its mask is {codes.shape[0]}x{codes.shape[1]} and the picture {height}x{width} "
            "(height x width)",
            "pair the right files, and mind that a camera's rotation tag is applied to images",
        )
    inside = codes == value
    if opacity is not None:
        inside &= opacity > 0
    return np.asarray(inside, np.uint8)


def _labelmap(export: Export) -> dict[Color, str]:
    """Return the names by colour: of labelmap.txt (`name:r,g,b:parts:actions`), or VOC's own.

    Raises:
        DataError: A line can't be read.
    """
    table: dict[Color, str] = {}
    path = export.root / "labelmap.txt"
    if path not in export.files:
        table = dict(zip(VOC.colors, VOC.names, strict=True))
    for number, line in enumerate(_lines(path) if path in export.files else (), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, rest = line.partition(":")
        color = rest.partition(":")[0]
        try:
            red, green, blue = (int(one) for one in color.split(","))
        except ValueError:
            raise DataError(
                f"{path}: line {number}, {shown(line)}, is no name:red,green,blue", "correct it"
            ) from None
        if (red, green, blue) in table:
            raise DataError(
                f"{path} gives {printable(table[red, green, blue])} and {shown(name)} one colour",
                "give each class a colour",
            )
        table[red, green, blue] = name.strip()
    return {_VOID: IGNORE_LABEL} | table


def _lists(export: Export) -> dict[str, str]:
    """Return the split of each listed name; CVAT's list default.txt is train."""
    splits: dict[str, str] = {}
    for path, name in export.files.items():
        if str(name.parent) != _LISTS or name.suffix != ".txt":
            continue
        split = split_named(name.stem) or ("train" if name.stem == "default" else None)
        for line in _lines(path) if split is not None else ():
            if line.strip():
                splits.setdefault(line.strip(), split or "train")
    return splits


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path, 64 * LARGEST_YAML).splitlines()
    except (RecordError, OSError) as error:
        raise DataError(f"{path} can't be read ({error})", "export it again") from None
