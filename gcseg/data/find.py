"""Find the pictures and masks of a layout."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from gcseg.data.channels import ARRAY_SUFFIX
from gcseg.data.datasets import files_by_stem, is_text, kinds_of, not_text, unique_names
from gcseg.data.faults import FileError, raise_or_collect
from gcseg.data.layouts import LIST_SUFFIXES, Layout
from gcseg.data.listing import read_list, read_stems
from gcseg.data.patterns import fixed_part, has_wildcard, matched_path
from gcseg.data.reading import IMAGE_SUFFIXES, LABEL_SUFFIXES
from gcseg.data.walk import files_below
from gcseg.errors import ConfigError, DataError
from gcseg.system.text import shown


@dataclass(frozen=True)
class Found:
    """The files of a split.

    Args:
        images: Pictures by name.
        labels: Masks by name; None in a split without masks.
        images_at: Location of the pictures, for messages.
        labels_at: Location of the masks, for messages.
    """

    images: Mapping[str, Path]
    labels: Mapping[str, Path] | None
    images_at: str
    labels_at: str


def find_files(
    root: Path,
    layout: Layout,
    *,
    outside: bool = False,
    bands: Mapping[str, Sequence[Path]] | None = None,
    faults: list[DataError] | None = None,
) -> Found:
    """Find the pictures and masks of a split.

    Args:
        root: Folder of the dataset.
        layout: Layout of the split, with its name filled in.
        outside: Whether lists may name files outside the root.
        bands: Files of the pictures by name, where each has several; None where each has one.
        faults: Collects faults of single files, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        ConfigError: A pattern is wrong.
        DataError: A folder or list is missing or empty, or two files share a name.
    """
    _check(layout)
    images_at, labels_at = str(root / layout.images), str(root / layout.labels)
    if bands is None and layout.is_listed:
        lines = read_list(root / layout.images, root, outside=outside, faults=faults)
        names = _names([line.image for line in lines], root)
        images = dict(zip(names, (line.image for line in lines), strict=True))
        labels = {name: line.label for name, line in zip(names, lines, strict=True) if line.label}
        if labels:
            return Found(images, labels, images_at, images_at)
        labels_found = _labels_of(root, layout, images, faults, listed=True)
    else:
        if bands is None:
            images = _pictures(root, layout.images, faults)
        else:
            images, images_at = {name: files[0] for name, files in bands.items()}, str(root)
        if not images and has_wildcard(layout.images):
            raise DataError(
                f"no pictures match {images_at}", "check dataset.root and dataset.reader.images"
            )
        if layout.split_list is not None:
            images = _selected(root, root / layout.split_list, images, faults)
            images_at = str(root / layout.split_list)
        labels_found = _labels_of(
            root, layout, images, faults, listed=layout.split_list is not None
        )
        if _is_same_place(root, layout):
            images = _without_masks(images, labels_found, layout.label_ending)
    if labels_found is None:
        return Found(images, None, images_at, labels_at)
    return Found(images, labels_found, images_at, labels_at)


def _pictures(root: Path, place: str, faults: list[DataError] | None) -> dict[str, Path]:
    """Return the pictures of a folder or a pattern; NumPy's arrays if there are no others."""
    found = _files(root, place, IMAGE_SUFFIXES, "", faults)
    return found or _files(root, place, (ARRAY_SUFFIX,), "", faults)


def _check(layout: Layout) -> None:
    """Check the patterns of a layout.

    Raises:
        ConfigError: One has `**` twice, or within a name.
    """
    for pattern in (layout.images, layout.labels):
        parts = pattern.split("/")
        if parts.count("**") > 1 or any("**" in part and part != "**" for part in parts):
            raise ConfigError(
                f"the pattern {shown(pattern)} has ** twice, or within a name",
                "write ** once, between slashes, for any number of folders",
            )
    if layout.labels.lower().endswith(LIST_SUFFIXES):
        raise ConfigError(
            f"dataset.reader.labels={shown(layout.labels)} is a list",
            "give one list of pictures and masks as dataset.reader.images",
        )


def _is_same_place(root: Path, layout: Layout) -> bool:
    """Return whether pictures and masks are found in the same folder or by the same pattern."""
    if layout.images == layout.labels or not _exists(root, layout.labels):
        return True
    return has_wildcard(layout.images) or has_wildcard(layout.labels)


def _exists(root: Path, place: str) -> bool:
    return has_wildcard(place) or os.path.isdir(root / place)  # noqa: PTH112  # any length


def _files(
    root: Path,
    place: str,
    suffixes: Sequence[str],
    ending: str,
    faults: list[DataError] | None,
) -> dict[str, Path]:
    """Return the files of a folder or a pattern by name, without suffix and ending, sorted.

    The name of a file that a pattern finds is the text that its wildcards stand for.

    Raises:
        DataError: The folder is missing or can't be read, or two files share a name.
    """
    if not has_wildcard(place):
        return files_by_stem(root / place, suffixes, ending, faults)
    folder, pattern = fixed_part(place)
    base = root / folder
    if not base.is_dir():
        raise DataError(f"folder {base} does not exist", "check dataset.root and its layout")
    try:
        below = files_below(base)
    except OSError as error:
        raise DataError(
            f"folder {error.filename} can't be read ({error.strerror})", "check who may read it"
        ) from None
    found: dict[str, Path] = {}
    for relative in below:
        texts = matched_path(pattern, relative.as_posix())
        suffix = relative.suffix
        if texts is None or suffix.lower() not in suffixes:
            continue
        if not is_text(relative):
            raise_or_collect(not_text(base / relative), faults)
            continue
        if texts and texts[-1].endswith(suffix):  # img/* finds a.jpg
            texts[-1] = texts[-1].removesuffix(suffix)
        name = normalize("NFC", "/".join(texts))
        if not name.endswith(ending):
            continue
        name = name.removesuffix(ending)
        if name in found:
            error_of_name = FileError(
                f"{found[name]} and {base / relative} have the same name, {shown(name)}, in the "
                f"pattern {shown(place)}",
                "keep one of the two files, or write a pattern that tells them apart",
                kind="same name",
                files=[found[name], base / relative],
            )
            raise_or_collect(error_of_name, faults)
            continue
        found[name] = base / relative
    return found


