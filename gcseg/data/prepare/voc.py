"""PASCAL VOC 2012 with the augmented training set: VOC's own masks and those of SBD."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from gcseg.data.datasets import SegmentationDataset
from gcseg.data.label_spaces import IGNORE_INDEX, VOC
from gcseg.data.name_lists import read_names
from gcseg.data.parallel import in_parallel
from gcseg.data.prepare import sbd
from gcseg.data.prepare.archives import Entry, ProgressBar, opened, silent, unpack, whole
from gcseg.data.prepare.layout import Layout, Part, at_one_place, check_pairs
from gcseg.data.prepare.masks import Mask, write_masks
from gcseg.data.prepare.sources import (
    Archive,
    Say,
    alone_in,
    count,
    given,
    is_complete,
    note_not_needed,
)
from gcseg.data.reading import UInt8Array, read_label
from gcseg.data.voc import AUGMENTED, voc
from gcseg.errors import DataError

# Source: VOC 2012, "Database Statistics"; of trainaug, Chen et al., DeepLabv3, section 4.
IMAGES = {"train": 1464, "val": 1449, AUGMENTED: 10_582}

# Source of addresses and checksums: torchvision's datasets.VOCSegmentation and datasets.SBDataset.
DEVKIT = Archive(
    name="VOCtrainval_11-May-2012.tar",
    url="https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    checksum="md5:6cd6e144f989b92b3379bac3b3de84fd",
    terms="the use of its pictures must respect Flickr's terms, see "
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
)
SBD = Archive(
    name="benchmark.tgz",
    url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
    "semantic_contours/benchmark.tgz",
    checksum="md5:82b4d87ceb2ed10f6038a1cba92111cb",
    terms="labels of VOC's pictures, to which the same terms apply; to be cited as Hariharan et "
    "al., Semantic Contours from Inverse Detectors, ICCV 2011",
)
NAMES = (DEVKIT.name, SBD.name, "benchmark_RELEASE", f"{sbd.FOLDER}.zip", sbd.FOLDER)

SPLITS = ("train", "val")  # VOC's own
LISTS = PurePosixPath("ImageSets", "Segmentation")
WANTED = {
    PurePosixPath("JPEGImages"): ".jpg",
    PurePosixPath("SegmentationClass"): ".png",
    LISTS: ".txt",
}
PALETTE = VOC.palette
PALETTE[IGNORE_INDEX] = (224, 224, 192)  # as in VOC's own masks


@dataclass(frozen=True)
class _Devkit:
    """The devkit of VOC without SBD's masks.

    Args:
        folder: Path of VOC2012.
        train: Names in train.txt.
        val: Names in val.txt.
    """

    folder: Path
    train: Set[str]
    val: Set[str]

    @property
    def augmented(self) -> Path:
        """Return the folder of the augmented set's masks."""
        return self.folder / sbd.FOLDER

    def list_of(self, name: str) -> Path:
        """Return the file that lists a split."""
        return self.folder / LISTS / f"{name}.txt"


def prepare_voc(
    root: Path,
    *,
    sources: Sequence[Path] = (),
    download: bool = True,
    expected: Mapping[str, int] | None = IMAGES,
    progress: ProgressBar = silent,
    say: Say = print,
) -> dict[str, int]:
    """Unpack VOC 2012 and make SegmentationClassAug/, trainaug.txt and aug.txt from it and SBD.

    trainaug is VOC's train and all of SBD without VOC's val: 10,582 pictures. A picture of VOC's
    train gets VOC's own mask, with its ignored boundaries (255). The others, listed in aug.txt, get
    SBD's, which has none. PaddleSeg and mmsegmentation train on the same masks, as they read the
    former from SegmentationClass and the latter by aug.txt. Existing masks and lists are kept. Some
    copies of SegmentationClassAug hold SBD's masks for VOC's train too, which is reported.

    The masks come from SBD, or from an existing SegmentationClassAug, each as an archive or a
    folder. SBD is downloaded if neither is given. Downloaded archives stay in the root and can be
    removed there. See `Preparation` for the arguments.

    Raises:
        ConfigError: A source does not exist, or scipy is missing, which reads SBD.
        DataError: trainaug does not have the expected number of pictures, one of them is in val,
            or something is missing or damaged.
        DownloadError: A file can't be downloaded or has a wrong checksum.
        OutputError: The disk is too small or can't be written.
    """
    with ExitStack() as stack:
        stack.enter_context(alone_in(root))
        paths = given(root, sources, NAMES)
        folder = _folder(root)
        if all(is_complete(voc, root, split) for split in IMAGES):
            note_not_needed(root, paths, say)
            paths = []
        entries = _unpack_devkit(folder, paths, stack, progress)
        if not (folder / LISTS).is_dir():
            reason = f"there is no VOCdevkit/VOC2012 in {root}"
            path = DEVKIT.fetch(root, reason, allowed=download, say=say)
            unpack(stack.enter_context(opened(path)), folder, _place, progress)
        devkit = _Devkit(folder, *(frozenset(_names(voc(root, split))) for split in SPLITS))

        masks, names = sbd.masks_of(entries), _augmented(devkit, entries)
        if not masks and _is_incomplete(devkit, names, expected):
            if download:
                sbd.check_reader()
            reason = f"{AUGMENTED} is not complete in {folder}"
            path = SBD.fetch(root, reason, allowed=download, say=say)
            entries = stack.enter_context(opened(path))
            masks, names = sbd.masks_of(entries), _augmented(devkit, entries)
        _check(devkit, names, masks, expected)
        _write_augmented(devkit, names, masks, progress)
        _note_other_masks(devkit, say)
        return count(voc, root, list(IMAGES), expected, say)


