"""A split of a segmentation dataset: images and labels paired by name."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np

from gcseg.data.channels import Mask, is_array, read_picture
from gcseg.data.faults import FileError, raise_or_collect
from gcseg.data.images import RGB, Picture, PictureFormat
from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.reading import IMAGE_SUFFIXES, UInt8Array, read_image, read_label
from gcseg.data.walk import files_below
from gcseg.errors import DataError
from gcseg.system.files import sha256_of
from gcseg.system.text import counted, printable

_OF_FILE_BROWSERS = ("Thumbs.db", "ehthumbs.db", "desktop.ini")
_LISTED = 4  # files in a message


@dataclass(frozen=True)
class Pair:
    """One image and its label.

    Args:
        name: Name of the sample in messages and outputs; unique in its split.
        image: Path of the image file.
        label: Path of the label file; None in a split without labels.
        label_space: Meaning of the label's values.
        bands: Paths of further files with channels of the image, in their order.
    """

    name: str
    image: Path
    label: Path | None
    label_space: LabelSpace
    bands: tuple[Path, ...] = ()

    @property
    def files(self) -> list[Path]:
        """Return the paths of all its files."""
        label = [] if self.label is None else [self.label]
        return [self.image, *self.bands, *label]


Sample = tuple[Picture, "UInt8Array | None"]
"""An image, H x W x C as its dataset's `pictures` says, and its label, H x W uint8, or None."""


def read_pair(pair: Pair, pictures: PictureFormat = RGB) -> Sample:
    """Read an image and its label, in which pixels without data are ignored, from their files.

    Args:
        pair: The files.
        pictures: Form of the image.

    Raises:
        DataError: See `SegmentationDataset.read`.
    """
    image, missing = read_files(pair, pictures)
    if pair.label is None:
        return image, None
    label = read_label(pair.label, pair.label_space)
    if image.shape[:2] != label.shape:
        raise FileError(
            f"image {pair.image} is {_size(image)} but its label {pair.label} is "
            f"{_size(label)} (height x width)",
            "pair the right files; note that images are turned by their camera's rotation tag",
            kind="size mismatch",
            files=[pair.image, pair.label],
        )
    if missing is not None:
        label = np.where(missing, np.uint8(IGNORE_INDEX), label)
    return image, label


def read_files(pair: Pair, pictures: PictureFormat) -> tuple[Picture, Mask | None]:
    """Read the image of a pair, see `gcseg.data.channels.read_picture`.

    Raises:
        FileError: It can't be read.
    """
    if pictures.is_usual and not pair.bands and not is_array(pair.image):
        return read_image(pair.image), None
    return read_picture((pair.image, *pair.bands), pictures)


