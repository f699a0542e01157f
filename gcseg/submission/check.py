"""Check masks as a test server would, before it does."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from gcseg.data.convert.pictures import picture_size
from gcseg.data.datasets import Pair
from gcseg.data.parallel import Progress
from gcseg.errors import DataError
from gcseg.submission.archive import Member, kind_of, members
from gcseg.submission.servers import Competition, Server
from gcseg.system.text import counted, percent, printable, verb

Counts = np.ndarray[tuple[int], np.dtype[np.int64]]
"""Numbers of pixels by value, 256 of them."""

_MOST_FAULTS = 1000
_BIT_DEPTH = 24
"""Place of the bits per sample in a PNG."""
_EXTRA = 2**20
"""Number of bytes that a mask may have more than pixels."""
_TRAIN_IDS = 18


class Faults:
    """Faults of masks, for one message that names the first and counts the others."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, fault: str) -> None:
        """Add a fault."""
        self._found.append(fault)

    @property
    def is_full(self) -> bool:
        """Whether there are so many that the rest need not be looked at."""
        return len(self._found) >= _MOST_FAULTS

    def raise_any(self, remedy: str) -> None:
        """Raise an error if there are faults.

        Args:
            remedy: What to do.

        Raises:
            DataError: There are some.
        """
        if self._found:
            first, *others = self._found
            more = f"; and {counted(len(others), 'other fault')}" if others else ""
            raise DataError(f"{first}{more}", remedy)


def check_pictures(server: Server, pictures: Mapping[str, Pair], progress: Progress) -> None:
    """Check the sizes of the test split's pictures, before they are predicted.

    Raises:
        DataError: One has another size than all pictures of the dataset.
    """
    if server.size is None:
        return
    faults = Faults()
    for number, pair in enumerate(pictures.values(), 1):
        size = picture_size(pair.image)
        if size != server.size:
            faults.add(
                f"picture {pair.image} is {_sized(size)}; those of {server.name} are "
                f"{_sized(server.size)}"
            )
        progress(number, len(pictures))
    faults.raise_any(f"unpack {server.source} again, or try it with split=val")


def check_files(
    server: Server, files: Mapping[str, Path], pictures: Mapping[str, Pair], progress: Progress
) -> None:
    """Check the masks that are to be packed.

    Args:
        server: The server.
        files: Masks by name of the picture.
        pictures: Pictures of the split by name.
        progress: Callback that is passed the numbers of masks done and of all.

    Raises:
        DataError: A mask is missing or wrong.
    """
    faults = Faults()
    for number, (name, pair) in enumerate(pictures.items(), 1):
        path = files[name]
        try:
            fault, _ = _fault(server, path.read_bytes(), pair)
        except OSError as error:
            fault = f"can't be read ({error.strerror})"
        if fault is not None:
            faults.add(f"mask {path} {fault}")
        progress(number, len(pictures))
    faults.raise_any("give the command again: it predicts those that were changed")


def check_archive(
    server: Server,
    path: Path,
    pictures: Mapping[str, Pair],
    split: str,
    competition: Competition | None,
    progress: Progress,
) -> list[str]:
    """Check an archive: its form, its names, and each mask in it.

    Args:
        server: The server.
        path: The archive.
        pictures: Pictures of the split by name.
        split: Split that they are of.
        competition: Competition of VOC that it has to be for; None for any.
        progress: Callback that is passed the numbers of masks done and of all.

    Returns:
        What is allowed and yet likely to be a mistake.

    Raises:
        DataError: Something is wrong.
    """
    kind = kind_of(path)
    if kind != server.suffix:
        found = {".zip": "a ZIP", ".tgz": "a tar with gzip", None: "no archive"}[kind]
        wanted = "a ZIP" if server.suffix == ".zip" else "a tar with gzip (.tgz or .tar.gz)"
        raise DataError(f"{path} is {found}", f"the server of {server.name} takes {wanted}")
    faults, seen = Faults(), set[str]()
    counts = np.zeros(256, np.int64)
    for member in members(path):
        name = server.picture_of(member.name, split, competition)
        if name is None or name not in pictures:
            faults.add(f"{path} holds {printable(member.name)}, which is no mask of a picture")
        elif name in seen:
            faults.add(f"{path} holds two masks of {printable(name)}")
        else:
            seen.add(name)
            fault, found_values = _fault_of(server, member, pictures[name])
            if fault is not None:
                faults.add(f"mask {printable(member.name)} {fault}")
            counts += found_values
            progress(len(seen), len(pictures))
        if faults.is_full:
            break
    missing = [name for name in pictures if name not in seen]
    if missing and not faults.is_full:
        are = verb(len(missing), "is", "are")
        faults.add(
            f"{path} lacks {len(missing):,} of {counted(len(pictures), 'mask')}: there {are} none "
            f"of {missing[0]}" + (" and others" if len(missing) > 1 else "")
        )
    faults.raise_any(f"the server takes one mask per picture, {server.wanted(split)}")
    return _doubts(server, counts)


def _doubts(server: Server, counts: Counts) -> list[str]:
    if server.name == "cityscapes" and not counts[_TRAIN_IDS + 1 :].any():
        return [
            "note: no mask has a value above 18, as if they held train ids; the server takes label "
            "ids (7 road, 26 car)"
        ]
    return []


def _fault_of(server: Server, member: Member, pair: Pair) -> tuple[str | None, Counts]:
    height, width = picture_size(pair.image)
    most = height * width + _EXTRA
    content = member.read(most + 1)
    if len(content) > most:
        return "is larger than its picture allows", np.zeros(256, np.int64)
    return _fault(server, content, pair)


def _fault(server: Server, content: bytes, pair: Pair) -> tuple[str | None, Counts]:
    """Return what is wrong with a mask, if anything, and the number of its pixels by value."""
    counts = np.zeros(256, np.int64)
    size = picture_size(pair.image)
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as mask:
            if (mask.height, mask.width) != size:
                found = _sized((mask.height, mask.width))
                return f"is {found}, and its picture {_sized(size)}", counts
            if (fault := _form_fault(server, mask, content)) is not None:
                return fault, counts
            counts = np.bincount(np.asarray(mask).ravel(), minlength=256)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return "is no PNG, or a damaged one", counts
    wrong = [value for value in np.flatnonzero(counts) if value not in server.values]
    if wrong:
        share = percent(counts[wrong].sum() / counts.sum())
        return (
            f"has value {wrong[0]} ({share} % of its pixels are outside "
            f"{server.values[0]} to {server.values[-1]})"
        ), counts
    return None, counts


def _form_fault(server: Server, mask: Image.Image, content: bytes) -> str | None:
    kinds = ("P",) if server.indexed else ("P", "L")
    if mask.mode not in kinds or content[_BIT_DEPTH] != 8:
        wanted = "an indexed PNG" if server.indexed else "a grey or indexed PNG"
        return f"has mode {mask.mode} of {content[_BIT_DEPTH]} bits, and has to be {wanted} of 8"
    return None


def _sized(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]} pixels"
