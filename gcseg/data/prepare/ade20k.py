"""Download and unpack ADE20k's benchmark, ADEChallengeData2016."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from gcseg.data.ade20k import ade20k
from gcseg.data.prepare.archives import ProgressBar, silent
from gcseg.data.prepare.layout import Layout, Part
from gcseg.data.prepare.sources import Archive, Say, alone_in, count, given, unpack_given

# Source: Zhou et al., CVPR 2017, section 4.
IMAGES = {"training": 20_210, "validation": 2_000}

# Source of the checksum: GluonCV, scripts/datasets/ade20k.py.
DATA = Archive(
    name="ADEChallengeData2016.zip",
    url="http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
    checksum="sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
    terms="for non-commercial research and education, as "
    "https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/ says",
)


def prepare_ade20k(
    root: Path,
    *,
    sources: Sequence[Path] = (),
    download: bool = True,
    expected: Mapping[str, int] | None = IMAGES,
    progress: ProgressBar = silent,
    say: Say = print,
) -> dict[str, int]:
    """Download and unpack the images and annotations; see `Preparation` for the arguments.

    The archive stays in the root and can be removed afterwards.

    Raises:
        DataError: An archive is damaged or an image has no annotation.
        DownloadError: The archive can't be downloaded or has a wrong checksum.
        OutputError: The disk is too small or can't be written.
    """
    with alone_in(root):
        folder = root if (root / "annotations").is_dir() else root / "ADEChallengeData2016"

        def unpack(paths: Sequence[Path]) -> None:
            unpack_given(root, paths, folder, (LAYOUT,), ade20k, list(IMAGES), progress, say)

        unpack(given(root, sources, (DATA.name,)))
        if not (folder / "annotations").is_dir():
            reason = f"there is no ADEChallengeData2016 in {root}"
            DATA.fetch(root, reason, allowed=download, say=say)
            unpack(given(root, (), (DATA.name,)))
        return count(ade20k, root, list(IMAGES), expected, say)


def _place(path: PurePosixPath) -> PurePosixPath | None:
    """Return the path of a picture or annotation, in the archive or a folder unpacked from it."""
    below = PurePosixPath(*path.parts[-3:])
    wanted = {("images", ".jpg"), ("annotations", ".png")}
    if len(below.parts) < 3 or below.parts[1] not in IMAGES:
        return None
    if (below.parts[0], below.suffix) not in wanted:
        return None
    return below


def _part(below: PurePosixPath) -> Part:
    folder, split, _ = below.parts
    return Part(split, "image" if folder == "images" else "label", below.stem)


LAYOUT = Layout(
    "ADEChallengeData2016",
    _place,
    [f"{folder}/{split}" for folder in ("images", "annotations") for split in IMAGES],
    _part,
)