class SegmentationDataset:
    """The pairs of one split, read on demand.

    Args:
        pairs: The samples, in a fixed order.
        label_space: Names and colours of the classes.
        description: Location of the split, for messages.
        read: Function that reads a sample; None to read its files.
        labels_description: Location of the labels, for messages; `description` if None.
        pictures: Form of the images.

    Raises:
        DataError: There are no pairs.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        label_space: LabelSpace,
        description: str,
        read: Callable[[Pair], Sample] | None = None,
        labels_description: str | None = None,
        pictures: PictureFormat = RGB,
    ) -> None:
        if not pairs:
            raise DataError(
                f"no images in {description}", "check dataset.root and the split's name"
            )
        self.pairs = tuple(pairs)
        self.label_space = label_space
        self.description = description
        self.labels_description = labels_description or description
        self.pictures = pictures
        self._read = read

    def __len__(self) -> int:
        """Return the number of images in the split."""
        return len(self.pairs)

    def first(self, count: int) -> SegmentationDataset:
        """Return the first `count` samples as a dataset."""
        return self._with(self.pairs[:count], self._read)

    def part(self, indices: Sequence[int], description: str) -> SegmentationDataset:
        """Return some samples as a dataset.

        Args:
            indices: Indices of the samples.
            description: Description of the part, for messages.
        """
        pairs = [self.pairs[index] for index in indices]
        return SegmentationDataset(
            pairs,
            self.label_space,
            description,
            self._read,
            self.labels_description,
            self.pictures,
        )

    @property
    def has_labels(self) -> bool:
        """Return whether every image has a label."""
        return all(pair.label is not None for pair in self.pairs)

    def with_labels(self) -> SegmentationDataset:
        """Return this split if every image has a label.

        Raises:
            DataError: An image has no label.
        """
        if not self.has_labels:
            raise DataError(
                f"{self.description} has no labels",
                "train and evaluate on a labelled split; gcseg.predict needs none",
            )
        return self

    def read(self, index: int) -> Sample:
        """Read one sample.

        Returns:
            The image, H x W x C as `pictures` says, by default of uint8 RGB, and the label, H x W
            uint8 class indices with 255 ignored, or None in a split without labels.

        Raises:
            DataError: A file is unreadable, the two sizes differ, the image is of another form than
                `pictures`, or the label holds a value outside the label space.
        """
        pair, form = self.pairs[index], self.pictures
        image, label = read_pair(pair, form) if self._read is None else self._read(pair)
        if image.shape[2] != form.channels or image.dtype != form.dtype:
            raise DataError(
                f"the reader of {self.description} gives {image.shape[2]} channels of "
                f"{image.dtype} for {pair.name}, where {form} are {form.channels} of {form.dtype}",
                "set dataset.channels to what it gives, and dataset.scale where it gives floats of "
                "0 to 1",
            )
        return image, label

    def read_label(self, index: int) -> UInt8Array | None:
        """Read the label alone, without the image file where the two are separate files.

        Raises:
            DataError: See `read`, except faults of the image.
        """
        pair = self.pairs[index]
        if self._read is not None or self.pictures.nodata is not None:
            return self.read(index)[1]
        return None if pair.label is None else read_label(pair.label, pair.label_space)

    def reading_with(self, read: Callable[[Pair], Sample]) -> SegmentationDataset:
        """Return the same samples with another way to read them, such as from a cache."""
        return self._with(self.pairs, read)

    def in_form(self, pictures: PictureFormat) -> SegmentationDataset:
        """Return the same samples with images of another form."""
        return SegmentationDataset(
            self.pairs,
            self.label_space,
            self.description,
            self._read,
            self.labels_description,
            pictures,
        )

    def _with(
        self, pairs: Sequence[Pair], read: Callable[[Pair], Sample] | None
    ) -> SegmentationDataset:
        return SegmentationDataset(
            pairs,
            self.label_space,
            self.description,
            read,
            self.labels_description,
            self.pictures,
        )

    def checksum(self) -> str:
        """Return a SHA-256 digest, in hexadecimal, of the names and files of all samples."""
        digest = hashlib.sha256()
        with ThreadPoolExecutor() as pool:  # hashing lets other threads run
            for line in pool.map(_checksum_line, self.pairs):
                digest.update(line.encode())
        return digest.hexdigest()


def _checksum_line(pair: Pair) -> str:
    return " ".join([pair.name, *map(sha256_of, pair.files)]) + "\n"


def _size(array: Picture) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"


def files_by_stem(
    folder: Path,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
    ending: str = "",
    faults: list[DataError] | None = None,
) -> dict[str, Path]:
    """Return the files below a folder by relative path without suffix and ending, sorted.

    Args:
        folder: Folder that is searched with all its subfolders.
        suffixes: File suffixes that count, in lower case.
        ending: End of the stem, such as `_leftImg8bit`; cut off in the result.
        faults: Collects second files of one name, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        DataError: The folder is missing, two files differ in their suffix only, or the name of one
            is not UTF-8.
    """
    if not folder.is_dir():
        raise DataError(f"folder {folder} does not exist", "check dataset.root and its layout")
    found: dict[str, Path] = {}
    for relative in files_below_or_fault(folder):
        path = folder / relative
        if path.suffix.lower() not in suffixes or not path.stem.endswith(ending):
            continue
        if not is_text(relative):
            raise_or_collect(not_text(path), faults)
            continue
        # Accented letters have two encodings that look alike.
        stem = normalize("NFC", relative.with_name(relative.stem.removesuffix(ending)).as_posix())
        if stem in found:
            error = FileError(
                f"{found[stem]} and {path} have the same name",
                "keep one of the two files",
                kind="same name",
                files=[found[stem], path],
            )
            raise_or_collect(error, faults)
            continue
        found[stem] = path
    return found


def files_below_or_fault(folder: Path) -> list[Path]:
    """Call `files_below` and report its errors as `DataError`.

    Raises:
        DataError: A folder can't be read.
    """
    try:
        return files_below(folder)
    except OSError as error:
        raise DataError(
            f"folder {error.filename} can't be read ({error.strerror})", "check its permissions"
        ) from None


def not_text(path: Path) -> FileError:
    """Return the error for a path that is not valid text."""
    return FileError(
        f"the name of {os.fsencode(path)!r} is not UTF-8",
        "rename it, with its partner",
        files=[path],
    )


def is_text(path: Path) -> bool:
    """Return whether a path is valid text; OpenCV crashes on others."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def pair_by_name(
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
    label_space: LabelSpace,
    faults: list[DataError] | None = None,
) -> list[Pair]:
    """Pair images and labels that have the same name.

    Args:
        images: Image files by name.
        labels: Label files by name.
        label_space: Meaning of the labels' values.
        faults: Collects files without a partner, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        DataError: An image has no label, or a label has no image.
    """
    for these, others, kind, partner in (
        (images, labels, "image", "label"),
        (labels, images, "label", "image"),
    ):
        alone = sorted(set(these) - set(others))
        more = f" (and {len(alone) - 1} more)" if len(alone) > 1 and faults is None else ""
        for name in alone:
            error = FileError(
                f"{kind} {these[name]} has no {partner} of the same name{more}",
                f"add the {partner} or remove the {kind}",
                kind=f"missing {partner}",
                files=[these[name]],
            )
            raise_or_collect(error, faults)
    both = sorted(set(images) & set(labels))
    return [Pair(name, images[name], labels[name], label_space) for name in both]


