"""Names of other frameworks' settings, each answered by what to write here."""

import re

import pytest

from gcseg.config.compose import source_folder
from gcseg.config.foreign_names import TRAINING, USE, _fits, remedy_for
from gcseg.config.table import TABLE

VALUES = ("true", "false", "null", "3", "-1", "0.5", "1e-3", "512", "resnet50", "r.pth", "a/b.pt",
          "cosine", "cuda:0", "[512,512]", "x y", "", "a=b")  # fmt: skip
"""What people give to such names."""


def rows(*commands):
    return [row for row in TABLE if set(commands) & set(row.commands)]


@pytest.mark.parametrize(
    ("names", "commands"), [(TRAINING, ("train",)), (USE, ("eval", "predict"))]
)
def test_each_names_settings_that_there_are(names, commands):
    known = {row.name for row in rows(*commands)}
    unknown = {name for remedy in names.values() for name in re.findall(r"([\w.]+)=", remedy)}
    assert unknown <= known
    assert not set(names) & known, "a setting that there is needs no hint"


@pytest.mark.parametrize(
    ("names", "command"), [(TRAINING, "train"), (USE, "eval"), (USE, "predict")]
)
def test_what_is_suggested_is_accepted(names, command):
    """Whatever the value, each suggested setting exists, and takes the value that is suggested."""
    table = {row.name: row for row in rows(command)}
    suggestions = 0
    for name in names:
        for value in VALUES:
            remedy = remedy_for(name, value, command, rows(command))
            if remedy is None:  # the command has nothing like it
                assert command != "train"
                continue
            assert remedy.startswith(("write ", "leave it out", "give the same")), remedy
            for setting, suggested in re.findall(r"([\w.]+)=([^\s,;:]*)", remedy):
                suggestions += 1
                if suggested not in ("", "..."):
                    option = source_folder("conf") / setting / f"{suggested}.yaml"
                    assert _fits(table[setting], suggested) or option.is_file(), (name, remedy)
    assert suggestions > 50


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("imgsz", "512", "write dataset.crop.height=512 dataset.crop.width=512 for the crops of"),
        ("crop_size", "(512,1024)", "write dataset.crop.height=... dataset.crop.width=... for"),
        ("pretrained", "true", "write backbone.pretrained= with a file or a name of gcseg.weights"),
        ("pretrained", "imagenet", "write backbone.pretrained= with a file or a name of gcseg.w"),
        ("pretrained", "a.pth", "write checkpoint=a.pth for the weights of a whole network, back"),
        ("encoder_name", "resnet34", "write backbone=r50, or with backbone=timm backbone.model=r"),
        ("optim.schedule", "poly", "leave it out: the learning rate has a polynomial decay"),
        ("optim.learning_rate", "0.1", "write optim.lr=0.1"),
        ("max_epochs", "-1", "write epochs=..."),
        ("max_iters", "1e4", "write iters=1e4"),
        ("amp", "false", "leave it out; where it is wanted, write precision=bf16-mixed"),
        ("resume", "true", "give the same command again: an interrupted training resumes"),
        ("lr0", "0.01", "write optim.lr=0.01"),
        ("work-dir", "out", "write run_root=out; the run's folder in it is named by the settings"),
        ("batch", "16", "write batch_size=16, of all devices together"),
        ("num_classes", "3", "leave it out: the classes are those of the dataset, as its classes."),
    ],
)
def test_of_training(name, value, told):
    assert remedy_for(name, value, "train", rows("train")).startswith(told)


def test_of_other_commands():
    """Nothing is said that the command does not have."""
    assert remedy_for("input", "a.png", "predict", rows("predict")) == "write source=a.png"
    assert remedy_for("input", "in", "attention", rows("attention")) == "write source=in"
    assert remedy_for("source", "a.png", "eval", rows("eval")) is None
    assert remedy_for("imgsz", "512", "predict", rows("predict")) is None
    assert remedy_for("nothing", "1", "train", rows("train")) is None
