"""Every file under conf/ and experiments/ composes, and what it names can be made."""

import inspect
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import get_method
from omegaconf import OmegaConf

from gcseg.builders import data as build_data
from gcseg.builders import model as build
from gcseg.config.checks import check
from gcseg.config.compose import source_folder
from gcseg.config.plain import plain
from gcseg.config.published_rows import rows
from gcseg.config.recorded import GROUPS
from gcseg.config.trained import (
    described_config,
    find_checkpoint,
    offer_trained_options,
    recorded_config,
)
from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import CITYSCAPES, CITYSCAPES_LABEL_IDS, VOC
from gcseg.engine.callbacks.panel import Panel
from gcseg.errors import ConfigError, WeightsError
from gcseg.runs.folder import RunFolder, run_folder_of
from gcseg.runs.name import run_name
from gcseg.weights.architecture import without_values
from tests.running import TINY, compose, start

OPTIONS = {
    "augment": {"mmseg", "published"},
    "auxiliary_head": {"fcn", "none"},
    "backbone": {"r18", "r34", "r50", "r101", "r152", "timm"},
    "dataset": {"ade20k", "camvid", "cityscapes", "folder", "scenes", "voc"},
    "head": {"ccnet", "danet", "deeplabv3plus", "fcn", "gc", "ocr", "psp", "upernet"},
    "inference": {"slide", "whole"},
    "logger": {"csv", "tensorboard", "wandb"},
    "loss": {"ce_dice", "ce_lovasz", "cross_entropy", "dice", "focal", "lovasz", "ohem", "tversky"},
    "normalize": {"half", "imagenet", "protocol"},
    "protocol": {"mmseg", "paddleseg"},
    "optim": {"adamw", "sgd"},
    "tta": {"all", "flip", "msflip", "none"},
}
"""Users' scripts rely on these names: do not take one away."""

EXPERIMENTS = {
    "ablation": {
        "context_block",
        "context_ratio",
        "rare_baseline",
        "rare_class_weights",
        "rare_ohem",
        "rare_ce_dice",
        "rare_crop",
    },
    "recipe": {"mmseg"},
    "small": {"camvid_r18", "demo"},
    "sweep": {"backbone_iters_tta", "camvid_rare"},
}

ROWS = {
    f"{source}_{backbone}_{data}"
    for backbone in ("r50", "r101")
    for source, rows in {
        "paddleseg": "cityscapes voc",
        "mmseg": "cityscapes_512x1024_40k cityscapes_512x1024_80k cityscapes_769x769_40k "
        "cityscapes_769x769_80k voc_20k voc_40k ade20k_80k ade20k_160k",
    }.items()
    for data in rows.split()
}
"""Names of `published=` from before it had other networks than GCNet."""

SETTINGS = {
    *("iters", "batch_size", "seed", "devices", "num_nodes", "accelerator", "precision"),
    *("run_root", "num_workers", "val_every", "log_every", "accumulate", "fresh", "compile"),
}


def files(folder: str) -> list[str]:
    root = source_folder(folder)
    return sorted(
        path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml")
    )


GROUP_FILES = [name for name in files("conf") if "/" in name] + files("experiments")


def with_root(option: str) -> list[str]:
    return ["dataset.root=/data/mine"] if option == "dataset=folder" else []


@pytest.mark.parametrize("folder, promised", [("conf", OPTIONS), ("experiments", EXPERIMENTS)])
def test_options_keep_their_names(folder, promised):
    there: dict[str, set[str]] = {}
    for name in files(folder):
        if "/" in name:
            group, option = name.rsplit("/", 1)
            there.setdefault(group, set()).add(option)
    for group, options in promised.items():
        assert options <= there.get(group, set()), group


def test_rows_keep_their_names():
    assert set(rows()) >= ROWS


def test_settings_keep_their_names():
    offer_trained_options([])
    assert set(compose()) >= SETTINGS | set(OPTIONS)
    assert set(compose("eval")) >= {"checkpoint", "split", "run_root", "tta", "inference"}
    assert set(compose("predict")) >= {"checkpoint", "split", "images", "output", "limit", "tta"}


