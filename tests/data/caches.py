"""What the tests of the decoded cache share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gcseg.data.datasets import Pair, Sample, SegmentationDataset, read_pair
from tests.data.trees import mask, picture, write


def varied_tree(root: Path) -> Path:
    """Pictures of different sizes and kinds, one of them by a camera that was turned."""
    (root / "classes.yaml").write_text("classes: [sea, land, ship]\n")
    for index, (height, width) in enumerate([(20, 24), (7, 50), (33, 1), (64, 64)]):
        kind = ("png", "bmp", "jpg", "webp")[index]
        write(root / f"images/train/{index}.{kind}", picture(index, height, width))
        write(root / f"labels/train/{index}.png", mask(index, (0, 1, 2, 255), height, width))
    turned = Image.fromarray(picture(9, 16, 48))
    exif = turned.getexif()
    exif[274] = 6  # orientation: turn right by 90 degrees
    turned.save(root / "images/train/turned.jpg", exif=exif)
    write(root / "labels/train/turned.png", mask(9, (0, 1, 2), 48, 16))
    return root


class Reads:
    """Decodes a dataset and remembers what was decoded, also for other processes."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self, pair: Pair) -> Sample:
        with self.log.open("a") as file:
            file.write(f"{pair.name}\n")
        return read_pair(pair)

    def since(self) -> list[str]:
        """What was decoded since the last time."""
        names = sorted(self.log.read_text().split()) if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return names


def quiet(_: str) -> None:
    pass


def equal(ours: SegmentationDataset, theirs: SegmentationDataset) -> None:
    assert ours.pairs == theirs.pairs
    for index in range(len(theirs)):
        for one, other in zip(ours.read(index), theirs.read(index), strict=True):
            if other is None:
                assert one is None
            else:
                np.testing.assert_array_equal(one, other)
                assert one.dtype == np.uint8


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir() if path.name != ".lock"}
