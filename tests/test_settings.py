"""The checks of settings, one by one; test_commands.py has them through the commands."""

import pytest
from omegaconf import OmegaConf

from gcseg.errors import ConfigError
from gcseg.settings import check, check_types, leaves, plain
from tests.commands import compose


@pytest.fixture(scope="module")
def cfg():
    return compose()


def changed(cfg, key, value):
    cfg = cfg.copy()
    OmegaConf.update(cfg, key, value, force_add=True)
    return cfg


def test_the_files_are_right(cfg):
    check(cfg)
    check_types(cfg, cfg)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("iters", 0, "iters=0: give a whole number, 1 or more"),
        ("iters", 2.5, "iters=2.5: give a whole number, 1 or more"),
        ("iters", True, "iters=True: give a whole number, 1 or more"),
        ("batch_size", "two", "batch_size=two: give a whole number, 1 or more"),
        ("seed", -1, "seed=-1: give a whole number, 0 or more"),
        ("accumulate", 0, "accumulate=0: give a whole number, 1 or more"),
        ("val_every", 0, "val_every=0: give a whole number, 1 or more"),
        ("log_every", None, "log_every=None: give a whole number, 1 or more"),
        ("num_nodes", 0, "num_nodes=0: give a whole number, 1 or more"),
        ("devices", 0, "devices=0: give auto or a whole number from 1"),
        ("devices", "all", "devices=all: give auto or a whole number from 1"),
        ("num_workers", -1, "num_workers=-1: give auto or a whole number from 0"),
        ("limit", 0, "limit=0: give a whole number of images, 1 or more"),
        ("precision", 64, "precision=64: use one of 32, bf16-mixed, 16-mixed"),
        ("accelerator", "tpu", "accelerator=tpu: use one of auto, cpu, gpu, cuda, mps"),
        ("tta.average", "votes", "tta.average=votes: use logits or probabilities"),
        ("dataset.crop.height", 16, "dataset.crop.height=16: give a whole number of pixels, 32 to"),
        ("dataset.crop.width", 5000, "dataset.crop.width=5000: give a whole number of pixels, 32"),
        ("dataset.crop.width", "512", "dataset.crop.width=512: give a whole number of pixels"),
    ],
)
def test_wrong_values(cfg, key, value, message):
    with pytest.raises(ConfigError) as error:
        check(changed(cfg, key, value))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("key", "value"),
    [("devices", "auto"), ("num_workers", "auto"), ("num_workers", 0), ("limit", None),
     ("precision", "32"), ("dataset.crop.height", 32), ("dataset.crop.width", 4096)],
)  # fmt: skip
def test_right_values(cfg, key, value):
    check(changed(cfg, key, value))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optim.lr", "abc", "optim.lr=abc: give a number, as in optim.lr=0.01"),
        ("optim.lr", True, "optim.lr=True: give a number, as in optim.lr=0.01"),
        ("fresh", 1, "fresh=1: give true or false"),
        ("channels_last", "yes", "channels_last=yes: give true or false"),
        ("normalize.mean", 3, "normalize.mean=3: give numbers, as in normalize.mean=["),
        ("normalize.std", ["a"], "normalize.std=['a']: give numbers"),
        ("normalize.std", [], "normalize.std=[]: give numbers"),
        ("auxiliary_weight", None, "auxiliary_weight=None: give a number, as in auxiliary_weight"),
        ("strict", None, "strict=null: give true or false"),
    ],
)
def test_wrong_kinds(cfg, key, value, message):
    with pytest.raises(ConfigError) as error:
        check_types(changed(cfg, key, value), cfg)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("key", "value"), [("optim.lr", 1), ("precision", "bf16-mixed"), ("backbone.pretrained", None)]
)
def test_right_kinds(cfg, key, value):
    check_types(changed(cfg, key, value), cfg)


def test_leaves(cfg):
    names = list(leaves(cfg))
    assert {"iters", "dataset.crop.height", "tta.modes.none.flip", "inference.window"} <= set(names)
    assert "dataset" not in names and "dataset.crop" not in names


def test_plain_resolves(cfg):
    values = plain(cfg)
    assert values["iters"] == cfg.dataset.iters
    assert type(values["dataset"]["crop"]) is dict