SHAPES: dict[str, list[torch.Size | None]] = {}
"""Shapes of logits by the network's description: most files are of the same few networks."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.timm) if name == "backbone/timm" else name
        for name in GROUP_FILES
    ],
)
def test_every_file_composes_and_what_it_describes_is_made(name):
    nested = name.startswith("ablation/")  # its options may be in folders
    option = "=".join(name.split("/", 1) if nested else name.rsplit("/", 1))
    head = ["head=fcn"] if option.startswith("context=") else []  # which takes such a block
    cfg = compose("train", option, *head, *with_root(option))
    check(cfg)
    plain(cfg)
    blocks = [part.get("context") for part in (cfg.backbone, cfg.head)]
    blocks = [block.name if block is not None and block._target_ else "" for block in blocks]
    inserted, block = (sign + name if name else "" for sign, name in zip("+-", blocks, strict=True))
    network = f"{cfg.backbone.name}{inserted}-{cfg.head.name}{block}"
    assert name_of(cfg).startswith(f"{network}-{cfg.dataset.name}-")
    with without_values():  # shapes alone: nothing is computed or filled
        network = build.model(cfg, num_classes=19)
        if repr(network) not in SHAPES:
            outputs = network(torch.zeros(2, 3, 64, 64), auxiliary=True)
            SHAPES[repr(network)] = [None if one is None else one.shape for one in outputs]
    logits, auxiliary, *branches = SHAPES[repr(network)]
    assert all(one == (2, 19, 64, 64) for one in (logits, *branches))
    assert (auxiliary is None) == (cfg.auxiliary_head._target_ is None)
    optimizer, _ = build.optimizer(cfg, network)
    assert optimizer.param_groups[0]["lr"] > 0
    reader = {key: value for key, value in plain(cfg.dataset.reader).items() if key != "_target_"}
    inspect.signature(get_method(cfg.dataset.reader._target_)).bind(root="r", split="s", **reader)
    assert set(cfg.dataset) >= {"name", "root", "splits", "crop", "pad", "iters", "batch_size"}
    assert all(mode.scales for mode in build.modes(cfg).values())
    window = build.sliding_window(cfg)
    assert (window is None) == (cfg.inference.window is None)


def test_logger_targets_exist():
    for name in OPTIONS["logger"] - {"csv"}:
        logger = plain(compose("train", f"logger={name}").logger)
        target, panel = get_method(logger.pop("_target_")), logger.pop("panel")
        inspect.signature(target).bind(folder=Path("a"), config={}, sweep=None, **logger)
        inspect.signature(Panel).bind(None, validations=1, **panel)


@pytest.mark.parametrize("command", ["eval", "predict"])
@pytest.mark.parametrize("option", ["dataset=voc", "dataset=folder", "backbone=r50", "head=fcn"])
def test_an_option_takes_the_place_of_the_trained_one(command, option):
    offer_trained_options([])
    group, name = option.split("=")
    given = {"backbone": "r18", "head": "gc", "auxiliary_head": "fcn", "dataset": "voc",
             "protocol": "mmseg", "normalize": "protocol", "inference": "whole"}  # fmt: skip
    given[group] = name
    overrides = [f"{key}={value}" for key, value in given.items()]
    cfg = compose(command, "checkpoint=a.ckpt", *overrides, *with_root(option))
    check(cfg, command)
    assert cfg[group].get("name", name) in (name, "mine")


def test_sliding_window_is_the_crop_with_steps_of_two_thirds():
    cfg = compose("train", "dataset=cityscapes", "inference=slide")
    window = build.sliding_window(cfg)
    assert (window.height, window.width) == (512, 1024)
    assert (window.stride_height, window.stride_width) == (341, 683)


@pytest.mark.parametrize(
    ("option", "paper"),
    [
        ("paddleseg_r50_cityscapes", ("r50", "cityscapes", 80000, 8, 512, 1024)),
        ("paddleseg_r101_cityscapes", ("r101", "cityscapes", 80000, 8, 512, 1024)),
        ("paddleseg_r50_voc", ("r50", "voc", 40000, 16, 512, 512)),
        ("paddleseg_r101_voc", ("r101", "voc", 40000, 16, 512, 512)),
    ],
)
def test_published_recipes(option, paper):
    cfg = compose("train", f"published={option}")
    crop = cfg.dataset.crop
    assert paper == (
        *(cfg.backbone.name, cfg.dataset.name, cfg.iters, cfg.batch_size),
        *(crop.height, crop.width),
    )
    assert (cfg.optim.lr, cfg.optim.momentum, cfg.optim.weight_decay) == (0.01, 0.9, 4e-5)
    assert (cfg.backbone.output_stride, cfg.auxiliary_weight) == (8, 0.4)
    assert set(cfg.tta.modes) == {"none", "flip", "msflip"}


def test_the_command_line_wins_over_an_experiment():
    cfg = compose("train", "small=demo", "iters=7", "backbone=r50", "tta=none")
    assert (cfg.iters, cfg.backbone.depth, list(cfg.tta.modes)) == (7, 50, ["none"])
    assert cfg.head.channels == 128, "the rest is the experiment's"


def name_of(cfg, pictures=("a", "b"), space=CITYSCAPES, weights=None):
    pairs = [Pair(name, Path(name), None, space) for name in pictures]
    return run_name(plain(cfg), SegmentationDataset(pairs, space, "somewhere"), weights or {})


def test_other_pictures_or_classes_another_name(tiny_name):
    cfg = compose("train", *TINY)
    assert name_of(cfg) == tiny_name
    assert name_of(cfg, pictures=("a", "c")) != tiny_name
    assert name_of(cfg, space=VOC) != tiny_name
    assert name_of(cfg, space=CITYSCAPES_LABEL_IDS) != tiny_name


def test_other_starting_weights_another_name(tiny_name, tmp_path):
    cfg = compose("train", *TINY)
    for name, content in {"a": b"1", "b": b"2", "copy of a": b"1"}.items():
        (tmp_path / name).write_bytes(content)
    a, b, copy = (name_of(cfg, weights={"backbone": tmp_path / n}) for n in ("a", "b", "copy of a"))
    assert len({tiny_name, a, b}) == 3
    assert a == copy, "what is in the file counts, not where it is"
    assert name_of(cfg, weights={"checkpoint": tmp_path / "a"}) not in (tiny_name, a)


def test_data_is_below_gcseg_data(monkeypatch):
    monkeypatch.delenv("GCSEG_DATA", raising=False)
    assert compose("train", "dataset=voc").dataset.root == "data/voc"
    monkeypatch.setenv("GCSEG_DATA", "/elsewhere")
    assert compose("train", "dataset=camvid").dataset.root == "/elsewhere/camvid"


def test_own_data_has_the_name_of_its_folder():
    assert compose("train", "dataset=folder", "dataset.root=/my/roads/").dataset.name == "roads"


@pytest.fixture(scope="module")
def tiny_name():
    name = name_of(compose("train", *TINY))
    assert re.fullmatch(r"r18-gc-scenes-3it-s0-[0-9a-f]{8}", name)
    return name


@pytest.mark.parametrize(
    "override",
    [
        *("tta=all", "tta=msflip", "inference=slide", "logger=wandb", "num_workers=2"),
        *("run_root=/elsewhere", "dataset.root=/elsewhere", "val_every=1", "log_every=7"),
        *("devices=2", "num_nodes=2", "accelerator=auto", "fresh=true", "compile=true"),
        *("dataset.splits.val=train", "tta.average=probabilities", "strict=false"),
        *("retry_failed=false", "job_timeout=5", "timing=none"),
    ],
)
def test_same_training_same_name(override, tiny_name):
    assert name_of(compose("train", *TINY, override)) == tiny_name


@pytest.mark.parametrize(
    "override",
    [
        *("optim.lr=0.02", "optim=adamw", "optim.warmup_iters=1", "iters=4", "batch_size=4"),
        *("seed=1", "precision=bf16-mixed", "dataset.crop.height=32", "dataset.crop.width=96"),
        *("backbone.output_stride=16", "backbone=r34", "backbone.variant=v1c", "head=fcn"),
        *("head.ratio=0.5", "auxiliary_head=none", "auxiliary_weight=0.1", "augment.flip=0"),
        *("count_ignored=true", "head.align_corners=true", "recipe=mmseg", "augment=mmseg"),
        *("augment.scale.max=1.5", "normalize=imagenet", "dataset.reader.layout=voc"),
        *("dataset.splits.train=val", "+trainer.gradient_clip_val=1"),
        *("loss=ohem", "loss=focal", "loss=ce_dice", "class_weights=[1,2]"),
    ],
)
def test_another_training_another_name(override, tiny_name):
    assert name_of(compose("train", *TINY, override)) != tiny_name


def test_a_whole_number_names_the_same_loss():
    names = {
        name_of(compose("train", *TINY, "loss=focal", f"loss.gamma={one}")) for one in (2, 2.0)
    }
    assert len(names) == 1


def test_trained_settings_come_from_the_run_folder(training):
    for path in (training.folder, training.folder / "checkpoints" / "last.ckpt"):
        offer_trained_options(["tta=none", f"checkpoint='{path}'", "trust=true"])
        cfg = compose("eval", f"checkpoint={path}", "dataset.root=/elsewhere")
        trained = yaml.safe_load((training.folder / "config.yaml").read_text())
        for group in GROUPS:
            if group != "dataset":
                trained[group].pop("freeze", None)  # of training alone
                assert plain(cfg[group]) == trained[group]
        assert cfg.dataset.reader.train == 6 and cfg.dataset.root == "/elsewhere"
        assert cfg.split == "val"


def test_a_relative_root_from_another_folder(training, tmp_path, monkeypatch):
    """The line says what to give, and a file's path is not followed by itself."""
    folder = tmp_path / "work" / "runs" / training.folder.name
    shutil.copytree(training.folder, folder)
    text = (folder / "config.yaml").read_text()
    root = yaml.safe_load(text)["dataset"]["root"]
    (folder / "config.yaml").write_text(text.replace(root, "data/scenes"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    given = [f"checkpoint='{folder}'", "trust=true"]
    offer_trained_options(given)
    (tmp_path / "work" / "data" / "scenes").mkdir(parents=True)
    wanted = tmp_path / "work" / "data" / "scenes"
    with pytest.raises(
        ConfigError, match=f"is not here: give dataset.root={wanted} if the dataset is there"
    ):
        offer_trained_options(given)
    offer_trained_options([*given, "images=x"])
    offer_trained_options([*given, "dataset.root=x"])
    monkeypatch.chdir(tmp_path / "work")
    offer_trained_options(given)


def test_one_checkpoint_per_command():
    with pytest.raises(
        ConfigError, match=r"checkpoint=a,b gives several values: give one value per command"
    ):
        offer_trained_options(["checkpoint=a,b"])


def test_finding_checkpoints(tmp_path):
    folder = tmp_path / "runs" / "name"
    with pytest.raises(WeightsError, match=r"runs/name: give checkpoint= a file, a run"):
        find_checkpoint(str(folder))
    (folder / "checkpoints").mkdir(parents=True)
    with pytest.raises(WeightsError, match=r"there is no checkpoint .*name/checkpoints/best\.ckpt"):
        find_checkpoint(str(folder))
    last, best = (folder / "checkpoints" / name for name in ("last.ckpt", "best.ckpt"))
    last.touch()
    assert find_checkpoint(str(folder)) == last
    best.touch()
    assert find_checkpoint(str(folder)) == best
    assert find_checkpoint(str(last)) == last
    assert run_folder_of(best) is None, "without its config.yaml it is no run folder"
    (folder / "config.yaml").write_text("iters: 3\n")
    assert run_folder_of(best) == RunFolder(folder)
    assert recorded_config(best)["iters"] == 3


def test_a_checkpoint_that_does_not_say_its_network(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=r"a\.ckpt: the weights are of no network that is"):
        described_config(tmp_path / "a.ckpt")
    assert recorded_config(tmp_path / "a.ckpt") is None


HEAVY = ("torch", "pytorch_lightning", "albumentations", "wandb", "cv2", "numpy", "torchmetrics")


def imported(stderr: str) -> set[str]:
    """The modules in the report of -X importtime."""
    return {line.rsplit("|", 1)[1].strip() for line in stderr.splitlines() if "|" in line}


@pytest.mark.parametrize("command", ["train", "eval", "predict"])
def test_help_and_settings_import_nothing_heavy(command, training, tmp_path):
    checkpoint = [] if command == "train" else [f"checkpoint={training.folder}"]
    for arguments in (["--help"], ["--cfg", "job", "--resolve", *checkpoint]):
        done = start(command, *arguments, cwd=tmp_path, options=("-X", "importtime"))
        assert done.returncode == 0, done.stderr
        modules = imported(done.stderr)
        assert "gcseg.config.command" in modules
        assert not modules & set(HEAVY)
        if arguments == ["--help"]:
            helped = done.stdout
            assert f"python -m gcseg.{command}" in done.stdout
            for group in OPTIONS.keys() & set(compose(command)):
                assert group in done.stdout
            assert "tta: all, flip, msflip, none" in done.stdout
        else:
            settings = OmegaConf.create(done.stdout)
            assert settings.dataset.name == "scenes"
    if command == "train":
        for name in ("iters=", "batch_size=", "dataset.root=", "devices=", "precision=",
                     "seed=", "run_root=", "optim.lr=", "published", "sweep"):  # fmt: skip
            assert name in helped
    assert not list(tmp_path.iterdir()), "nothing is written"


def extra(settings):
    return build_data._transform(compose("train", f"+augment.extra.mine={settings}"), "mine")


def test_transforms_inside_a_transform_are_made():
    one = "{_target_: albumentations.Rotate, limit: [45, 45], p: 1.0}"
    both = f"{{_target_: albumentations.OneOf, transforms: [{one}, {one}], p: 1.0}}"
    transform = extra(both)
    assert [type(inner).__name__ for inner in transform.transforms] == ["Rotate", "Rotate"]
    mask = transform(image=np.zeros((64, 64, 3), np.uint8), mask=np.full((64, 64), 5, np.uint8))
    assert set(np.unique(mask["mask"]).tolist()) == {5, 255}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "{_target_: albumentations.Rotat}",
            r"mine: _target_=albumentations\.Rotat can't be found",
        ),
        ("{_target_: albumentations.OneOf, transforms: [{_target_: no.such}]}", "no.such can't"),
        ("{_target_: albumentations.Rotate, limits: 3}", "unexpected keyword argument 'limits'"),
        ("{_target_: albumentations.Rotate, limit: abc}", "mine: albumentations.Rotate: "),
        ("{_target_: os.getcwd}", "mine is not an albumentations transform"),
        ("{_target_: albumentations}", "_target_=albumentations can't be found"),
    ],
)
def test_what_is_no_transform(settings, message):
    with pytest.raises(ConfigError, match=rf"^augment\.extra\..*{message}"):
        extra(settings)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ("{_target_: albumentations.CoarseDropout, p: 1.0}", None),
        ("{_target_: albumentations.GridDropout, p: 1.0}", None),
        ("{_target_: albumentations.CoarseDropout, p: 1.0, fill_mask: 255}", 255),
        ("{_target_: albumentations.Rotate, p: 1.0}", 255),
        ("{_target_: albumentations.Rotate, p: 1.0, fill_mask: 3}", 3),
    ],
)
def test_labels_under_a_dropout_stay(settings, wanted):
    transform = extra(settings)
    assert transform.fill_mask == wanted
    label = np.ones((64, 64), np.uint8)
    turned = transform(image=np.ones((64, 64, 3), np.uint8), mask=label)["mask"]
    if "Dropout" in settings:
        assert set(np.unique(turned)) == ({1} if wanted is None else {1, wanted})


def test_what_an_extra_transform_brings_in_is_ignored():
    rotate = "+augment.extra.turn={_target_: albumentations.Rotate, limit: [45, 45], p: 1.0}"
    transform = build_data._transform(compose("train", rotate), "turn")
    mask = transform(image=np.zeros((64, 64, 3), np.uint8), mask=np.full((64, 64), 5, np.uint8))
    assert set(np.unique(mask["mask"]).tolist()) == {5, 255}