def images_as_dataset(
    path: Path,
    label_space: LabelSpace,
    *,
    written: Sequence[Path] = (),
    faults: list[DataError] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> SegmentationDataset:
    """Make a split without labels of one picture, or of all pictures below a folder.

    Names are relative paths without suffix; pictures that would share a name keep the suffix.

    Args:
        path: The file, with any suffix, or the folder.
        label_space: Classes of the predictions.
        written: Folders of outputs, whose files are not inputs.
        faults: Collects files whose names can't be read, see `gcseg.data.faults.raise_or_collect`.
        say: Callback that is passed a line on skipped files, and one on names with suffixes.

    Raises:
        DataError: There are no pictures, or a name can't be read.
    """
    remedy = "give images= a picture or a folder of pictures"
    if not path.exists():
        raise DataError(f"{path} does not exist", remedy)
    if not path.is_file() and not path.is_dir():
        raise DataError(f"{path} is neither a regular file nor a folder", remedy)
    if path.is_file():
        return SegmentationDataset(
            [Pair(path.stem, path, None, label_space)], label_space, str(path)
        )
    found = files_in(path, written=written, say=say)
    pairs = named_pairs(path, found.pictures, label_space, faults=faults, say=say)
    if not pairs:
        raise DataError(
            f"no pictures in {path}{found.kinds}",
            f"give images= a picture, or a folder of {', '.join(IMAGE_SUFFIXES)}",
        )
    return SegmentationDataset(pairs, label_space, str(path))


def named_pairs(
    folder: Path,
    pictures: Sequence[Path],
    label_space: LabelSpace,
    *,
    faults: list[DataError] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Pair]:
    """Name pictures by their path without suffix, or with it where two would share a name.

    Args:
        folder: Folder of the pictures.
        pictures: Paths relative to the folder.
        label_space: Classes of the predictions.
        faults: Collects files whose names can't be read, see `gcseg.data.faults.raise_or_collect`.
        say: Callback that is passed a line on names with suffixes.

    Raises:
        DataError: A name can't be read.
    """
    for file in pictures:
        if not is_text(file):
            raise_or_collect(not_text(folder / file), faults)
    names = unique_names(list(filter(is_text, pictures)))
    if whole := [file.name for file, name in names.items() if file.name == Path(name).name]:
        say(
            f"{_listed(whole)} differ from each other only in their suffix: their output files "
            "keep the suffix in the name"
        )
    return [Pair(name, folder / file, None, label_space) for file, name in names.items()]


@dataclass(frozen=True)
class FolderFiles:
    """Files below a folder that are read, by relative path.

    Args:
        pictures: The pictures, or arrays if there are none.
        others: Files of the suffixes that were asked for besides.
        kinds: All files in words and in brackets, with a space before; empty if there are none.
    """

    pictures: list[Path]
    others: list[Path]
    kinds: str


def files_in(
    folder: Path,
    *,
    written: Sequence[Path] = (),
    others: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> FolderFiles:
    """List the pictures below a folder, and say which files are left out.

    Args:
        folder: The folder.
        written: Folders of outputs, whose files are not inputs.
        others: Suffixes of files that are listed besides pictures.
        say: Callback that is passed a line on skipped files.

    Raises:
        DataError: The folder can't be read.
    """
    files = files_below_or_fault(folder)
    outputs = set(_lying_in(written, folder, files))
    if outputs:
        folders = " and ".join(map(str, written))
        say(f"skipped, because outputs are written to {folders}: {kinds_of(outputs)}")
    files = [file for file in files if file not in outputs]
    pictures = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    pictures = pictures or [file for file in files if is_array(file)]
    listed = [file for file in files if file.suffix.lower() in others]
    taken = {*pictures, *listed}
    left = [file for file in files if file not in taken and file.name not in _OF_FILE_BROWSERS]
    if left:
        say(f"skipped, because they are not read as images: {kinds_of(left)}")
    return FolderFiles(pictures, listed, f" ({kinds_of(files)})" if files else "")


def _lying_in(folders: Sequence[Path], root: Path, files: Iterable[Path]) -> Iterator[Path]:
    """Yield the files below a root that lie in one of the folders, with links resolved."""
    real = functools.cache(os.path.realpath)
    wanted = [Path(real(folder)) for folder in folders]
    for file in files:
        place = Path(real((root / file).parent))
        if any(place.is_relative_to(folder) for folder in wanted):
            yield file


def unique_names(files: Sequence[Path]) -> dict[Path, str]:
    """Return a name for each file: its path without suffix, or with it where two would be equal."""
    names = {file: file.with_suffix("").as_posix() for file in files}
    while alike := {name for name, count in Counter(names.values()).items() if count > 1}:
        for file in files:
            if names[file] in alike:  # names with a suffix are unique
                names[file] = file.as_posix()
    return names


def kinds_of(files: Collection[Path]) -> str:
    """Return the number of files and those of each suffix: 3 files (.txt 2, .xml 1)."""
    counts = Counter(file.suffix.lower() or "without a suffix" for file in files)
    listed = ", ".join(f"{printable(kind)} {count}" for kind, count in sorted(counts.items()))
    return f"{counted(len(files), 'file')} ({listed})"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(printable, names[:_LISTED])) + more
