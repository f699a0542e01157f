"""The checks of settings, one by one; test_commands.py has them through the commands."""

import pytest
from omegaconf import OmegaConf

from gcseg.config.checks import check, expand_home
from gcseg.config.plain import plain
from gcseg.config.row import as_given
from gcseg.errors import ConfigError
from tests.running import compose


@pytest.fixture(scope="module")
def cfg():
    return compose()


def changed(cfg, key, value):
    cfg = cfg.copy()
    OmegaConf.update(cfg, key, value, force_add=True)
    return cfg


def refusal(cfg, key, value, command="train"):
    with pytest.raises(ConfigError) as error:
        check(changed(cfg, key, value), command)
    return str(error.value)


def test_the_files_are_right(cfg):
    check(cfg)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("iters", 0, "give a whole number of optimizer steps, 1 or more"),
        ("iters", 2.5, "give a whole number of optimizer steps, 1 or more"),
        ("iters", True, "give a whole number of optimizer steps, 1 or more"),
        ("iters", 10**12, "give a whole number of optimizer steps, at most 1,000,000,000"),
        ("batch_size", "two", "give a whole number of images, 1 or more"),
        ("seed", -1, "give a whole number, 0 or more"),
        ("seed", 2**32, "give a whole number, at most 4,294,967,295"),
        ("accumulate", 0, "give a whole number, 1 or more"),
        ("val_every", 0, "give a whole number of optimizer steps, 1 or more"),
        ("log_every", None, "give a whole number of optimizer steps, 1 or more"),
        ("num_nodes", 0, "give a whole number of machines, 1 to 10,000"),
        ("devices", 0, "give a whole number of devices, 1 to 1,024, or auto"),
        ("devices", "all", "give a whole number of devices, 1 to 1,024, or auto"),
        ("num_workers", -1, "give a whole number of loader processes, 0 to 256, or auto"),
        ("num_workers", 99999999, "give a whole number of loader processes, 0 to 256, or auto"),
        ("precision", 64, "use one of 32, bf16-mixed, 16-mixed"),
        ("accelerator", "tpu", "use one of auto, cpu, gpu, cuda, mps"),
        ("tta.average", "votes", "use logits or probabilities"),
        ("tta.modes.none.scales", [0.001], "give a list of numbers, 0.1 to 8"),
        ("dataset.crop.height", 16, "give a whole number of pixels, 32 to 4,096"),
        ("dataset.crop.width", 5000, "give a whole number of pixels, 32 to 4,096"),
        ("dataset.crop.width", "512", "give a whole number of pixels, 32 to 4,096"),
        ("dataset.pad.height", -1, "give a whole number of pixels, 0 to 8,192"),
        ("dataset.pad.width", 10**7, "give a whole number of pixels, 0 to 8,192"),
        ("dataset.root", 2024, "give a path; write digits alone as ./2024"),
        ("dataset.root", ["a", "b"], "give a path"),
        ("run_root", "", "give a path"),
        ("run_root", None, "give a path"),
        ("dataset.name", "../up", "give a name without /"),
        ("optim.lr", "abc", "give a number above 0"),
        ("optim.lr", True, "give a number above 0"),
        ("optim.lr", float("nan"), "give a number above 0"),
        ("optim.lr", 0, "give a number above 0"),
        ("optim.momentum", 5, "give a number, 0 or more and below 1"),
        ("optim.end_lr", -1, "give a number, 0 or more"),
        ("optim.warmup_iters", -1, "give a whole number of optimizer steps, 0 or more"),
        ("ema.decay", 1, "give a number between 0 and 1, or null"),
        ("auxiliary_weight", -1, "give a number, 0 to 100"),
        ("auxiliary_weight", None, "give a number, 0 to 100"),
        ("augment.flip", 2, "give a number, 0 to 1"),
        ("trainer.gradient_clip_val", -1, "give a number, 0 or more, or null"),
        ("fresh", 1, "give true or false"),
        ("strict", None, "give true or false"),
        ("channels_last", "yes", "give true or false"),
        ("normalize.mean", 3, "give a list of numbers, 0 to 1"),
        ("normalize.std", ["a"], "give a list of numbers above 0, at most 1"),
        ("normalize.std", [], "give a list of numbers above 0, at most 1"),
        ("inference", 5, "choose one, as inference=whole"),
        ("dataset.crop", 5, "set dataset.crop.height, dataset.crop.width"),
        ("ema", None, "set ema.decay, ema.warmup"),
        ("dataset.fit", 1, "set dataset.fit.long, dataset.fit.short, or null"),
        ("iters", {"a": 1}, "give a whole number of optimizer steps, 1 or more"),
        ("head.dropout", {"a": 1}, "give a number, 0 or more and below 1"),
    ],
)  # fmt: skip
def test_wrong_values(cfg, key, value, message):
    assert refusal(cfg, key, value) == f"{key}={as_given(value)}: {message}"


