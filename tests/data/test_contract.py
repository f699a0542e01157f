"""What every dataset must keep to: a new one costs one row here."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gcseg.data.ade20k import ade20k
from gcseg.data.cityscapes import cityscapes
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.folder import camvid, folder
from gcseg.data.scenes.dataset import scenes
from gcseg.data.voc import voc
from tests.data import trees

LABELLED = {"train": 3, "val": 2}


@dataclass(frozen=True)
class Row:
    """A dataset: how its files come about, how they are read, and what is in them.

    Args:
        make: Writes the files below a folder and returns the dataset's root.
        read: The reader, from root, split and faults.
        lengths: Images by split.
        num_classes: Of its label space.
        unlabelled: The splits without labels.
    """

    make: Callable[[Path], Path]
    read: Callable[..., SegmentationDataset]
    lengths: dict[str, int]
    num_classes: int
    unlabelled: tuple[str, ...] = ()


def drawn(layout: str) -> Callable[..., SegmentationDataset]:
    return functools.partial(scenes, layout=layout, train=3, val=2, height=32, width=48)


def downloaded_camvid(_: Path) -> Path:
    root = Path(os.environ.get("GCSEG_DATA", "data")) / "camvid"
    if not (root / "trainannot").is_dir():
        pytest.skip(f"CamVid is not in {root}; set GCSEG_DATA to the folder that holds camvid/")
    return root


ROWS = {
    "cityscapes": Row(
        trees.cityscapes_tree,
        cityscapes,
        {**LABELLED, "test": 1, "trainvalidation": 5},
        num_classes=19,
        unlabelled=("test",),
    ),
    "cityscapes-train-ids": Row(
        lambda root: trees.cityscapes_tree(root, train_ids=True),
        cityscapes,
        {**LABELLED, "test": 1, "trainvalidation": 5},
        num_classes=19,
        unlabelled=("test",),
    ),
    "voc": Row(
        trees.voc_tree,
        voc,
        {**LABELLED, "trainaug": 3, "trainval": 5, "test": 1},
        num_classes=21,
        unlabelled=("test",),
    ),
    "ade20k": Row(
        trees.ade20k_tree, ade20k, {**LABELLED, "training": 3, "validation": 2}, num_classes=150
    ),
    "camvid": Row(trees.camvid_tree, camvid, {**LABELLED, "test": 1}, num_classes=11),
    "folder": Row(
        trees.folder_tree, folder, {**LABELLED, "test": 1}, num_classes=3, unlabelled=("test",)
    ),
    "scenes-cityscapes": Row(lambda root: root, drawn("cityscapes"), LABELLED, num_classes=19),
    "scenes-voc": Row(lambda root: root, drawn("voc"), LABELLED, num_classes=19),
    "camvid-downloaded": Row(downloaded_camvid, camvid, {"train": 367, "val": 101}, num_classes=11),
}
MARKS = {"camvid-downloaded": pytest.mark.camvid}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Each row's root, made once."""
    made: dict[str, Path] = {}

    def root(name: str) -> Path:
        if name not in made:
            made[name] = ROWS[name].make(tmp_path_factory.mktemp(name))
        return made[name]

    return root


@pytest.mark.parametrize(
    ("name", "split"),
    [
        pytest.param(name, split, marks=MARKS.get(name, ()))
        for name, row in ROWS.items()
        for split in row.lengths
    ],
)
def test_contract(roots, name, split):
    row = ROWS[name]
    dataset = row.read(roots(name), split)
    labelled = split not in row.unlabelled
    assert len(dataset) == row.lengths[split]
    assert dataset.has_labels == labelled
    space = dataset.label_space
    assert space.num_classes == len(space.names) == len(space.colors) == row.num_classes
    assert str(roots(name)) in dataset.description

    names = [pair.name for pair in dataset.pairs]
    assert len(set(names)) == len(names)
    assert names == [pair.name for pair in row.read(str(roots(name)), split).pairs], "fixed order"
    for pair in dataset.pairs:
        assert pair.name in pair.image.as_posix()
        assert (pair.label is not None) == labelled
        assert pair.label is None or pair.name in pair.label.as_posix()

    seen = set()
    for index in range(0, len(dataset), max(1, len(dataset) // 5)):
        image, label = dataset.read(index)
        assert image.dtype == np.uint8
        assert image.ndim == 3 and image.shape[2] == 3
        if not labelled:
            assert label is None
            continue
        assert label.dtype == np.uint8
        assert label.shape == image.shape[:2]
        assert label.flags.writeable, "PyTorch warns about others"
        seen |= set(np.unique(label).tolist())
    assert seen <= {*range(row.num_classes), 255}
    assert not labelled or len(seen - {255}) >= 3, "more than a class or two occur"


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in ROWS])
def test_splits_do_not_share_images(roots, name):
    row = ROWS[name]
    images = {
        split: {pair.image for pair in row.read(roots(name), split).pairs} for split in LABELLED
    }
    assert not images["train"] & images["val"]


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in ROWS])
def test_faults_are_collected_if_wanted(roots, name):
    """Every reader takes a list of faults; where all is whole it stays empty."""
    row, faults = ROWS[name], []
    whole = row.read(roots(name), "train", faults=faults)
    assert not faults
    assert whole.pairs == row.read(roots(name), "train").pairs


def test_both_cityscapes_label_files_say_the_same(roots):
    first = ROWS["cityscapes"].read(roots("cityscapes"), "val")
    second = ROWS["cityscapes-train-ids"].read(roots("cityscapes-train-ids"), "val")
    assert [pair.label.name.rsplit("_", 1)[1] for pair in second.pairs] == ["labelTrainIds.png"] * 2
    for index in range(len(first)):
        for ours, theirs in zip(first.read(index), second.read(index), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_layouts_of_the_scenes_are_read_alike(roots):
    voc_like = ROWS["scenes-voc"].read(roots("scenes-voc"), "train")
    assert voc_like.label_space.names[0] == "road"
    assert {pair.image.suffix for pair in voc_like.pairs} == {".jpg"}


def test_trainvalidation_is_both(roots):
    root = roots("cityscapes")
    both = [pair.name for split in ("train", "val") for pair in cityscapes(root, split).pairs]
    assert [pair.name for pair in cityscapes(root, "trainvalidation").pairs] == both


def test_trainaug_has_labels_of_its_own(roots):
    folders = {
        split: {pair.label.parent.name for pair in voc(roots("voc"), split).pairs}
        for split in ("train", "trainaug", "val")
    }
    assert folders == {
        "train": {"SegmentationClass"},
        "trainaug": {"SegmentationClassAug"},
        "val": {"SegmentationClass"},
    }


def test_folder_maps_its_values(roots):
    dataset = folder(roots("folder"), "train")
    assert dataset.label_space.names == ("sea", "land", "ship")
    assert dataset.label_space.colors == ((0, 0, 255), (0, 255, 0), (255, 0, 0))
    assert [pair.name for pair in dataset.pairs] == ["site0/tile.0", "site0/tile.2", "site1/tile.1"]
    table = {10: 0, 20: 1, 7: 2, 0: 255, 99: 255, 255: 255}
    image, label = dataset.read(0)
    raw = trees.mask(0, (10, 20, 7, 0, 99, 255))
    np.testing.assert_array_equal(label, np.vectorize(table.get)(raw))
    np.testing.assert_array_equal(image, trees.picture(0))