def _labels_of(
    root: Path,
    layout: Layout,
    images: Mapping[str, Path],
    faults: list[DataError] | None,
    *,
    listed: bool,
) -> dict[str, Path] | None:
    """Return the masks by name; None if the split has none.

    Args:
        root: Folder of the dataset.
        layout: Layout of the split.
        images: Pictures by name.
        faults: Collects faults of single files.
        listed: Whether a list chooses the pictures, so that masks of others do not count.

    Raises:
        DataError: The folder of the masks can't be read, or holds no masks.
    """
    if not _exists(root, layout.labels):
        if not layout.label_ending:
            return None
        if layout.is_listed or has_wildcard(layout.images):
            return _beside(images, layout.label_ending)
        place = layout.images
    else:
        place = layout.labels
    masks = _files(root, place, LABEL_SUFFIXES, layout.label_ending, faults)
    if images and not masks and not has_wildcard(place):
        others = files_below(root / place)
        if others:
            ending = f"named ...{layout.label_ending}" if layout.label_ending else ""
            raise DataError(
                f"no masks {ending + ' ' if ending else ''}in {root / place}: {kinds_of(others)}",
                f"store masks as {', '.join(LABEL_SUFFIXES)}",
            )
    return _for_images(masks, images, root) if listed else masks


def _beside(images: Mapping[str, Path], ending: str) -> dict[str, Path]:
    """Return the masks that lie next to their pictures."""
    found = {}
    for name, image in images.items():
        for suffix in LABEL_SUFFIXES:
            path = image.with_name(f"{image.stem}{ending}{suffix}")
            if os.path.isfile(path):  # noqa: PTH113  # takes names of any length
                found[name] = path
                break
    return found


def _for_images(
    masks: Mapping[str, Path], images: Mapping[str, Path], root: Path
) -> dict[str, Path]:
    """Return the masks of listed pictures, whose names may have folders before the masks' names.

    Raises:
        DataError: Two pictures have the same mask.
    """
    found: dict[str, Path] = {}
    taken: dict[Path, str] = {}
    for name in images:
        parts = name.split("/")
        tails = ("/".join(parts[at:]) for at in range(len(parts)))
        path = next((masks[tail] for tail in tails if tail in masks), None)
        if path is None:
            continue
        if path in taken:
            raise DataError(
                f"pictures {shown(taken[path])} and {shown(name)} have the same mask {path}",
                "list pictures with their masks in two columns",
            )
        found[name], taken[path] = path, name
    return found


def _without_masks(
    images: Mapping[str, Path], labels: Mapping[str, Path] | None, ending: str
) -> dict[str, Path]:
    """Leave out the files that are masks, found in the place of the pictures."""
    masks = set((labels or {}).values())
    return {
        name: path
        for name, path in images.items()
        if path not in masks and not (ending and path.stem.endswith(ending))
    }


def _names(files: Sequence[Path], root: Path) -> list[str]:
    """Return a name for each listed picture: its path below the root without suffix."""
    top = Path(os.path.abspath(root))  # noqa: PTH100  # follows no link
    whole = [Path(os.path.abspath(file)) for file in files]  # noqa: PTH100
    others = [file.parent for file in whole if not file.is_relative_to(top)]
    if others:
        top = Path(os.path.commonpath([*others, *(file.parent for file in whole)]))
    relative = [file.relative_to(top) for file in whole]
    names = unique_names(relative)
    return [normalize("NFC", names[file]) for file in relative]


def _selected(
    root: Path, listing: Path, images: Mapping[str, Path], faults: list[DataError] | None
) -> dict[str, Path]:
    """Return the pictures that a list names: by name, with suffix, or by path below the root.

    Raises:
        DataError: The list can't be read, is empty, or names a picture twice or one that is not
            there.
    """
    by_path = {os.path.relpath(path, root): name for name, path in images.items()}
    by_file = {path.name: name for name, path in images.items()}
    chosen: dict[str, int] = {}
    for number, text in read_stems(listing):
        text = normalize("NFC", text)
        options = (text, os.path.splitext(text)[0])  # noqa: PTH122  # takes any text
        known = [name for name in options if name in images]
        known += [names[text] for names in (by_path, by_file) if text in names]
        if not known:
            cause = f"line {number} of {listing} names {shown(text)}, and there is no such picture"
            remedy = "add the picture or take the name off the list"
            error = FileError(cause, remedy, kind="missing image", files=[listing])
            raise_or_collect(error, faults)
        elif known[0] in chosen:
            cause = f"{listing} lists {shown(text)} twice, in lines {chosen[known[0]]} and {number}"
            error = FileError(cause, "take one of them off the list", files=[listing])
            raise_or_collect(error, faults)
        else:
            chosen[known[0]] = number
    if not chosen and not faults:
        raise DataError(f"list {listing} names no pictures", "write one in each line")
    return {name: images[name] for name in sorted(chosen)}
