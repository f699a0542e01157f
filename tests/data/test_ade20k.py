"""ADE20k: classes, label values, where its folders may be, and the commands on it."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from gcseg.data.ade20k import ade20k, ade20k_classes
from gcseg.errors import ConfigError, DataError
from tests.data import trees
from tests.running import SCENES, TINY, only_run

# Source: objectInfo150 and color150 of the benchmark.
KNOWN = {
    0: ("wall", (120, 120, 120)),
    1: ("building", (180, 120, 120)),
    6: ("road", (140, 140, 140)),
    7: ("bed", (204, 5, 255)),
    12: ("person", (150, 5, 61)),
    20: ("car", (0, 102, 200)),
    44: ("chest of drawers", (6, 51, 255)),
    48: ("skyscraper", (140, 140, 140)),
    74: ("computer", (0, 255, 173)),
    89: ("television receiver", (0, 255, 194)),
    99: ("buffet", (255, 112, 0)),
    130: ("screen", (0, 204, 255)),
    149: ("flag", (92, 0, 255)),
}


def test_classes_are_the_benchmarks():
    space = ade20k_classes()
    assert space.num_classes == 150
    assert {index: (space.names[index], space.colors[index]) for index in KNOWN} == KNOWN
    assert [name for name in space.names if name != name.strip()] == []
    assert len(set(space.colors)) == 149, "only road and skyscraper share one"


def test_other_is_ignored_and_the_rest_moves_down():
    lookup = ade20k_classes().lookup
    assert lookup[:151].tolist() == [255, *range(150)]
    assert set(lookup[151:255].tolist()) == {254}, "not in the label space"


def test_other_may_be_a_class():
    space, scored = ade20k_classes(reduce_zero_label=False), ade20k_classes()
    assert space.names == ("other", *scored.names)
    assert space.colors == ((0, 0, 0), *scored.colors)
    assert space.lookup[:152].tolist() == [*range(151), 254]


@pytest.mark.parametrize("reduce_zero_label", [True, False])
def test_annotations_are_read_by_value(tmp_path, reduce_zero_label):
    dataset = ade20k(trees.ade20k_tree(tmp_path), "validation", reduce_zero_label=reduce_zero_label)
    shift = 1 if reduce_zero_label else 0
    for index, pair in enumerate(dataset.pairs):
        raw = np.asarray(Image.open(pair.label)).astype(int)
        assert set(np.unique(raw).tolist()) == {0, 1, 2, 75, 150}
        wanted = np.where(raw < shift, 255, raw - shift)
        np.testing.assert_array_equal(dataset.read(index)[1], wanted)


@pytest.mark.parametrize(("name", "same"), [("train", "training"), ("val", "validation")])
def test_splits_have_two_names(tmp_path, name, same):
    root = trees.ade20k_tree(tmp_path)
    pairs = ade20k(root, name).pairs
    assert pairs[0].name == f"ADE_{name}_00000001"
    assert [pair.image for pair in pairs] == [pair.image for pair in ade20k(root, same).pairs]


def test_the_root_may_be_the_folder_itself(tmp_path):
    root = trees.ade20k_tree(tmp_path)
    inner = ade20k(root / "ADEChallengeData2016", "training")
    assert [pair.image for pair in inner.pairs] == [
        pair.image for pair in ade20k(root, "train").pairs
    ]


def test_unknown_split(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"^ade20k has no split 'tset': use one of training, validation, train, val, testing,",
    ):
        ade20k(trees.ade20k_tree(tmp_path), "tset")


def test_the_test_split_has_no_labels(tmp_path):
    root = trees.ade20k_tree(tmp_path)
    for place in ("release_test/testing", "ADEChallengeData2016/images/testing"):
        if not (root / place).is_dir():
            (root / "release_test/testing").rename(root / place)
        for split in ("test", "testing"):
            dataset = ade20k(root, split)
            assert [pair.name for pair in dataset.pairs] == ["ADE_test_00000001"]
            assert not dataset.has_labels and dataset.description == str(root / place)
            assert dataset.read(0)[1] is None
    shutil.rmtree(root / place)
    with pytest.raises(DataError, match=r"^no release_test/testing in .*: unpack the benchmark's"):
        ade20k(root, "test")


def test_missing_folders(tmp_path):
    message = (
        rf"^no ADEChallengeData2016/annotations in {tmp_path}: set dataset\.root to the folder"
    )
    with pytest.raises(DataError, match=message):
        ade20k(tmp_path, "val")
    data = trees.ade20k_tree(tmp_path) / "ADEChallengeData2016"
    shutil.rmtree(data / "annotations" / "validation")
    with pytest.raises(DataError, match=f"^folder {data}/annotations/validation does not exist: "):
        ade20k(tmp_path, "val")
    shutil.rmtree(data / "images" / "training")
    with pytest.raises(DataError, match=f"^folder {data}/images/training does not exist: "):
        ade20k(tmp_path, "train")


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("images/validation/ADE_val_00000002.jpg", "^label {label} has no image of the same name"),
        ("annotations/validation/ADE_val_00000002.png", "^image {image} has no label of the same"),
    ],
)
def test_half_a_pair(tmp_path, removed, message):
    data = trees.ade20k_tree(tmp_path) / "ADEChallengeData2016"
    (data / removed).unlink()
    paths = {
        "image": re.escape(str(data / "images/validation/ADE_val_00000002.jpg")),
        "label": re.escape(str(data / "annotations/validation/ADE_val_00000002.png")),
    }
    with pytest.raises(DataError, match=message.format(**paths)):
        ade20k(tmp_path, "validation")


def test_values_beyond_the_classes_are_refused(tmp_path):
    data = trees.ade20k_tree(tmp_path) / "ADEChallengeData2016"
    path = data / "annotations/training/ADE_train_00000001.png"
    trees.write(path, np.full((48, 64), 151))
    with pytest.raises(
        DataError,
        match=f"^label {path} holds value 151, which is not in the label space of 150 classes: "
        "use 1-150, or 0, 255 for ignored$",
    ):
        ade20k(tmp_path, "training").read(0)


@pytest.mark.parametrize("augment", ["published", "mmseg"])
def test_the_commands_work_on_it(run, tmp_path, augment):
    trees.ade20k_tree(tmp_path / "ade")
    settings = [override for override in TINY if override not in SCENES]
    outcome = run(
        "train",
        *settings,
        *("dataset=ade20k", "dataset.root=ade", f"augment={augment}", "tta=none"),
        "report=false",
        *("dataset.fit.long=128", "dataset.fit.short=64"),
    )
    assert outcome.status == 0, outcome.err
    folder = only_run(tmp_path / "runs")
    record = json.loads((folder / "results.json").read_text())
    scores = record["evaluations"]["none"]
    assert (record["dataset"], scores["split"], scores["images"]) == ("ade20k", "validation", 2)
    assert tuple(scores["class_iou"]) == ade20k_classes().names
    labelled = {name for name, iou in scores["class_iou"].items() if iou is not None}
    assert {"wall", "building", "computer", "flag"} <= labelled

    given = (f"checkpoint={folder}", "accelerator=cpu")
    outcome = run("eval", *given, "tta=flip", "num_workers=0")
    assert outcome.status == 0, outcome.err
    assert "flip" in json.loads((folder / "results.json").read_text())["evaluations"]
    outcome = run("predict", *given, "output=out")
    assert outcome.status == 0, outcome.err
    for name in ("ADE_val_00000001", "ADE_val_00000002"):
        with Image.open(tmp_path / "out" / "masks" / f"{name}.png") as mask:
            assert mask.size == (64, 48)
            assert np.asarray(mask).max() < 150
