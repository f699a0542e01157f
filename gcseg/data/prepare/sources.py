"""Where the archives of a dataset come from, and what is there in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gcseg.data.datasets import SegmentationDataset
from gcseg.data.prepare.archives import ELSEWHERE, Place, ProgressBar, opened, silent, unpack
from gcseg.download import download as fetch
from gcseg.errors import DataError, OutputError
from gcseg.files import locked

Say = Callable[[str], None]
"""Takes a line for the user."""


class Preparation(Protocol):
    """Brings one dataset into the form that its reader reads, and leaves alone what is there.

    Args:
        root: The dataset's folder; made if need be.
        sources: Archives or folders that hold it, or folders in which its archives lie. Archives
            under their official names in the root count as given.
        download: Whether what is missing is fetched, where its terms allow that.
        expected: Images by split as published; None for a tree of another size.
        progress: Shows how far each step is.
        say: Takes terms of use and notes.

    Returns:
        The number of images by split, as the dataset's reader finds them.

    Raises:
        ConfigError: A source does not exist.
        DataError: Something is missing, damaged or of an unexpected number.
        DownloadError: A file can't be fetched, or has a wrong checksum.
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
        name: Under which it is kept in the dataset's folder.
        url: From where it comes.
        checksum: As `gcseg.download.download` takes it.
        terms: What is said before it is fetched.
    """

    name: str
    url: str
    checksum: str
    terms: str

    def fetch(self, folder: Path, reason: str, *, allowed: bool, say: Say) -> Path:
        """Fetch it into a folder.

        Args:
            folder: Where it is kept.
            reason: Why it is needed, for messages.
            allowed: Whether it may be fetched.
            say: Takes its terms.

        Returns:
            Where it is.

        Raises:
            DataError: It may not be fetched.
            DownloadError: It can't be fetched or has another checksum.
            OutputError: It can't be written.
        """
        path = folder / self.name
        if not allowed:
            raise DataError(
                f"{reason}, and {path} does not exist",
                f"fetch it from {self.url}, give what holds the same with source=, or set "
                "download=true",
            )
        say(f"{self.name}: {self.terms}")
        fetch(self.url, path, checksum=self.checksum)
        return path


@contextmanager
def alone_in(root: Path) -> Iterator[None]:
    """Make a dataset's folder, and keep other preparations out of it.

    Raises:
        OutputError: It can't be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{root} can't be made ({error.strerror})", ELSEWHERE) from error
    with locked(root / "any"):
        yield


def given(root: Path, sources: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """The archives and folders to look through.

    Args:
        root: The dataset's folder, in which archives count if they have one of the names.
        sources: What the user gave. Of a folder in which such archives lie these are taken.
        names: What the archives, and folders unpacked from them, are called.
    """
    result: list[Path] = []
    for source in sources:
        archives = [source / name for name in names if (source / name).is_file()]
        result += archives or [source]
    result += [root / name for name in names if (root / name).exists()]
    return list({path.resolve(): path for path in result}.values())


def unpack_given(
    root: Path,
    sources: Sequence[Path],
    names: Sequence[str],
    target: Path,
    place: Place,
    progress: ProgressBar,
) -> None:
    """Unpack into a folder what `given` finds.

    Raises:
        DataError: An archive is damaged, or holds nothing that is wanted.
        OutputError: The disk is too small or can't be written.
    """
    for source in given(root, sources, names):
        with opened(source) as entries:
            if not unpack(entries, target, place, progress):
                raise DataError(
                    f"{source} holds no file of this dataset", f"give {' and '.join(names)}"
                )


def count(
    read: Callable[[Path, str], SegmentationDataset],
    root: Path,
    splits: Sequence[str],
    expected: Mapping[str, int] | None,
    say: Say,
) -> dict[str, int]:
    """Read each split, and say where its number of images is not the published one.

    Raises:
        DataError: A file is missing.
    """
    counts = {split: len(read(root, split)) for split in splits}
    for split, number in (expected or {}).items():
        if counts.get(split, 0) != number:
            say(f"note: {split} has {counts.get(split, 0):,} images, as published {number:,}")
    return counts