def _unpack_devkit(
    folder: Path, sources: Sequence[Path], stack: ExitStack, progress: ProgressBar
) -> list[Entry]:
    """Unpack the devkit from the sources, and return their masks of the augmented set.

    Args:
        folder: Path of VOC2012.
        sources: Archives and folders.
        stack: Closes the sources, which the masks are read from later.
        progress: Shows the progress of unpacking.

    Raises:
        DataError: A source holds neither, or has pictures and masks that do not belong together.
        OutputError: The disk is too small or can't be written.
    """
    devkits: list[list[Entry]] = []
    masks: list[Entry] = []
    for path in sources:
        own, masks_there = _parts_of(path, stack.enter_context(opened(path)), folder)
        devkits.append(own)
        masks += masks_there
    check_pairs(folder, [entry for own in devkits for entry in own], (LAYOUT,))
    for own in devkits:
        unpack(own, folder, _place, progress)
    return masks


def _write_augmented(
    devkit: _Devkit, names: Set[str], masks: Mapping[str, Entry], progress: ProgressBar
) -> None:
    """Write the masks of the augmented set that do not exist yet, then its lists.

    Raises:
        ConfigError: scipy is missing, which reads SBD.
        DataError: A mask is damaged or of another size than its picture.
        OutputError: The disk is full or can't be written.
    """
    if any(entry.path.suffix == ".mat" for entry in masks.values()):
        sbd.check_reader()
    with progress(f"writing {sbd.FOLDER}") as report:
        write_masks(_to_write(devkit, names, masks), len(names), VOC, report, PALETTE)
    _write_list(devkit.list_of("aug"), names - devkit.train)
    _write_list(devkit.list_of(AUGMENTED), names)  # last, as it completes the split


def _parts_of(path: Path, entries: list[Entry], folder: Path) -> tuple[list[Entry], list[Entry]]:
    """Split a source into entries of the devkit and masks of the augmented set.

    Raises:
        DataError: The source holds neither.
    """
    devkit = at_one_place(path, entries, LAYOUT, folder)
    masks = sbd.at_one_place(path, entries, folder / sbd.FOLDER)
    if not devkit and not masks:
        raise DataError(
            f"{path} holds neither VOCdevkit/VOC2012 nor SBD's cls/*.mat nor {sbd.FOLDER}/*.png",
            f"give {DEVKIT.name} and {SBD.name}",
        )
    return devkit, masks


def _folder(root: Path) -> Path:
    """Return the current or future path of VOC2012; the reader knows the same places."""
    places = [root / "VOCdevkit" / "VOC2012", root / "VOC2012", root]
    return next((place for place in places if (place / LISTS).is_dir()), places[0])


def _place(path: PurePosixPath) -> PurePosixPath | None:
    """Return the path below VOC2012 of a file that segmentation needs; None for other files."""
    for folder, suffix in WANTED.items():
        below = PurePosixPath(*path.parts[-1 - len(folder.parts) :])
        if (below.parent, below.suffix) == (folder, suffix):
            return below
    return None


def _part(below: PurePosixPath) -> Part | None:
    kinds = {".jpg": "image", ".png": "label"}
    return Part("VOC", kinds[below.suffix], below.stem) if below.suffix in kinds else None


