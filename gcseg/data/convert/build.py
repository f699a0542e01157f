"""Draw annotated pictures into index masks, in the layout that `dataset=folder` reads."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from unicodedata import normalize

import cv2
import numpy as np
from PIL import Image

from gcseg.data.convert.classes import CLASS_LIST, Classes, Unlabelled, class_list, classes_of
from gcseg.data.convert.drawings import IGNORE_LABEL, Content, Drawing, Shape, Source
from gcseg.data.convert.output import RECORD, new_folder
from gcseg.data.convert.pictures import picture_size, place_picture
from gcseg.data.convert.tally import Tally, share
from gcseg.data.images import UInt8Array
from gcseg.data.label_spaces import IGNORE_INDEX, UNKNOWN
from gcseg.data.parallel import Progress, in_parallel
from gcseg.errors import ConfigError, DataError
from gcseg.system.files import output_error, write_json
from gcseg.system.text import counted, listed, printable, shown

_UNDRAWN = UNKNOWN
"""Mark of pixels without a label while a mask is drawn; no class has this index."""
_LISTED = 10
"""Faults that are shown."""


@dataclass(frozen=True)
class Options:
    """How a conversion writes.

    Args:
        output: Folder that is written.
        unlabelled: What pixels without a label are; None if there may be none.
        copy: Whether pictures are copied; hard links are made otherwise.
        overwrite: Whether an earlier conversion is replaced.
    """

    output: Path
    unlabelled: Unlabelled | None = None
    copy: bool = True
    overwrite: bool = False


def build(
    source: Source,
    given: Sequence[str] | str | None,
    options: Options,
    sources: tuple[Path, ...],
    *,
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    """Write `images/<split>`, `labels/<split>` and `classes.yaml` for annotated pictures.

    The folder appears when all pictures are converted. With a fault it does not appear.

    Args:
        source: The annotated pictures.
        given: The classes, see `classes_of`.
        options: How to write.
        sources: Folders that are read.
        progress: Callback that is passed the numbers of pictures done and of all.
        say: Callback that is passed each line on what was made and lost.

    Raises:
        ConfigError: Classes or options are wrong.
        DataError: Pictures or annotations are missing, wrong or don't fit; all are listed.
        OutputError: The folder can't be written.
    """
    named = _names(source.drawings)
    classes = classes_of(given, source.labels, options.unlabelled)
    tally = Tally()
    faults: list[DataError] = []
    with new_folder(options.output, overwrite=options.overwrite, sources=sources) as folder:
        (folder / CLASS_LIST).write_bytes(class_list(classes.space))
        work = partial(_convert, classes=classes, options=options, folder=folder)
        for result in in_parallel(work, named, progress=progress):
            if isinstance(result, DataError):
                faults.append(result)
            else:
                tally.add(result)
        _raise(faults, len(named), say)
        splits = Counter(drawing.split for drawing, _ in named)
        names = classes.space.names
        write_json(folder / RECORD, {"splits": splits, **tally.as_dict(names)})
    for line in source.notes:
        say(line)
    values = {index: value for value, index in sorted(classes.space.values.items(), reverse=True)}
    say("classes: " + listed((f"{shown(name)} {values[index]}" for index, name in enumerate(names)),
                             most=256))  # fmt: skip
    for line in tally.lines(names, classes.space.colors, classes.background is not None):
        say(line)
    for split, count in splits.items():
        say(f"{split}: {counted(count, 'picture')}")
    if "val" not in splits:
        say("there is no split val: train with dataset.val_fraction=0.1, or another part")


def _raise(faults: Sequence[DataError], pictures: int, say: Callable[[str], None]) -> None:
    """Raise the only fault, or say them all and raise their number.

    Raises:
        DataError: There are faults.
    """
    if len(faults) == 1:
        raise faults[0]
    if faults:
        for fault in faults[:_LISTED]:
            say(f"{fault}")
        raise DataError(
            f"{len(faults)} of {counted(pictures, 'picture')} can't be converted",
            f"correct what is listed above{' and the rest' if len(faults) > _LISTED else ''}, and "
            "give the command again",
        )


def _names(drawings: Sequence[Drawing]) -> list[tuple[Drawing, str]]:
    """Give each picture a name in its split: its path below the folder that all have in common.

    Those that differ in their suffix only keep it in the name.

    Raises:
        DataError: There are no pictures, or one is annotated twice.
    """
    if not drawings:
        raise DataError("no annotated picture in source=", "give the folder of the export")
    by_split: dict[str, list[Drawing]] = defaultdict(list)
    seen: dict[tuple[str, object], Drawing] = {}
    for drawing in drawings:
        key = drawing.split, drawing.name if callable(drawing.picture) else drawing.picture
        if key in seen:
            raise DataError(
                f"picture {printable(str(drawing.name))} is annotated twice, in "
                f"{seen[key].source} and in {drawing.source}",
                "remove one of the two",
            )
        seen[key] = drawing
        by_split[drawing.split].append(drawing)
    named = []
    for some in by_split.values():
        common = os.path.commonpath([f"/{drawing.name.parent}" for drawing in some])
        paths = [PurePosixPath(f"/{drawing.name}").relative_to(common) for drawing in some]
        stems = Counter(normalize("NFC", str(path.with_suffix(""))) for path in paths)
        for drawing, path in zip(some, paths, strict=True):
            alone = stems[normalize("NFC", str(path.with_suffix("")))] == 1
            named.append((drawing, str(path.with_suffix("") if alone else path)))
    return named


def _convert(
    item: tuple[Drawing, str], *, classes: Classes, options: Options, folder: Path
) -> Tally | DataError:
    """Write a picture and its mask; return a fault of theirs."""
    drawing, name = item
    image = folder / "images" / drawing.split / f"{name}{drawing.name.suffix}"
    label = folder / "labels" / drawing.split / f"{name}.png"
    try:
        image.parent.mkdir(parents=True, exist_ok=True)
        label.parent.mkdir(parents=True, exist_ok=True)
        place_picture(drawing.picture, image, copy=options.copy)
        height, width = picture_size(image)
        if drawing.size is not None and drawing.size != (height, width):
            stated = "x".join(map(str, drawing.size))
            raise DataError(
                f"{drawing.source} is for a picture of {stated}, but {drawing.name} is "
                f"{height}x{width} (height x width)",
                "pair the right files, and mind that a camera's rotation tag is applied to images",
            )
        indices, tally = draw(drawing.read(), height, width, classes, drawing.source)
        if tally.unlabelled and options.unlabelled is None:
            raise ConfigError(
                f"{share(tally.unlabelled, tally.total)} of the pixels of {drawing.name} have no "
                "label",
                "add unlabelled=background to make them a class, or unlabelled=ignore to leave "
                "them out of training and scores",
            )
        write_mask(indices, classes, label)
    except DataError as error:
        return error
    except OSError as error:
        raise output_error(image, error) from error
    return tally


def draw(
    content: Content, height: int, width: int, classes: Classes, source: str
) -> tuple[UInt8Array, Tally]:
    """Draw shapes into a mask, each over those before it.

    Args:
        content: The shapes.
        height: Rows of the picture.
        width: Columns of the picture.
        classes: The classes.
        source: The annotation file, for messages.

    Returns:
        H x W class indices with 255 for ignored pixels and 254 for those without a label, which
        are the background's index where they are a class; and what was found.

    Raises:
        DataError: A shape is wholly outside the picture.
    """
    tally = Tally(total=height * width, lost=content.lost, colors=content.colors)
    mask = np.full((height, width), _UNDRAWN, np.uint8)
    twice = np.zeros((height, width), bool)
    index: Mapping[str, int] = {IGNORE_LABEL: IGNORE_INDEX, **classes.index}
    if not content.shapes:
        tally.without.append(source)
    for shape in content.shapes:
        if _is_clipped(shape, height, width, source):
            tally.clipped.append(f"{shown(shape.label)}, {shape.where}")
        box = _window(shape)
        inside = shape.draw(height, width)[box].astype(bool)
        pixels = int(inside.sum())
        if not pixels:
            tally.empty.append(f"{shown(shape.label)}, {shape.where}")
        value = index.get(shape.label, _UNDRAWN)
        if value == _UNDRAWN:
            tally.unknown[shape.label] += pixels
        below = mask[box][inside]
        twice[box][inside] |= (below != _UNDRAWN) & (below != value)
        mask[box][inside] = value
    tally.overlaps = int(twice.sum())
    counts = np.bincount(mask.ravel(), minlength=256)
    tally.unlabelled, tally.ignored = int(counts[_UNDRAWN]), int(counts[IGNORE_INDEX])
    if classes.background is not None:
        counts[classes.background] += counts[_UNDRAWN]
    tally.pixels.update(
        {number: int(counts[number]) for number in range(classes.space.num_classes)}
    )
    return mask, tally


def _window(shape: Shape) -> tuple[slice, slice]:
    """Return the rows and columns that a shape may be in, which saves time in large pictures."""
    if shape.bounds is None:
        return np.s_[:, :]
    left, top, right, bottom = shape.bounds
    rows = slice(max(int(top) - 2, 0), max(int(bottom) + 3, 0))
    return rows, slice(max(int(left) - 2, 0), max(int(right) + 3, 0))


def _is_clipped(shape: Shape, height: int, width: int, source: str) -> bool:
    """Return whether a shape reaches beyond the picture by more than a pixel.

    Raises:
        DataError: It is wholly outside.
    """
    if shape.bounds is None:
        return False
    left, top, right, bottom = shape.bounds
    if right < 0 or bottom < 0 or left > width or top > height:
        raise DataError(
            f"{shape.where} ({shown(shape.label)}) is wholly outside its picture of "
            f"{height}x{width} (height x width): it reaches from x {left:.6g} to {right:.6g} and y "
            f"{top:.6g} to {bottom:.6g}",
            "correct or remove it in the tool, or pair the right picture",
        )
    return left < -1 or top < -1 or right > width + 1 or bottom > height + 1


def write_mask(indices: UInt8Array, classes: Classes, path: Path) -> None:
    """Write a mask as a palette PNG of the class list's values.

    Args:
        indices: Mask from `draw`.
        classes: The classes.
        path: Place of the file.
    """
    table = np.zeros(256, np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    for value, index in sorted(classes.space.values.items(), reverse=True):
        table[index] = value
        palette[value] = classes.space.colors[index]
    background = classes.background
    if background is not None:
        table[_UNDRAWN] = table[background]
    if (indices == IGNORE_INDEX).any() or (background is None and (indices == _UNDRAWN).any()):
        table[IGNORE_INDEX] = classes.ignored_value
        if background is None:
            table[_UNDRAWN] = classes.ignored_value
    image = Image.fromarray(np.asarray(cv2.LUT(indices, table), np.uint8))
    image.putpalette(palette.tobytes())
    image.save(path, "PNG")
