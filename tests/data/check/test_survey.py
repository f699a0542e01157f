"""Labels from which nothing can be learnt are refused, odd ones are told."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from gcseg.data.ade20k import ade20k_classes
from gcseg.data.check.splits import check_splits
from gcseg.data.check.survey import Survey, survey
from gcseg.data.folder import folder
from gcseg.data.label_spaces import CAMVID, CITYSCAPES, VOC
from gcseg.errors import DataError
from tests.running import SMALL

OWN = ("dataset=folder", "backbone._target_=tests.tiny.backbone", *SMALL,
       "iters=1", "val_every=1")  # fmt: skip


def tree(root, values, classes=("background", "road"), split="train", count=3):
    """Pictures whose masks hold the values in equal shares."""
    for kind in ("images", "labels"):
        (root / kind / split).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        picture = rng.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(picture).save(root / "images" / split / f"{index}.png")
        mask = np.resize(np.repeat(values, 4), (64, 64)).astype(np.uint8)
        Image.fromarray(mask).save(root / "labels" / split / f"{index}.png")
    (root / "classes.yaml").write_text(yaml.safe_dump({"classes": list(classes)}))
    return root


@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        ([0, 255], ("background", "road"), "only class background occurs in the 3 labels of "),
        ([255], ("background", "road"), "all pixels of the 3 labels of "),
        ([1, 1, 255], ("background", "road"), "only class road occurs in the 3 labels of "),
    ],
)
def test_nothing_to_learn(values, classes, message, tmp_path):
    error = survey(folder(tree(tmp_path, values, classes), "train")).wrong()
    assert error.cause.startswith(message)


def test_the_remedy_can_be_written_as_it_stands(tmp_path):
    error = survey(folder(tree(tmp_path, [0, 255]), "train")).wrong()
    assert "50.0 % of the pixels are ignored" in error.cause
    assert (
        "if 255, which is ignored, means road, write {name: road, value: 255} in the class list"
        in error.remedy
    )
    (tmp_path / "classes.yaml").write_text("classes: [background, {name: road, value: 255}]\n")
    mended = survey(folder(tmp_path, "train"))
    assert mended.wrong() is None and mended.doubts() == []
    assert mended.pixels == (3 * 2048, 3 * 2048) and mended.ignored == 0


@pytest.mark.parametrize(
    ("values", "listed", "remedy"),
    [
        ([0, 1, 255], {"classes": ["a", "b", "c"]}, r"if 255, .*, means c, write .*value: 255}"),
        ([0, 1, 255], {"classes": ["a", "b", "c", "d"]}, r"if 255, .* a class, give the class val"),
        ([0, 1], {"classes": ["a", "b", "c"]}, r"check that .* values of the class list$"),
        ([0, 1, 7], {"classes": ["a", "b", "c"], "ignore": [7]},
         r"check .* values of the class list; ignored: 7, 255$"),
        ([0, 1, 255], {"classes": ["a", "b", "c"], "ignore": [255]},
         r"check .* values of the class list; ignored: 255$"),
    ],
)  # fmt: skip
def test_255_is_asked_about_where_it_occurs(values, listed, remedy, tmp_path):
    """And where the class list does not say itself that it is ignored."""
    root = tree(tmp_path, values)
    (root / "classes.yaml").write_text(yaml.safe_dump(listed))
    ((_, told),) = survey(folder(root, "train")).doubts()
    assert re.match(remedy, told), told


def test_nobody_is_asked_what_255_means_in_voc():
    for space in (VOC, CITYSCAPES, CAMVID, ade20k_classes()):
        counts = (0, *[1] * (space.num_classes - 1))
        ((_, told),) = Survey("labels", space, counts, 1, 1, 1).doubts()
        assert told.startswith("check that the labels have the values") and "if 255" not in told


def test_absent_and_ignored(tmp_path):
    absent = survey(folder(tree(tmp_path / "a", [0, 1], ("a", "b", "c")), "train"))
    ((cause, _),) = absent.doubts()
    assert absent.wrong() is None and "1 of 3 classes (c) never occurs in the 3 labels" in cause
    ignored = survey(folder(tree(tmp_path / "b", [0, 1, 255, 255, 255]), "train"))
    ((cause, _),) = ignored.doubts()
    assert "much is ignored in the 3 labels" in cause and "of the pixels are ignored" in cause
    usual = survey(folder(tree(tmp_path / "c", [0, 1, 0, 1, 255]), "train"))
    assert usual.wrong() is None and usual.doubts() == []


def test_a_part_of_many_is_said_to_be_one(tmp_path):
    dataset = folder(tree(tmp_path, [0, 255], count=9), "train")
    seen = survey(dataset, most=4)
    assert (seen.looked_at, seen.labels, seen.whole) == (4, 9, False)
    assert seen.wrong() is None
    ((cause, _),) = seen.doubts()
    assert cause.startswith("only class background occurs in 4 of 9 labels of ") and seen.loud


def test_one_class_of_which_all_is_labelled_is_told(tmp_path):
    """As of a try with one picture: nothing is hidden, but its score is worth nothing."""
    seen = survey(folder(tree(tmp_path, [1]), "train"))
    ((cause, _),) = seen.doubts()
    assert seen.wrong() is None and seen.loud
    assert cause.startswith(f"only class road occurs in the 3 labels of {tmp_path}/labels/train, ")
    assert cause.endswith("; a network that always predicts road would have an mIoU of 100 %")


def test_one_label_and_several_absent_classes(tmp_path):
    dataset = folder(tree(tmp_path, [0, 1], tuple("abcd"), count=1), "train")
    ((cause, _),) = survey(dataset).doubts()
    assert cause.startswith("2 of 4 classes (c, d) never occur in the 1 label of ")


def test_a_training_says_so(run, tmp_path):
    root = tree(tree(tmp_path / "data", [0, 255]), [0, 255], split="val")
    own = (*OWN, f"dataset.root={root}")
    error = run("train", *own).error
    assert "only class background occurs in the 3 labels" in error and "value: 255}" in error
    assert not (tmp_path / "runs").exists()
    checked = run("data", "check", *own, "fail_on=error")
    assert checked.status == 1 and "value: 255}" in checked.out
    (root / "classes.yaml").write_text(
        "classes: [background, {name: road, value: 255}, {name: sky, value: 1}]\n"
    )
    outcome = run("train", *own)
    assert outcome.status == 0, outcome.err
    place = root / "labels" / "train"
    assert f"note: 1 of 3 classes (sky) never occurs in the 3 labels of {place}, in" in outcome.out
    again = run("train", *own)
    assert again.status == 0 and "is already trained" in again.out


def test_a_training_warns_of_much_that_is_ignored(run, tmp_path):
    root = tree(tree(tmp_path / "data", [0, 1, 255, 255, 255]), [0, 1], split="val")
    outcome = run("train", *OWN, f"dataset.root={root}")
    assert outcome.status == 0, outcome.err
    assert "warning: much is ignored in the 3 labels" in outcome.err


def test_labels_that_score_little(run, tmp_path):
    """Told by a training, by `eval`, which reads the labels once, and by `data stats`."""
    root = tree(tree(tmp_path / "data", [0, 1]), [0, 255], split="val")
    own = (*OWN, f"dataset.root={root}")
    outcome = run("train", *own)
    assert outcome.status == 0
    only = "warning: only class background occurs in the 3 labels of "
    assert only in outcome.err and "50.0 % of the pixels are ignored" in outcome.err
    assert "{name: road, value: 255}" in outcome.err
    (folder,) = (tmp_path / "runs").iterdir()
    for values, message in (
        ([0, 255], only),
        ([1], "warning: only class road occurs in the 3 labels of "),
        ([0, 1, 255, 255, 255], "warning: much is ignored in the 3 labels of "),
        ([0, 1], ""),
    ):
        for kind in ("images", "labels"):
            shutil.rmtree(root / kind / "val")
        tree(root, values, split="val")
        scored = run("eval", f"checkpoint={folder}", "accelerator=cpu", "tta=flip")
        measured = run("data", "stats", *own, "split=val")
        assert scored.status == measured.status == 0
        for one in (scored, measured):
            assert one.err.startswith(message) and one.err.count("\n") == bool(message), one.err
        assert ("class_weights" in measured.out) == ("only class" not in message)


def test_pictures_that_are_trained_on_and_scored(run, tmp_path):
    """In both lists, or by a link."""
    root = tree(tree(tmp_path / "data", [0, 1]), [0, 1], split="val", count=5)
    own = (*OWN, f"dataset.root={root}")
    assert run("train", *own).err == ""
    outcome = run("train", *own, "dataset.splits.val=train")
    assert outcome.status == 0
    assert outcome.err.startswith("warning: 3 of the 3 pictures of ") and "(0, 1, 2)" in outcome.err
    for index in range(4):
        picture = root / f"images/val/{index}.png"
        picture.unlink()
        picture.symlink_to(root / f"images/train/{index % 3}.png")
    outcome = run("train", *own, "seed=1")
    assert "warning: 4 of the 5 pictures of " in outcome.err and "2 and 1 more)" in outcome.err
    (root / "images/val/4.png").unlink()
    (root / "images/val/4.png").symlink_to(root / "images/train/1.png")
    error = run("train", *own, "seed=2").error
    assert "are trained on and scored: scores on them would mean nothing: give dataset.val" in error


def test_a_split_that_scores_nothing(run, tmp_path):
    root = tree(tree(tmp_path / "data", [0, 1]), [255], split="val")
    error = run("train", *OWN, f"dataset.root={root}").error
    assert "no score of a checkpoint is defined" in error
    assert not (tmp_path / "runs").exists()


def test_validated_images_without_labels(tmp_path):
    train = folder(tree(tmp_path, [0, 1]), "train")
    val = folder(tree(tmp_path, [0, 1], split="val"), "val")
    Image.fromarray(np.full((64, 64), 255, np.uint8)).save(tmp_path / "labels" / "val" / "0.png")
    check_splits(train, val)
    check_splits(train, val, [0, 1])
    with pytest.raises(DataError, match=r"all pixels of the 1 label.* or raise limit_val"):
        check_splits(train, val, [0])


def test_a_score_without_labels_is_not_defined(run, tmp_path):
    """In the table, in results.json and in the report, as it is of no use as a number."""
    root = tree(tree(tmp_path / "data", [0, 1]), [0, 1], split="val")
    own = (*OWN, f"dataset.root={root}")
    assert run("train", *own).status == 0
    (folder,) = (tmp_path / "runs").iterdir()
    for mask in (root / "labels" / "val").iterdir():
        Image.fromarray(np.full((64, 64), 255, np.uint8)).save(mask)
    scored = run("eval", f"checkpoint={folder}", "accelerator=cpu", "explain=true", "tta=none")
    assert scored.status == 0, scored.err
    assert scored.out.count("not defined") >= 2
    record = json.loads((folder / "results.json").read_text())["evaluations"]["none"]
    assert record["miou"] is None and record["pixel_accuracy"] is None
    reported = run("report", f"run={folder}", "accelerator=cpu")
    assert reported.status == 0, reported.err
    assert "0.00 %" not in (folder / "report.html").read_text()