LAYOUT = Layout(
    "VOCdevkit/VOC2012", _place, [str(folder) for folder in WANTED], _part, all_labelled=False
)


def _names(dataset: SegmentationDataset) -> list[str]:
    return [pair.name for pair in dataset.pairs]


def _augmented(devkit: _Devkit, entries: Sequence[Entry]) -> set[str]:
    """Return the names in trainaug: as listed, or else VOC's train and all that have another mask.

    Raises:
        DataError: A listed name is in val.
    """
    listing = devkit.list_of(AUGMENTED)
    if listing.is_file():
        images = devkit.folder / "JPEGImages"
        names = {listed.name for listed in read_names(listing, images)}
        if shared := sorted(names & devkit.val):
            raise DataError(
                f"{listing} lists {shared[0]} (and {len(shared) - 1} more), as val.txt does",
                "remove the list to make it again",
            )
        return names
    others = sbd.masks_of(entries).keys() | sbd.listed_names(entries)
    others = others or {path.stem for path in devkit.augmented.glob("*.png")}
    return {*devkit.train, *others} - devkit.val


def _without_mask(devkit: _Devkit, names: Set[str], masks: Mapping[str, Entry]) -> list[str]:
    others = sorted(names - devkit.train - masks.keys())
    return [name for name in others if not (devkit.augmented / f"{name}.png").exists()]


def _is_incomplete(devkit: _Devkit, names: Set[str], expected: Mapping[str, int] | None) -> bool:
    """Return whether SBD is needed if no masks have been given."""
    if devkit.list_of(AUGMENTED).is_file():
        return bool(_without_mask(devkit, names, {}))
    return len(names) != expected[AUGMENTED] if expected else names == devkit.train


def _check(
    devkit: _Devkit,
    names: Set[str],
    masks: Mapping[str, Entry],
    expected: Mapping[str, int] | None,
) -> None:
    """Check that all names in trainaug have a mask, and that their number is as expected.

    Raises:
        DataError: A name has no mask, or there are too few or too many names.
    """
    listing = devkit.list_of(AUGMENTED)
    whole_sbd = f"give the whole of SBD ({SBD.name}) with source="
    if without := _without_mask(devkit, names, masks):
        raise DataError(
            f"{without[0]} (and {len(without) - 1} more) of {AUGMENTED} has no mask", whole_sbd
        )
    if expected and len(names) != expected[AUGMENTED]:
        raise DataError(
            f"{AUGMENTED} has {len(names):,} names, not {expected[AUGMENTED]:,}: "
            f"{len(names & devkit.train):,} of VOC's train and {len(names - devkit.train):,} "
            "others",
            f"remove {listing} to make it again" if listing.is_file() else whole_sbd,
        )


def _to_write(devkit: _Devkit, names: Set[str], masks: Mapping[str, Entry]) -> Iterator[Mask]:
    """Yield VOC's own masks and those that exist, then the others in the order of their archive."""

    def mask(name: str, source: str, read: Callable[[], UInt8Array]) -> Mask:
        picture = devkit.folder / "JPEGImages" / f"{name}.jpg"
        return Mask(devkit.augmented / f"{name}.png", source, picture, read)

    others = names - devkit.train
    for name in sorted(names - (others & masks.keys())):
        path = devkit.folder / "SegmentationClass" / f"{name}.png"
        yield mask(name, str(path), partial(read_label, path, VOC))
    for name, entry in masks.items():
        if name in others:
            there = (devkit.augmented / f"{name}.png").exists()
            content = b"" if there else entry.read()
            yield mask(name, str(entry), partial(sbd.read_mask, entry, content))


def _write_list(path: Path, names: Set[str]) -> None:
    if not path.exists():
        with whole(path) as file:
            file.writelines(f"{name}\n".encode() for name in sorted(names))


def _note_other_masks(devkit: _Devkit, say: Say) -> None:
    """Report pictures of VOC's train whose masks are not VOC's own."""

    def same(name: str) -> bool:
        folders = (devkit.augmented, devkit.folder / "SegmentationClass")
        one, other = (read_label(folder / f"{name}.png", VOC) for folder in folders)
        return bool((one == other).all())

    if differing := sum(not equal for equal in in_parallel(same, sorted(devkit.train))):
        say(
            f"note: {differing:,} masks of VOC's train in "
            f"{devkit.augmented} differ from VOC's own, "
            "which PaddleSeg and mmsegmentation train on; remove that folder to make it again"
        )
