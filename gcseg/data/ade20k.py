"""ADE20k of the SceneParsing benchmark (Zhou et al., CVPR 2017): ADEChallengeData2016.

Its test pictures come as release_test.zip, and have no annotations.
"""

from __future__ import annotations

from pathlib import Path

from gcseg.data.class_list import read_classes
from gcseg.data.datasets import Pair, SegmentationDataset, files_by_stem
from gcseg.data.folder import folder
from gcseg.data.label_spaces import LabelSpace
from gcseg.errors import ConfigError, DataError
from gcseg.system.text import shown

SPLITS = {
    "training": "training",
    "validation": "validation",
    "train": "training",
    "val": "validation",
    "testing": "testing",
    "test": "testing",
}
"""Folder of each split, by the names that a split may be given."""


def ade20k(
    root: str | Path,
    split: str,
    *,
    reduce_zero_label: bool = True,
    faults: list[DataError] | None = None,
) -> SegmentationDataset:
    """Read a split of ADE20k: 20,210 training, 2,000 validation or 3,352 test images.

    Args:
        root: The folder that holds ADEChallengeData2016, or that folder itself. The test images are
            in release_test/testing there, or in images/testing next to the others.
        split: training, validation or testing, also as train, val or test; testing has no labels.
        reduce_zero_label: See `ade20k_classes`.
        faults: Collects files without a partner, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        ConfigError: An unknown split.
        DataError: A folder is missing or empty, or an image has no annotation of its name.
    """
    if split not in SPLITS:
        raise ConfigError(
            f"ade20k has no split '{shown(split)}'", f"use one of {', '.join(SPLITS)}"
        )
    root = Path(root)
    if SPLITS[split] == "testing":
        return _test_split(root, reduce_zero_label, faults)
    below = (root / "ADEChallengeData2016", root)
    data = next((base for base in below if (base / "annotations").is_dir()), None)
    if data is None:
        raise DataError(
            f"no ADEChallengeData2016/annotations in {root}",
            "set dataset.root to the folder that holds ADEChallengeData2016",
        )
    part = SPLITS[split]
    if not (data / "annotations" / part).is_dir():  # or the split would count as unlabelled
        raise DataError(
            f"folder {data / 'annotations' / part} does not exist",
            "unpack ADEChallengeData2016.zip again",
        )
    return folder(
        data,
        part,
        classes=ade20k_classes(reduce_zero_label=reduce_zero_label),
        labels="annotations/{split}",
        faults=faults,
    )


def _test_split(
    root: Path, reduce_zero_label: bool, faults: list[DataError] | None
) -> SegmentationDataset:
    """Read the test images, which have no annotations.

    Raises:
        DataError: They are not there.
    """
    folders = ("release_test/testing", "images/testing")
    places = [base / name for base in (root, root / "ADEChallengeData2016") for name in folders]
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        raise DataError(
            f"no release_test/testing in {root}", "unpack the benchmark's release_test.zip there"
        )
    space = ade20k_classes(reduce_zero_label=reduce_zero_label)
    images = files_by_stem(place, faults=faults)
    pairs = [Pair(name, path, None, space) for name, path in images.items()]
    return SegmentationDataset(pairs, space, str(place))


def ade20k_classes(*, reduce_zero_label: bool = True) -> LabelSpace:
    """Return the classes of the benchmark.

    Args:
        reduce_zero_label: Whether value 0, "other", is ignored and values 1 to 150 are classes
            0 to 149, as the benchmark scores. Otherwise there are 151 classes, "other" first,
            each with its value as index.
    """
    space = read_classes(Path(__file__).with_name("ade20k.yaml"))
    if reduce_zero_label:
        return space
    return LabelSpace(("other", *space.names), ((0, 0, 0), *space.colors))
