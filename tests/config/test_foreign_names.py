"""Names of other frameworks' settings, each answered by what to write here."""

import re

import pytest

from gcseg.config.foreign_names import TRAINING, USE, remedy_for
from gcseg.config.table import TABLE


def settings(*commands):
    return {row.name for row in TABLE if set(commands) & set(row.commands)}


@pytest.mark.parametrize(
    ("names", "commands"), [(TRAINING, ("train",)), (USE, ("eval", "predict"))]
)
def test_each_names_settings_that_there_are(names, commands):
    known = settings(*commands)
    unknown = {name for remedy in names.values() for name in re.findall(r"([\w.]+)=", remedy)}
    assert unknown <= known
    assert not set(names) & known, "a setting that there is needs no hint"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("imgsz", "512", "write dataset.crop.height=512 dataset.crop.width=512 for the crops of"),
        ("crop_size", "(512,1024)", "write dataset.crop.height=... dataset.crop.width=... for"),
        ("resume", "true", "give the same command again: an interrupted training resumes"),
        ("lr0", "0.01", "write optim.lr=0.01"),
        ("work-dir", "out", "write run_root=out; the run's folder in it is named by the settings"),
        ("batch", "16", "write batch_size=16, of all devices together"),
        ("num_classes", "3", "leave it out: the classes are those of the dataset, as its classes."),
    ],
)
def test_of_training(name, value, told):
    assert remedy_for(name, value, "train", settings("train")).startswith(told)


def test_of_other_commands():
    """Nothing is said that the command does not have."""
    assert remedy_for("input", "a.png", "predict", settings("predict")) == "write images=a.png"
    assert remedy_for("source", "a.png", "eval", settings("eval")) is None
    assert remedy_for("imgsz", "512", "predict", settings("predict")) is None
    assert remedy_for("nothing", "1", "train", settings("train")) is None
