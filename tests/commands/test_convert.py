"""python -m gcseg.data convert as a user runs it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from gcseg.data.convert.write import FORMS
from gcseg.data.folder import camvid, folder
from gcseg.data.label_spaces import LabelSpace
from tests.data.convert import exports
from tests.data.trees import picture, write
from tests.running import SCENES, SMALL

BACK = {"coco": "coco", "coco_polygons": "coco", "labelme": "labelme",
        "label_studio": "label_studio"}  # fmt: skip


@pytest.fixture
def convert(run):
    return lambda *arguments, **options: run("data", "convert", *arguments, **options)


@pytest.fixture
def own(tmp_path):
    """A dataset with ignored pixels, in two splits, one of which has folders."""
    classes = "classes: [road, 'two words', {name: car, value: 2}]\nignore: [9]"
    root = tmp_path / "own"
    for split, names in {"train": ("a", "b"), "val": ("x/a", "y/a")}.items():
        for number, name in enumerate(names):
            random = np.random.default_rng(number)
            small = random.choice(np.array([0, 1, 2, 9], np.uint8), (5, 6))
            write(root / "images" / split / f"{name}.png", picture(number, 35, 37))
            mask = np.kron(small, np.ones((7, 7), np.uint8))[:, :37]
            mask[3, 5], mask[20:22, 20:23] = 1, 9
            write(root / "labels" / split / f"{name}.png", mask)
    (root / "classes.yaml").write_text(classes)
    return root


@pytest.mark.parametrize("form", FORMS)
def test_masks_come_back_to_the_pixel(convert, own, tmp_path, form):
    given = ("dataset=folder", f"dataset.root={own}", "tolerance=0")
    outcome = convert(f"to={form}", *given, "output=tool")
    assert outcome.status == 0, outcome
    assert (
        "train: 2 pictures" in outcome.out and "convert back with unlabelled=ignore" in outcome.out
    )
    outcome = convert(f"format={BACK[form]}", "source=tool", "output=back", "unlabelled=ignore")
    assert outcome.status == 0, outcome
    for split in ("train", "val"):
        before, after = folder(own, split), folder(tmp_path / "back", split)
        assert after.label_space.names == before.label_space.names
        assert [one.name for one in after.pairs] == [one.name for one in before.pairs]
        for index in range(len(before)):
            for one, other in zip(before.read(index), after.read(index), strict=True):
                assert (one == other).all()


def test_predictions_can_be_corrected(convert, run, training, tmp_path):
    checkpoint = f"checkpoint={training.folder}"
    outcome = run("predict", checkpoint, "limit=2", "output=found")
    assert outcome.status == 0, outcome
    found = tmp_path / "found"
    assert (found / "masks.yaml").is_file()
    outcome = convert(f"source={found}", "to=label_studio", "output=tasks", *SCENES,
                      "image_url=http://here/", "pictures=none")  # fmt: skip
    assert outcome.status == 0, outcome
    assert "pictures: scenes val" in outcome.out and "val: 2 pictures" in outcome.out
    tasks = json.loads((tmp_path / "tasks" / "tasks.json").read_text())
    assert len(tasks) == 2 and tasks[0]["data"]["image"].startswith("http://here/images/val/")
    interface = (tmp_path / "tasks" / "label_config.xml").read_text()
    for result in tasks[0]["predictions"][0]["result"]:
        assert f'value="{result["value"]["brushlabels"][0]}"' in interface
    assert not (tmp_path / "tasks" / "images").exists()
    write(tmp_path / "pics" / "other.png", picture(1))
    error = convert(f"source={found}", "images=pics", "to=coco", "output=b").error
    assert error.startswith("2 of 2 masks have no picture of their name in pics, such as")


def test_a_conversion_trains(convert, run, own):
    assert convert("to=labelme", "dataset=folder", f"dataset.root={own}", "output=tool").status == 0
    outcome = convert("format=labelme", "source=tool", "output=my_data", "unlabelled=background")
    assert outcome.status == 0 and "train with dataset=folder dataset.root=my_data" in outcome.out
    outcome = run("train", "backbone._target_=tests.tiny.backbone", *SMALL, "dataset=folder",
                  "dataset.root=my_data", "iters=1", "val_every=1", "tta=none")  # fmt: skip
    assert outcome.status == 0, outcome


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "format=null and to=null: give format= to read a tool's annotations, or to="),
        (("format=coco", "to=coco"), "format=coco and to=coco: give format="),
        (("format=coco", "source=here"), "output=null: give the folder"),
        (("format=coco", "output=a"), "source=null: give the folder or file"),
        (("format=coco", "output=a", "source=[b,c]"), "source=['b', 'c']: give one"),
        (("format=coco", "output=a", "source=gone"), "source=gone does not exist"),
        (("format=voc", "output=a", "source=.", "pictures=none"), "pictures=none: use copy or"),
        (("format=rgb", "output=a", "source=."), "format=rgb needs the classes' colours"),
        (("to=coco", "output=a", "source=."), ". has no masks.yaml"),
        (("to=coco", "output=a", "source=.", "classes=[a,b]"), "no masks in ."),
        (("format=word", "output=a"), "format=word: use one of labelme, coco"),
        (("format=coco", "unlabelled=car"), "unlabelled=car: use ignore or background"),
        (("format=coco", "classes=[1,2]"), "classes=[1,2]: give"),
    ],
)
def test_wrong_settings(convert, given, message, tmp_path):
    assert convert(*given).error.startswith(message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.camvid
@pytest.mark.skipif(
    not (Path(os.environ.get("GCSEG_DATA", "data")) / "camvid" / "train").is_dir(),
    reason="CamVid is not in GCSEG_DATA",
)
def test_camvid_comes_back_from_every_tool(convert, tmp_path):
    dataset = camvid(Path(os.environ["GCSEG_DATA"]) / "camvid", "train").first(2)
    space = LabelSpace(dataset.label_space.names, dataset.label_space.colors)
    samples = {}
    for index in range(2):
        image, label = dataset.read(index)
        samples[dataset.pairs[index].name] = image[100:220, 200:380], label[100:220, 200:380]
    exports.cvat_export(tmp_path / "cvat", samples, space)
    exports.supervisely_export(tmp_path / "supervisely", samples, space)
    exports.yolo_export(tmp_path / "yolo", samples, space)
    exports.voc_export(tmp_path / "voc", samples, space)
    for form in ("cvat", "supervisely", "voc", "yolo"):
        outcome = convert(f"format={form}", f"source={form}", f"output={form}_back",
                          "unlabelled=ignore")  # fmt: skip
        assert outcome.status == 0, outcome
        found = folder(tmp_path / f"{form}_back", "train")
        for index, pair in enumerate(found.pairs):
            label, mask = found.read(index)[1], samples[pair.name][1]
            assert (label == mask)[mask != 255].all()
            assert form == "yolo" or (label == mask).all()
