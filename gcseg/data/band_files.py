"""Pictures whose bands are several files, found by patterns of their paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

from gcseg.data.datasets import Pair, files_below_or_fault, is_text
from gcseg.data.faults import FileError, raise_or_collect
from gcseg.errors import ConfigError, DataError

NAME = "{name}"
"""Part of a pattern that stands for a sample's name, which may contain folders."""


def find_bands(
    root: Path, split: str, patterns: Sequence[str], faults: list[DataError] | None = None
) -> dict[str, tuple[Path, ...]]:
    """Find the files of all bands of a split.

    Args:
        root: Folder of the dataset.
        split: Name that replaces `{split}` in the patterns.
        patterns: Paths relative to the root, one for each band, such as `{split}/{name}_B02.tif`.
        faults: Collects pictures without a band, see `gcseg.data.faults.raise_or_collect`.

    Returns:
        The files in the patterns' order, by the samples' names, sorted.

    Raises:
        ConfigError: A pattern does not contain `{name}` exactly once, or leaves the root.
        DataError: A folder is missing, or a picture lacks a band.
    """
    found = [_matching(root, split, pattern) for pattern in patterns]
    names = sorted(set().union(*found))
    whole = {}
    for name in names:
        lacking = [number for number, files in enumerate(found) if name not in files]
        if lacking:
            has = next(files[name] for files in found if name in files)
            wanted = patterns[lacking[0]].replace("{split}", split).replace(NAME, name)
            error = FileError(
                f"image {has} has no band {root / wanted}",
                "add the file, or remove the picture's other bands",
                kind="missing band",
                files=[has],
            )
            raise_or_collect(error, faults)
        else:
            whole[name] = tuple(files[name] for files in found)
    return whole


def with_bands(pairs: Sequence[Pair], bands: Mapping[str, tuple[Path, ...]]) -> list[Pair]:
    """Add the further bands of the pictures to pairs of their first band."""
    return [replace(pair, bands=bands[pair.name][1:]) for pair in pairs]


def _matching(root: Path, split: str, pattern: str) -> dict[str, Path]:
    """Return the files that a pattern matches, by name."""
    before, name, after = pattern.replace("{split}", split).partition(NAME)
    if not name or NAME in after or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise ConfigError(
            f"dataset.reader.bands has {pattern}",
            f"give paths below dataset.root with {NAME} once, such as B02/{{split}}/{NAME}.tif",
        )
    place, _, start = before.rpartition("/")
    folder = root / place
    if not folder.is_dir():
        raise DataError(f"folder {folder} does not exist", "check dataset.reader.bands")
    found = {}
    for relative in files_below_or_fault(folder):
        text = relative.as_posix()
        if text.startswith(start) and text.endswith(after) and is_text(relative):
            # Accented letters have two encodings that look alike.
            found[normalize("NFC", text[len(start) : len(text) - len(after)])] = folder / relative
    found.pop("", None)
    if not found:
        raise DataError(
            f"no files match {root / pattern.replace('{split}', split)}",
            "check dataset.root and dataset.reader.bands",
        )
    return found