@pytest.mark.parametrize(
    ("key", "value"),
    [("devices", "auto"), ("num_workers", "auto"), ("num_workers", 0), ("seeds", None),
     ("precision", "32"), ("dataset.crop.height", 32), ("dataset.crop.width", 4096),
     ("optim.lr", 1), ("precision", "bf16-mixed"), ("backbone.pretrained", None),
     ("trainer.gradient_clip_val", 0.5), ("inference.window", None), ("augment.color", None),
     ("tta.modes.mine", {"scales": [2], "flip": True}), ("dataset.splits.test", "test"),
     ("augment.extra.turn", {"_target_": "albumentations.Rotate", "limit": 3})],
)  # fmt: skip
def test_right_values(cfg, key, value):
    check(changed(cfg, key, value))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), ([1, "a", None], "[1,a,null]"), ({"a": 1}, "{a: 1}"),
     (float("nan"), "nan"), ("a" * 1000, "a" * 60 + "..."), ("\x1b[31m", "\\x1b[31m"),
     (10**100, "a huge number"), ([0] * 1000, "[" + "0," * 29 + "0...")],
)  # fmt: skip
def test_values_as_they_are_given(value, text):
    assert as_given(value) == text


@pytest.mark.parametrize(
    ("key", "command", "message"),
    [
        ("limit", "train", "leave it out; it is one of gcseg.attention, gcseg.predict"),
        ("dataset.pads", "train", "did you mean dataset.pad?"),
        ("optim.nesterov", "train", "use one of optim._target_, optim.lr, "),
        ("surprise", "train", "leave it out; --cfg job lists all settings"),
    ],
)
def test_nothing_is_left_unread(cfg, key, command, message):
    start = f"{key}=1 is not a setting of gcseg.{command}: {message}"
    assert refusal(cfg, key, 1, command).startswith(start)


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("iters", "give iters=..."),
        ("head", "choose one, as head=gc"),
        ("optim", "choose one, as optim=sgd"),
        ("augment.flip", "give augment.flip=..."),
        ("dataset.name", "give dataset.name=..."),
        ("backbone.name", "give backbone.name=..."),
        ("optim._target_", "give optim._target_=..."),
    ],
)
def test_what_is_missing_is_named(cfg, key, remedy):
    cfg = cfg.copy()
    OmegaConf.set_struct(cfg, False)
    group, _, name = key.rpartition(".")
    del (cfg[group] if group else cfg)[name]
    with pytest.raises(ConfigError) as error:
        check(cfg)
    assert str(error.value) == f"{key} is not set: {remedy}"


def test_settings_of_a_callable_of_your_own_are_its_own(cfg):
    mine = {"name": "mine", "_target_": "mine.backbone", "width": -3, "depth": "deep"}
    check(changed(cfg, "backbone", mine))
    assert refusal(cfg, "backbone", {**mine, "name": None}) == "backbone.name=null: " + (
        "give a name without /"
    )
    assert refusal(cfg, "backbone", {**mine, "_target_": 5}).startswith("backbone._target_=5: give")
    theirs = {**mine, "_target_": "gcseg.models.resnet", "depth": 18}
    assert refusal(cfg, "backbone", theirs).startswith("backbone.width=-3 is not a setting of")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optim.warmup_iters": 401}, "optim.warmup_iters=401 with iters=400: give at most 400"),
        ({"class_weights": [0, 0]}, "class_weights=[0, 0]: give one above 0, or null"),
        ({"augment.scale.min": 3}, "augment.scale from 3 to 2.0: give 0 < min <= max"),
        ({"dataset.fit.short": 9}, "dataset.fit.long=null with dataset.fit.short=9: give both"),
        ({"strategy": "fsdp", "compile": True}, "compile=true with strategy=fsdp: use strategy"),
        ({"seeds": 3}, "seeds=3 in a file: give it on the command line"),
        (
            {"inference": {"window": {"height": 64, "width": 64, "stride_height": 65,
                                      "stride_width": None}}},
            "inference.window.stride_height=65 with a height of 64: give at most 64",
        ),
    ],
)  # fmt: skip
def test_what_settings_ask_of_one_another(cfg, changes, message):
    for key, value in changes.items():
        cfg = changed(cfg, key, value)
    with pytest.raises(ConfigError) as error:
        check(cfg)
    assert str(error.value).startswith(message)


def test_home_is_where_a_path_begins(cfg, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    cfg = cfg.copy()
    cfg.run_root, cfg.dataset.root, cfg.backbone.name = "~/runs", "~", "~"
    expand_home(cfg, "train")
    assert (cfg.run_root, cfg.dataset.root) == ("/home/me/runs", "/home/me")
    assert cfg.backbone.name == "~", "which is no path"


def test_plain_resolves(cfg):
    values = plain(cfg)
    assert values["iters"] == cfg.dataset.iters
    assert type(values["dataset"]["crop"]) is dict


def test_the_weights_of_a_hub_are_timms():
    cfg = compose("train", "backbone.pretrained=true")
    with pytest.raises(
        ConfigError, match=r"weights list, as backbone\.pretrained=paddleseg/resnet50"
    ):
        check(cfg)
    check(compose("train", "backbone=timm", "backbone.pretrained=true"))
