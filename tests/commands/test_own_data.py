"""One's own data from the command line: layouts, masks in colours, divided splits."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcseg.builders import data as build_data
from gcseg.data.label_spaces import CAMVID
from tests.running import SMALL, compose

TRAINING = ("backbone._target_=tests.tiny.backbone", *SMALL, "iters=2", "val_every=2")
SPLITS = {"train": 8, "val": 4}


def frames(split):
    """Names, pictures and masks of made-up videos: blocks of classes, 11 (ignored) among them."""
    generator = np.random.default_rng(len(split))
    for index in range(SPLITS[split]):
        picture = generator.integers(0, 256, (64, 80, 3), np.uint8)
        blocks = generator.integers(0, 12, (8, 10), np.uint8)
        yield f"{split}{index % 4}_{index:03d}", picture, blocks.repeat(8, 0).repeat(8, 1)


def real_frames(split):
    """Two dozen frames of CamVid."""
    root = Path(os.environ.get("GCSEG_DATA", "data")) / "camvid"
    if not (root / "trainannot").is_dir():
        pytest.skip(f"CamVid is not in {root}; set GCSEG_DATA to the folder that holds camvid/")
    files = sorted((root / split).glob("*.png"))
    for path in files[:: len(files) // (2 * SPLITS[split])][: 2 * SPLITS[split]]:
        picture = np.asarray(Image.open(path).convert("RGB"))
        yield path.stem, picture, np.asarray(Image.open(root / f"{split}annot" / path.name))


def put(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def default_layout(root, split, name, picture, mask):
    put(root / f"images/{split}/{name}.jpg", picture)
    put(root / f"labels/{split}/{name}.png", mask)


def flat_with_lists(root, split, name, picture, mask):
    put(root / f"{name}.jpg", picture)
    put(root / f"{name}_mask.png", mask)
    with (root / f"{split}.txt").open("a") as file:
        file.write(f"{name}.jpg {name}_mask.png\n")


def in_colours(root, split, name, picture, mask):
    palette = np.vstack([CAMVID.colors, np.zeros((1, 3))]).astype(np.uint8)
    put(root / f"{split}/{name}.jpg", picture)
    put(root / f"{split}/{name}_color.png", palette[mask])


FORMS = {
    default_layout: (),
    flat_with_lists: ("dataset.reader.images={split}.txt",),
    in_colours: (
        "dataset.reader.images={split}",
        "dataset.reader.labels={split}",
        "dataset.reader.label_ending=_color",
    ),
}


def write(root, form, source=frames):
    colors = [f"{name}, color: {list(color)}" for name, color in zip(CAMVID.names, CAMVID.colors,
                                                                    strict=True)]  # fmt: skip
    listed = "".join(
        f"- {{name: {one}}}\n" for one in (colors if form is in_colours else CAMVID.names)
    )
    root.mkdir(parents=True, exist_ok=True)
    ignored = "[[0, 0, 0]]" if form is in_colours else "[11]"
    (root / "classes.yaml").write_text(f"classes:\n{listed}ignore: {ignored}\n")
    masks = {}
    for split in SPLITS:
        for name, picture, mask in source(split):
            form(root, split, name, picture, mask)
            masks[split, name] = np.where(mask == 11, 255, mask)
    return masks


def composed(root, *given):
    quoted = [f"{key}='{value}'" for key, _, value in (one.partition("=") for one in given)]
    return compose("train", "dataset=folder", f"dataset.root={root}", *quoted)


def run_of(root):
    (folder,) = (root / "runs").glob("r18-*")
    return folder


def check_masks(root, given, masks):
    """Compare the masks that are read with the originals, pixel by pixel."""
    cfg = composed(root, *given)
    seen = set()
    for split in SPLITS:
        dataset = build_data.dataset(cfg, split)
        for index, pair in enumerate(dataset.pairs):
            assert np.array_equal(dataset.read(index)[1], masks[split, pair.name])
            seen.add((split, pair.name))
    assert seen == masks.keys()


@pytest.mark.parametrize("form", FORMS)
def test_each_form_trains_from_one_command(form, tmp_path, run):
    masks = write(tmp_path / "own", form)
    check_masks(tmp_path / "own", FORMS[form], masks)
    given = ("dataset=folder", f"dataset.root={tmp_path / 'own'}", *FORMS[form])
    outcome = run("data", "check", *given)
    assert outcome.status == 0 and "nothing wrong in 12 images" in outcome.out, outcome
    outcome = run("train", *given, *TRAINING)
    assert outcome.status == 0, outcome
    results = json.loads((run_of(tmp_path) / "results.json").read_text())
    assert results["evaluations"]["none"]["images"] == 4


@pytest.mark.camvid
@pytest.mark.parametrize("form", FORMS)
def test_masks_of_camvid_stay_the_same_in_each_form(form, tmp_path):
    masks = write(tmp_path / "own", form, real_frames)
    assert len(masks) == 24
    check_masks(tmp_path / "own", FORMS[form], masks)


def test_other_actions_read_masks_in_colours(tmp_path, run):
    write(tmp_path / "own", in_colours)
    given = ("dataset=folder", f"dataset.root={tmp_path / 'own'}", *FORMS[in_colours])
    here = {"GCSEG_CACHE": str(tmp_path / "cache")}
    assert run("data", "stats", *given, "dataset.cache=disk", **here).status == 0
    outcome = run("data", "browse", *given, *SMALL[:2], "count=2", "sampling.rare_crop=1", **here)
    assert outcome.status == 0, outcome


def test_what_other_colours_are_taken_for_is_said(tmp_path, run):
    write(tmp_path / "own", in_colours)
    path = tmp_path / "own/train/train0_000_color.png"
    mask = np.array(Image.open(path))
    mask[:, 0] = (200, 2, 3)
    put(path, mask)
    given = ("dataset=folder", f"dataset.root={tmp_path / 'own'}", *FORMS[in_colours])
    outcome = run("data", "check", *given)
    assert outcome.status == 1 and "has 1 colour of no class in 1.2 % of its pixels" in outcome.out
    outcome = run("data", "check", *given, "dataset.reader.unknown_colors=ignored")
    assert outcome.status == 0, outcome
    assert "note: 0.16 % of the pixels of 8 masks" in outcome.err  # one column of 80 in one of 8
    assert "have colours of no class and are ignored" in outcome.err


# Splits without moving files


@pytest.fixture
def own(tmp_path):
    write(tmp_path / "own", default_layout)
    return ("dataset=folder", f"dataset.root={tmp_path / 'own'}")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("dataset.fold=6/5", "dataset.fold=6/5: give the number of a fold, which count from 0"),
        ("dataset.fold=5/5", "dataset.fold=5/5: give the number of a fold, which count from 0"),
        ("dataset.fold=0/1", "dataset.fold=0/1: give the number of a fold"),
        (
            "dataset.val_fraction=0",
            "dataset.val_fraction=0: give a number between 0 and 1, or null",
        ),
        (
            "dataset.val_fraction=1",
            "dataset.val_fraction=1: give a number between 0 and 1, or null",
        ),
        ("dataset.fraction=0", "dataset.fraction=0: give a number"),
        ("dataset.group=seq", "dataset.group=seq: give the form of the names with {group} in it"),
        ("dataset.fold=0/9", "8 pictures can't be divided into 9 parts: give fewer folds"),
    ],
)
def test_divisions_that_can_not_be(own, run, given, message):
    assert run("train", *own, *TRAINING, given).error.startswith(message)


def test_a_group_that_fits_nothing(own, run):
    given = ("dataset.group=video{group}_*", "dataset.fold=0/2")
    error = run("train", *own, *TRAINING, *given).error
    assert error.startswith(
        "dataset.group=video{group}_* fits 0 of the 8 names, and not train0_000"
    )
    both = ("dataset.val_fraction=0.1", "dataset.fold=0/2")
    assert run("train", *own, *TRAINING, *both).error == (
        "dataset.val_fraction=0.1 with dataset.fold=0/2: give one of the two"
    )


def names(*given, split):
    return [pair.name for pair in build_data.dataset(compose("train", *given), split).pairs]


def test_groups_that_nothing_divides_are_told(own, capsys):
    names(*own, "dataset.group='{group}_*'", split="val")
    assert capsys.readouterr().err == ""
    names(*own, "dataset.group='{group}_*'", split="train")
    assert "dataset.group has no effect without dataset.val_fraction" in capsys.readouterr().err


def test_train_and_eval_see_the_same_division(own, run, tmp_path, monkeypatch):
    monkeypatch.setenv("GCSEG_CACHE", str(tmp_path / "cache"))
    divided = (*own, "dataset.fold=1/4", "dataset.group='{group}_*'")
    outcome = run("train", *own, "dataset.fold=1/4", "dataset.group={group}_*", *TRAINING)
    assert outcome.status == 0, outcome
    assert "train: 6 of 8 pictures" in outcome.err and "val: 2 of 8 pictures" in outcome.err
    folder = run_of(tmp_path)
    results = json.loads((folder / "results.json").read_text())
    val = names(*divided, split="val")
    assert len({name.partition("_")[0] for name in val}) == 1  # one video
    assert {*val, *names(*divided, split="train")} == set(names(*own, split="train"))
    assert results["evaluations"]["none"]["images"] == results["validation"]["images"] == 2
    again = run("eval", f"checkpoint={folder}", "tta=none")
    assert again.status == 0, again
    merged = json.loads((folder / "results.json").read_text())
    assert list(merged["evaluations"]) == ["none"]  # of the same pictures
    assert merged["evaluations"]["none"]["miou"] == results["evaluations"]["none"]["miou"]
    own_val = run("eval", f"checkpoint={folder}", "dataset.fold=null", "tta=none")
    assert own_val.status == 0, own_val
    evaluations = json.loads((folder / "results.json").read_text())["evaluations"]
    assert [one["images"] for one in evaluations.values()] == [2, 4]  # the val split, apart
    outcome = run("train", *own, "dataset.fold=1/4", "dataset.group={group}_*", *TRAINING)
    assert "is already trained" in outcome.out


def test_check_and_stats_see_the_division(own, run, tmp_path):
    here = {"GCSEG_CACHE": str(tmp_path / "cache")}
    outcome = run("data", "check", *own, "dataset.val_fraction=0.25", **here)
    assert "nothing wrong in 8 images" in outcome.out, outcome
    outcome = run("data", "stats", *own, "dataset.val_fraction=0.25", "split=val", **here)
    assert outcome.status == 0, outcome
    statistics = json.loads((tmp_path / "runs/data/own/val/statistics.json").read_text())
    assert statistics["images"] == 2
    (tmp_path / "own/labels/train/train0_000.png").write_bytes(b"")
    outcome = run("data", "check", *own, "dataset.val_fraction=0.25", **here)
    assert outcome.status == 1 and "unreadable label (1)" in outcome.out


def test_both_parts_need_names(own, run):
    error = run("train", *own, *TRAINING, "dataset.splits.val=train", "dataset.fold=0/2").error
    assert error.startswith("dataset.splits.train and dataset.splits.val are both train, which is")


@pytest.mark.slow
def test_cross_validation_ends_in_mean_and_interval(own, run, tmp_path):
    outcome = run("train", "-m", *own, *TRAINING, "backbone._target_=gcseg.models.resnet",
                  "dataset.fold=0/2,1/2")  # fmt: skip
    assert outcome.status == 0, outcome
    (sweep,) = (tmp_path / "runs/sweeps").iterdir()
    assert "over folds" in outcome.out and "| folds |" in (sweep / "sweep.txt").read_text()
    assert len(list((tmp_path / "runs").glob("r18-*"))) == 2
