"""Settings that are deleted, or missing in a file: needed ones are named in one line."""

import functools
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from gcseg.builders import data as build_data
from gcseg.builders import devices
from gcseg.builders import model as build
from gcseg.builders import trainer as build_trainer
from gcseg.config.checks import check
from gcseg.config.plain import plain
from gcseg.errors import GcsegError
from gcseg.runs.evaluation_names import evaluation_keys
from gcseg.runs.name import run_name
from tests.running import SCENES, SMALL, TINY, compose

NETWORK = ("backbone", "head", "auxiliary_head", "optim", "inference", "class_weights")
RECORD = {"scales": [1.0], "flip": False, "average": "logits", "window": None, "fit": None}


@functools.cache
def settings():
    return plain(compose("train", *SMALL, *SCENES, "backbone=r18", "head.channels=8"))


def names(group, prefix=""):
    for key, value in group.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from names(value, f"{prefix}{key}.")


@pytest.mark.slow
def test_all_that_is_read_is_needed(data):
    """Whatever the check lets pass builds a training, and names its evaluations."""
    passed = []
    whole = None
    for name in names(settings()):
        cfg = OmegaConf.create({**settings(), "dataset": {**settings()["dataset"]}})
        cfg.dataset.root = str(data / "scenes")
        group, _, last = name.rpartition(".")
        del (OmegaConf.select(cfg, group) if group else cfg)[last]
        OmegaConf.set_struct(cfg, True)
        try:
            check(cfg)
            train = build_data.dataset(cfg, cfg.dataset.splits.train)
            build_data.training_augmentation(cfg, train)
            build_data.evaluation_preprocessing(cfg)
            build_data.cache_folder(cfg)
            build_data.sampling(cfg, train)
            if whole is None or name.partition(".")[0] in NETWORK:
                module = build.module(cfg, train.label_space.names)
                module.configure_optimizers()
                whole = module if whole is None else whole
            else:
                module = whole
            build.modes(cfg)
            devices.images_per_pass(cfg)
            devices.worker_count(cfg)
            build_trainer.training_plan(cfg, module)
            run_name(plain(cfg), train, {})
            evaluation_keys({"none": RECORD}, plain(cfg), plain(cfg), split=cfg.dataset.splits.val)
        except GcsegError:
            continue
        passed.append(name)
    assert passed


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dataset.crop", "dataset.crop is not set: give dataset.crop=..."),
        ("dataset.crop.height", "dataset.crop.height is not set: give dataset.crop.height=..."),
        ("dataset.pad", "dataset.pad is not set: give dataset.pad=..."),
        ("head._target_", "head._target_ is not set: give head._target_=..."),
        ("dataset.splits.train", "dataset.splits.train is not set"),
    ],
)
def test_one_line(train, tmp_path, name, message):
    assert train(f"~{name}").error.startswith(message)
    assert not (tmp_path / "runs").exists()


def test_in_a_file(run, tmp_path):
    content = plain(compose("train", *TINY))
    del content["dataset"]["pad"]
    OmegaConf.save(OmegaConf.create(content), Path(tmp_path / "config.yaml"))
    error = run("train", "--resolved", "config.yaml").error
    assert error == "dataset.pad is not set: give dataset.pad=..."
