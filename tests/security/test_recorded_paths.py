"""A file's settings lead to no files outside the dataset's folder, unless the user says so."""

import copy

import numpy as np
import pytest
from PIL import Image

from gcseg.config.recorded import allowed
from gcseg.errors import ConfigError
from tests.running import SMALL, only_run

OWN = "backbone._target_=tests.tiny.backbone"
READER = {"_target_": "gcseg.data.folder.folder", "classes": "classes.yaml"}


def recorded(splits=(), root="/data/mine", **reader):
    splits = {"train": "train", "val": "val", **dict(splits)}
    dataset = {"name": "mine", "root": root, "reader": {**READER, **reader}, "splits": splits}
    return {"dataset": dataset}


LEADING = [
    (recorded(images="/etc/{split}.txt"), "images"),
    (recorded(images="../{split}.txt"), "images"),
    (recorded(images="a/../../b"), "images"),
    (recorded(images="/data/mine2/images"), "images"),
    (recorded(labels="~/../x"), "labels"),
    (recorded(classes="/home/me/.ssh/config"), "classes"),
    (recorded(split_list="/etc/passwd"), "split_list"),
    (recorded(label_ending="/../../x"), "label_ending"),
    (recorded(bands=["B2/{name}.tif", "/etc/{name}"]), "bands"),
    (recorded(outside=True), "outside"),
    (recorded(outside="true"), "outside"),
    (recorded(mine={"deep": "../x"}), "mine"),
]


@pytest.mark.parametrize(("config", "name"), LEADING)
def test_what_leads_out_of_the_root_is_refused(config, name):
    before = copy.deepcopy(config)
    with pytest.raises(ConfigError) as caught:
        allowed(config, [], "it.ckpt")
    assert "is not followed because a file says it" in caught.value.cause
    assert f"dataset.reader.{name}=" in caught.value.remedy
    assert allowed(config, ["trust=true"], "it.ckpt")["dataset"] == config["dataset"]
    assert allowed(config, ["dataset=camvid"], "it.ckpt")
    assert allowed(config, ["--cfg", "job"], "it.ckpt")["dataset"] == config["dataset"]
    kept = allowed(config, [], "it.ckpt", reads_data=False)["dataset"]["reader"]
    assert kept == {key: value for key, value in config["dataset"]["reader"].items() if key != name}
    assert config == before


def test_what_the_user_repeats_is_followed():
    config = recorded(images="/lists/{split}.txt", outside=True)
    with pytest.raises(ConfigError) as caught:
        allowed(config, [], "it.ckpt")
    wanted = "dataset.reader.images='/lists/{split}.txt' dataset.reader.outside=true"
    assert f"give {wanted} on the command line, or trust=true" in caught.value.remedy
    with pytest.raises(ConfigError, match=r"reader\.outside=true, which leads"):
        allowed(config, ["dataset.reader.images='/lists/{split}.txt'"], "it.ckpt")
    assert allowed(config, wanted.split(), "it.ckpt")
    assert allowed(recorded(bands=["../{name}.tif"]), ["dataset.reader.bands=['{name}.tif']"], "")


def test_what_stays_below_the_root_is_followed():
    """Also as an absolute path, while the root is the recorded one."""
    inside = recorded({"test": "a..b"}, images="{split}/*/img..jpg", labels="/data/mine/labels")
    assert allowed(inside, [], "it.ckpt")["dataset"] == inside["dataset"]
    with pytest.raises(ConfigError, match=r"reader\.labels=/data/mine/labels, which leads out"):
        allowed(inside, ["dataset.root=/elsewhere"], "it.ckpt")
    at_top = recorded(root="/", labels="/labels")
    assert allowed(at_top, [], "it.ckpt")["dataset"] == at_top["dataset"]


def test_a_split_that_leads_out_is_refused_by_every_command():
    for split in ("../private", "/etc", "a/../..", "a/", ".", ""):  # as with images=.{split}
        for reads_data in (True, False):
            with pytest.raises(ConfigError) as caught:
                allowed(recorded({"val": split}), [], "it.ckpt", reads_data=reads_data)
            assert "dataset.splits.val=" in caught.value.cause


def test_a_run_with_ones_own_list_elsewhere(run, tmp_path):
    """It is resumed by its command; what reads its settings wants the list, or trust, again."""
    root = tmp_path / "mine"
    for name in "ab":
        for folder, shape in (("images", (64, 64, 3)), ("labels", (64, 64))):
            path = root / folder / "all" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros(shape, np.uint8)).save(path)
    (root / "classes.yaml").write_text("classes: [road, car]")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "all.txt").write_text("a\nb\n")
    setting = f"dataset.reader.split_list={tmp_path}/lists/{{split}}.txt"
    data = ("dataset=folder", f"dataset.root={root}", setting,
            "dataset.splits.train=all", "dataset.splits.val=all")  # fmt: skip
    for _ in range(2):
        trained = run("train", OWN, *SMALL, *data, "iters=1", "report=true")
        assert trained.status == 0, trained.err
    folder = only_run(tmp_path / "runs")
    assert (folder / "report.html").is_file()
    checkpoint = (f"checkpoint={folder}", "trust=false", OWN)
    error = run("eval", *checkpoint).error
    assert f"says dataset.reader.split_list={tmp_path}/lists/{{split}}.txt, which leads" in error
    assert "give dataset.reader.split_list=" in error and "or trust=true" in error
    for given in ((*checkpoint, setting), (f"checkpoint={folder}", "trust=true")):
        outcome = run("eval", *given)
        assert outcome.status == 0, outcome.err
    outcome = run("predict", *checkpoint, f"source={root}/images/all", "output=out")
    assert outcome.status == 0, outcome.err
    refused = run("predict", *checkpoint, f"source={root}/images/all", "mask_values=dataset").error
    assert "which leads out of dataset.root" in refused
