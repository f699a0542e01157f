"""Find, download and unpack the archives of a dataset, and count the resulting images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from gcseg.data.datasets import SegmentationDataset
from gcseg.data.prepare.archives import ELSEWHERE, Entry, ProgressBar, opened, silent, unpack
from gcseg.data.prepare.layout import Layout, at_one_place, check_pairs, split_of
from gcseg.errors import ConfigError, DataError, OutputError
from gcseg.system.download import download as fetch
from gcseg.system.files import locked

Say = Callable[[str], None]
"""Takes a line for the user."""

Read = Callable[[Path, str], SegmentationDataset]
"""A dataset's reader, called with the dataset's folder and a split."""


class Preparation(Protocol):
    """Brings one dataset into the form that its reader reads; existing files are left alone.

    Args:
        root: The dataset's folder; made if it is missing.
        sources: Archives or folders that hold the dataset, or folders that hold its archives.
            Archives under their official names in the root count as given.
        download: Whether missing files are downloaded, where their terms allow that.
        expected: Published number of images by split; None for a tree of another size.
        progress: Shows the progress of each step.
        say: Callback that is passed terms of use and notes.

    Returns:
        The number of images by split, as counted by the dataset's reader.

    Raises:
        ConfigError: A source does not exist.
        DataError: Something is missing or damaged, or its number is unexpected.
        DownloadError: A file can't be downloaded, or has a wrong checksum.
        OutputError: The disk is too small or can't be written.
    """

    def __call__(
        self,
        root: Path,
        *,
        sources: Sequence[Path] = (),
        download: bool = True,
        expected: Mapping[str, int] | None = ...,
        progress: ProgressBar = silent,
        say: Say = print,
    ) -> dict[str, int]:
        """Prepare the dataset."""


@dataclass(frozen=True)
class Archive:
    """A file on the web.

    Args:
        name: File name in the dataset's folder.
        url: Address of the file.
        checksum: Checksum in the form for `gcseg.system.download.download`.
        terms: Terms of use, shown before the download.
    """

    name: str
    url: str
    checksum: str
    terms: str

    def fetch(self, folder: Path, reason: str, *, allowed: bool, say: Say) -> Path:
        """Download the archive into a folder.

        Args:
            folder: Folder that receives the file.
            reason: Reason for the download, for messages.
            allowed: Whether it may be downloaded.
            say: Callback that is passed its terms.

        Returns:
            Path of the file.

        Raises:
            DataError: The archive may not be downloaded.
            DownloadError: The archive can't be downloaded or has another checksum.
            OutputError: The file can't be written.
        """
        path = folder / self.name
        if not allowed:
            raise DataError(
                f"{reason}, and {path} does not exist",
                f"download it from {self.url}, give a copy of its content with source=, or set "
                "download=true",
            )
        say(f"{self.name}: {self.terms}")
        fetch(self.url, path, checksum=self.checksum)
        return path


@contextmanager
def alone_in(root: Path) -> Iterator[None]:
    """Make a dataset's folder and lock it against other preparations.

    Raises:
        OutputError: The folder can't be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{root} can't be made ({error.strerror})", ELSEWHERE) from error
    with locked(root / "any"):
        yield


def given(root: Path, sources: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """Return the archives and folders to look through.

    Args:
        root: The dataset's folder, in which archives count if they have one of the names.
        sources: Paths given by the user. From a folder that holds such archives, these are taken.
        names: Names of the archives, and of folders unpacked from them.

    Raises:
        ConfigError: A source is a device or a pipe.
    """
    result: list[Path] = []
    for source in sources:
        if source.exists() and not (source.is_dir() or source.is_file()):
            raise ConfigError(f"{source} is not a regular file", "give an archive or a folder")
        archives = [source / name for name in names if (source / name).is_file()]
        result += archives or [source]
    result += [root / name for name in names if (root / name).exists()]
    return list({path.resolve(): path for path in result}.values())


def unpack_given(
    root: Path,
    paths: Sequence[Path],
    target: Path,
    layouts: Sequence[Layout],
    read: Read,
    splits: Sequence[str],
    progress: ProgressBar,
    say: Say,
) -> None:
    """Unpack a dataset's files from archives and folders into one folder.

    Splits that the dataset's reader finds complete get no file. From each source, files are taken
    from one place only, and nothing is written before all of it is known to fit together.

    Args:
        root: The dataset's folder.
        paths: Archives and folders, from `given`.
        target: Folder that receives the files, the root or below it.
        layouts: Layouts; each source has one or more of them.
        read: The dataset's reader.
        splits: Splits that the reader knows.
        progress: Shows the number of files.
        say: Callback that is passed a line on each source that was not needed.

    Raises:
        ConfigError: A source does not exist.
        DataError: An archive is damaged, holds the dataset nowhere or in several places, or
            images and labels do not fit together.
        OutputError: The disk is too small or can't be written.
    """
    done = [split for split in splits if is_complete(read, root, split)]
    if len(done) == len(splits):
        note_not_needed(root, paths, say)
        return
    with ExitStack() as stack:
        wanted = []
        for path in paths:
            found = found_in(path, stack.enter_context(opened(path)), layouts, target)
            if not found:
                names = " or ".join(layout.name for layout in layouts)
                folders = " or ".join(" and ".join(layout.folders) for layout in layouts)
                raise DataError(
                    f"{path} holds no {names}, as no folder in it holds {folders}",
                    "give the archive as it is published, or the folder unpacked from it",
                )
            missing = [entry for entry in found if split_of(entry.path, layouts) not in done]
            if len(missing) < len(found):
                say(
                    f"note: {root} is already complete for {' and '.join(done)}, which was "
                    f"not taken from {path}"
                )
            wanted.append(missing)
        check_pairs(target, [entry for some in wanted for entry in some], layouts, done)
        for entries in wanted:
            unpack(entries, target, partial(_place, layouts), progress)


def found_in(
    source: Path, entries: Sequence[Entry], layouts: Sequence[Layout], target: Path
) -> list[Entry]:
    """Return the files of a source that have one of some layouts; errors as in `at_one_place`."""
    return [entry for layout in layouts for entry in at_one_place(source, entries, layout, target)]


def is_complete(read: Read, root: Path, split: str) -> bool:
    """Return whether a dataset's reader finds a split, with a label for each image."""
    try:
        read(root, split)
    except (ConfigError, DataError):
        return False
    return True


def note_not_needed(root: Path, paths: Sequence[Path], say: Say) -> None:
    """Report that a dataset is complete without the given archives and folders."""
    for path in paths:
        if not path.resolve().is_relative_to(root.resolve()):  # others may not have been given
            say(f"note: {root} is complete, {path} was not needed")


def _place(layouts: Sequence[Layout], path: PurePosixPath) -> PurePosixPath | None:
    ends = (layout.place(path) for layout in layouts)
    return next((end for end in ends if end is not None), None)


def count(
    read: Read,
    root: Path,
    splits: Sequence[str],
    expected: Mapping[str, int] | None,
    say: Say,
) -> dict[str, int]:
    """Read each split, and report where its number of images is not the published one.

    Raises:
        DataError: A file is missing.
    """
    counts = {split: len(read(root, split)) for split in splits}
    for split, number in (expected or {}).items():
        if counts.get(split, 0) != number:
            say(f"note: {split} has {counts.get(split, 0):,} images, {number:,} are published")
    return counts
