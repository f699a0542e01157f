"""Published checkpoints and other frameworks' files: scored, predicted with, trained from."""

import hashlib
import json
import pickle
import re
import shutil
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from gcseg.builders import model as build
from gcseg.builders.weights import find_starting_weights
from gcseg.config import trained
from gcseg.config.checks import check
from gcseg.config.compose import source_folder
from gcseg.config.published_rows import row, rows
from gcseg.config.trained import published_config
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.voc import voc
from gcseg.runs.name import head_name
from gcseg.weights import PADDLESEG_GCNET, read_checkpoint_file
from gcseg.weights.keymaps import TIMM_RESNET_D
from gcseg.zoo import catalogue
from tests.data.trees import camvid_tree, cityscapes_tree, voc_tree
from tests.running import TINY, compose, only_run, start

ROW = "published=paddleseg_r50_voc"
TINY_NETWORK = ("backbone._target_=tests.tiny.backbone", "head.channels=16")
EVALUATE = ("accelerator=cpu", "num_workers=0")

R18 = ("backbone.output_stride=32", "head.channels=16")
"""Of the smallest real network, so that other frameworks' names are known."""


def write_pdparams(path, settings=(), num_classes=21, seed=0):
    """A file of PaddlePaddle with a network's weights; under Paddle's names where there are any."""
    torch.manual_seed(seed)
    network = build.model(compose("train", *settings), num_classes)
    arrays = {
        PADDLESEG_GCNET.to_theirs(name) or name: tensor.numpy()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(arrays, protocol=4))
    return network


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache that holds the published checkpoint of ROW, which is a tiny network's here."""

    def tiny(name):
        config = dict(published_config(name))
        config["backbone"] = {**config["backbone"], "_target_": "tests.tiny.backbone"}
        config["head"] = {**config["head"], "channels": 16}
        return config

    monkeypatch.setattr(trained, "published_config", tiny)
    monkeypatch.setenv("GCSEG_CACHE", str(tmp_path / "cache"))
    write_pdparams(tmp_path / "cache" / "paddleseg" / "gcnet_r50_voc.pdparams", TINY_NETWORK)
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path):
    return voc_tree(tmp_path / "voc")


# ----------------------------------------------------------------------- beside the published


def test_a_published_row_is_scored_and_recorded(run, cache, pictures, tmp_path):
    outcome = run("eval", ROW, f"dataset.root={pictures}", "record=all.json", *EVALUATE)
    assert outcome.status == 0, outcome.err
    (entry,) = json.loads((tmp_path / "all.json").read_text())
    assert entry["experiment"] == ROW
    assert entry["published"] == {"none": 0.8032, "flip": 0.8039, "msflip": 0.8054}
    weights = cache / "paddleseg" / "gcnet_r50_voc.pdparams"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert entry["weights"] == {"file": weights.name, "sha256": digest}
    split = voc(pictures, "val")
    assert entry["data"] == {"split": "val", "images": 2, "sha256": split.checksum()}
    evaluations = entry["results"]["evaluations"]
    assert evaluations.keys() == {"none", "flip", "msflip"}
    assert evaluations["msflip"]["scales"] == [0.75, 1.0, 1.25]
    for mode, title in {"none": "plain", "flip": "flip", "msflip": "multi-scale"}.items():
        published, measured = 100 * entry["published"][mode], 100 * evaluations[mode]["miou"]
        row = next(line for line in outcome.out.splitlines() if f"│ {title}" in line)
        cells = [cell.strip() for cell in row.strip("│").split("│")]
        assert cells[1:] == [f"{published:.2f}", f"{measured:.2f}", f"{measured - published:+.2f}"]
    assert "recorded: all.json" in outcome.out


def test_a_part_of_the_split_is_recorded_only_where_wanted(run, cache, pictures, tmp_path):
    outcome = run("eval", ROW, f"dataset.root={pictures}", "tta=none", *EVALUATE)
    assert outcome.status == 0, outcome.err
    assert "not recorded: the split has 2 images, the published scores are for 1449" in outcome.out


def test_a_second_measurement_takes_the_place_of_the_first(run, cache, pictures, tmp_path):
    root = f"dataset.root={pictures}"
    for mode in ("none", "flip", "none"):
        outcome = run("eval", ROW, root, "record=all.json", f"tta={mode}", *EVALUATE)
        assert outcome.status == 0, outcome.err
    (entry,) = json.loads((tmp_path / "all.json").read_text())
    assert entry["results"]["evaluations"].keys() == {"none", "flip"}
    write_pdparams(cache / "paddleseg" / "gcnet_r50_voc.pdparams", TINY_NETWORK, seed=1)
    run("eval", ROW, root, "record=all.json", "tta=none", *EVALUATE)
    assert len(json.loads((tmp_path / "all.json").read_text())) == 2, "other weights"


def test_what_is_measured_otherwise_is_not_recorded(run, cache, pictures, tmp_path):
    given = (ROW, f"dataset.root={pictures}", "record=all.json", "tta=none", *EVALUATE)
    outcome = run("eval", *given, "tta.average=probabilities")
    assert outcome.status == 0, outcome.err
    assert "not comparable with the published scores: none@probabilities" in outcome.out
    assert not (tmp_path / "all.json").exists()


def test_own_weights_beside_a_published_row(run, cache, pictures, tmp_path):
    write_pdparams(tmp_path / "mine.pdparams", TINY_NETWORK, seed=3)
    given = (ROW, "checkpoint=mine.pdparams", f"dataset.root={pictures}", "tta=none")
    outcome = run("eval", *given, "record=all.json", *EVALUATE)
    assert outcome.status == 0, outcome.err
    (entry,) = json.loads((tmp_path / "all.json").read_text())
    assert entry["weights"]["file"] == "mine.pdparams"


def test_other_weights_or_networks_are_not_taken_for_a_row(run, cache, pictures, tmp_path):
    write_pdparams(tmp_path / "mine.pdparams", (*TINY_NETWORK, "head.ratio=0.5"))
    root = f"dataset.root={pictures}"
    given = (ROW, "checkpoint=mine.pdparams", root, "tta=none", "record=all.json", *EVALUATE)
    outcome = run("eval", *given, "head.ratio=0.5")
    assert outcome.status == 0, outcome.err
    assert "not comparable with the published scores: none@head.ratio=0.5" in outcome.out
    assert not (tmp_path / "all.json").exists()
    error = run("eval", ROW, "checkpoint=paddleseg/gcnet_r101_voc", root).error
    assert error.startswith(
        "paddleseg/gcnet_r101_voc is not what published=paddleseg_r50_voc scores: "
        "leave one of them out, or take published=paddleseg_r101_voc"
    )


def test_own_training_of_another_dataset_is_not_comparable(run, cache, training, tmp_path):
    copy = shutil.copytree(training.folder, tmp_path / "before")
    outcome = run("eval", ROW, f"checkpoint={copy}", "tta=none", "record=all.json", *EVALUATE)
    assert outcome.status == 0, outcome.err
    assert "not comparable with the published scores: none@" in outcome.out
    assert not (tmp_path / "all.json").exists()


def test_a_damaged_record_shows_before_the_work(run, cache, pictures, tmp_path):
    (tmp_path / "all.json").write_text("[{}]")
    error = run("eval", ROW, f"dataset.root={pictures}", "record=all.json", *EVALUATE).error
    assert error.startswith("all.json is damaged")
    assert not (tmp_path / "runs").exists()


def test_a_published_file_fetched_by_hand_is_known_by_its_name(run, tmp_path):
    name = PurePosixPath(catalogue.find("mmseg/gcnet_r50_cityscapes_769x769_40k").url).name
    write_pdparams(tmp_path / name, TINY_NETWORK)
    given = (f"checkpoint={name}", "dataset.root=nowhere", "--cfg", "job", "--resolve")
    done = run("eval", *given)
    assert done.status == 0, done.err
    assert "align_corners: true" in done.out and "variant: v1c" in done.out
    assert "height: 769" in done.out


def test_a_row_that_does_not_exist(run):
    error = run("eval", "published=paddleseg_r18_voc").error
    meant = "published=paddleseg_r18_voc does not exist: did you mean paddleseg_r101_voc or "
    assert error.startswith(f"{meant}paddleseg_r50_voc or paddleseg_")
    assert error.endswith("? docs/published.md and python -m gcseg.weights list have all rows")
    error = run("train", "published=paddleseg/danet_r50_voc").error  # the checkpoint's name
    assert "published=paddleseg/danet_r50_voc does not exist: did you mean paddleseg_danet" in error


@pytest.mark.parametrize("value", ["null", "[paddleseg_r50_voc]"])
def test_no_name_of_a_row(run, value):
    error = run("train", f"published={value}").error
    assert error.startswith(f"published={value} is not an option: docs/published.md and python -m")


def test_every_row_names_its_parts():
    recipes = {path.stem for path in (source_folder("experiments") / "recipe").glob("*.yaml")}
    for name, record in rows().items():
        settings = row(name)
        options = {key: option for one in settings["defaults"] for key, option in one.items()}
        assert options["override /recipe"] in {None, *recipes}
        assert options["override /backbone"] == record.architecture["backbone"]
        assert options["override /dataset"] == record.dataset
        start_from = catalogue.find(settings["backbone"]["pretrained"])
        assert start_from.kind == "backbone"
        depth, variant = int(record.architecture["backbone"][1:]), record.architecture["variant"]
        assert start_from.architecture == {"depth": depth, "variant": variant}
        assert catalogue.find(settings["published"]["checkpoint"]) is record
        assert (settings["iters"], settings["batch_size"]) == (record.iters, record.batch_size)


def one_of_each():
    """All rows, of which those are slow whose recipe, data and crop another one has, too."""
    seen = set()
    for name, record in rows().items():
        kind = record.recipe, record.dataset, record.crop, record.architecture["variant"]
        yield pytest.param(record, id=name, marks=pytest.mark.slow if kind in seen else ())
        seen.add(kind)


@pytest.mark.parametrize("record", list(one_of_each()))
def test_every_row_sets_its_network_and_data(record):
    config = published_config(record.experiment)
    check(OmegaConf.create(config))
    assert config["published"] == {"checkpoint": record.name}
    architecture = record.architecture
    backbone, head = config["backbone"], config["head"]
    assert backbone["name"] == architecture["backbone"]
    assert backbone["variant"] == architecture["variant"]
    assert backbone.get("multi_grid") == (list(architecture.get("multi_grid", ())) or None)
    assert head_name(head) == record.head
    assert head["align_corners"] == architecture["align_corners"]
    dataset, (height, width) = config["dataset"], record.crop
    assert dataset["name"] == record.dataset
    assert dataset["crop"] == {"height": height, "width": width}
    assert (config["iters"], config["batch_size"]) == (record.iters, record.batch_size)
    assert config["protocol"]["name"] == record.framework
    assert set(config["tta"]["modes"]) == {"none", "flip", "msflip"}
    slides = record.framework == "mmseg" and height == 769
    assert (config["inference"]["window"] is not None) == slides


def test_a_row_that_can_not_be_downloaded(run, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("GCSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    for given in ("published=mmseg_dnl_r50_ade20k_80k", "checkpoint=mmseg/dnl_r50_ade20k_80k"):
        error = run("eval", given, "dataset=voc", f"dataset.root={pictures}", *EVALUATE).error
        url = catalogue.find("mmseg/dnl_r50_ade20k_80k").url
        assert error.startswith(f"{url} can't be fetched (")
        assert f"put it at {tmp_path}/cache/mmseg/dnl_r50_ade20k_80k.pth" in error


# ------------------------------------------------------------------- other frameworks' files


@pytest.fixture(scope="module")
def paddle(tmp_path_factory):
    """A file of PaddleSeg's GCNet with ResNet18-vd, of Cityscapes' 19 classes."""
    path = tmp_path_factory.mktemp("paddle") / "model.pdparams"
    write_pdparams(path, ("backbone=r18", *R18), 19, seed=9)
    return path


def test_another_frameworks_file_shows_its_network(run, paddle, tmp_path):
    given = (f"checkpoint={paddle}", "accelerator=cpu", "num_workers=0", "tta=none")
    assert run("eval", *given).error.endswith(
        "model.pdparams does not say which dataset it is for: "
        "add dataset=cityscapes, voc, ade20k, camvid or folder"
    )
    root = cityscapes_tree(tmp_path / "cityscapes")
    outcome = run("eval", *given, "dataset=cityscapes", f"dataset.root={root}")
    assert outcome.status == 0, outcome.err
    (results,) = (tmp_path / "runs").glob("model-*/results.json")
    assert json.loads(results.read_text())["evaluations"].keys() == {"none@cityscapes"}


def test_a_converted_training_keeps_its_data_and_statistics(run, training, tmp_path):
    """As mmsegmentation's file, whose meta holds what our checkpoint says."""
    content = read_checkpoint_file(training.folder / "checkpoints" / "best.ckpt")
    meta = {"meta": {"gcseg": content.extra["gcseg"]}, "state_dict": content.tensors}
    torch.save(meta, tmp_path / "x.pth")
    outcome = run("eval", "checkpoint=x.pth", "tta=none", *EVALUATE)
    assert outcome.status == 0, outcome.err
    (results,) = (tmp_path / "runs").glob("x-*/results.json")
    before = json.loads((training.folder / "results.json").read_text())["evaluations"]["none"]
    after = json.loads(results.read_text())["evaluations"]["none"]
    assert after["miou"] == before["miou"]


def test_another_frameworks_file_of_other_classes(run, paddle, pictures):
    error = run("eval", f"checkpoint={paddle}", "dataset=voc", f"dataset.root={pictures}").error
    assert "head.conv.weight (here head.classifier.weight) is 19 x 16 x 1 x 1, in the" in error
    assert "the number of classes differs, so take the dataset that it was trained on" in error


def test_predicting_with_another_frameworks_file(run, paddle, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    given = (f"checkpoint={paddle}", "images=a.png", "output=out", "accelerator=cpu")
    outcome = run("predict", *given, "dataset=cityscapes", "dataset.root=nowhere")
    assert outcome.status == 0, outcome.err
    assert np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png")).max() < 19
    error = run("predict", *given, "dataset=folder", "dataset.root=nowhere").error
    assert error.startswith("the checkpoint does not list its classes, and dataset=nowhere has no")


def test_a_published_backbone_is_no_checkpoint(run):
    error = run("eval", "checkpoint=timm/resnet50d", "dataset=voc").error
    assert error == (
        "timm/resnet50d is a backbone without a head: train with backbone.pretrained=timm/resnet50d"
    )


# ------------------------------------------------------------------------ training from weights

FINE_TUNE = (
    *("backbone=r18", *R18, "dataset=camvid", "dataset.root=camvid", "accelerator=cpu"),
    *("dataset.crop.height=32", "dataset.crop.width=32", "augment.scale.min=1.5", "iters=1"),
    *("augment.scale.max=2", "batch_size=2", "num_workers=0", "optim.lr=1e-6"),
    "report=false",
)


@pytest.fixture
def camvid(tmp_path):
    return camvid_tree(tmp_path / "camvid")


def weights_of(folder):
    return read_checkpoint_file(folder / "checkpoints" / "best.ckpt").tensors


def theirs(path):
    return {
        PADDLESEG_GCNET.to_ours(name): tensor
        for name, tensor in read_checkpoint_file(path).tensors.items()
    }


def test_fine_tuning_on_other_classes(run, paddle, camvid, tmp_path):
    outcome = run("train", *FINE_TUNE, f"checkpoint={paddle}")
    assert outcome.status == 0, outcome.err
    assert f"network: weights of {paddle}" in outcome.out
    lost = [line for line in outcome.out.splitlines() if line.startswith("not loaded: ")]
    classes = "(the file has 19 classes, the network 11)"
    assert lost == [
        f"not loaded: head.classifier {classes}",
        f"not loaded: auxiliary_head.classifier {classes}",
    ]
    found, wanted = weights_of(only_run(tmp_path / "runs")), theirs(paddle)
    assert found["head.classifier.weight"].shape[0] == 11
    for name in ("backbone.layer3.1.conv2.weight", "head.conv_cat.0.weight"):
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-4)
    # The same command again only scores; what it started from need not be read again.
    outcome = run("train", *FINE_TUNE, f"checkpoint={paddle}")
    assert outcome.status == 0 and "network: weights" not in outcome.out


def test_a_published_row_is_trained_from_its_backbone(run, cache, pictures, tmp_path):
    write_pdparams(tmp_path / "backbone.pdparams", TINY_NETWORK)
    small = (*TINY_NETWORK, "dataset.crop.height=32", "dataset.crop.width=32", "iters=1")
    given = (ROW, *small, f"dataset.root={pictures}", "batch_size=2", "tta=none", *EVALUATE)
    outcome = run("train", *given, "backbone.pretrained=backbone.pdparams")
    assert outcome.status == 0, outcome.err
    assert "backbone: weights of backbone.pdparams" in outcome.out
    assert only_run(tmp_path / "runs").name.startswith("r50-gc-voc-1it-s0-")


@pytest.mark.slow
def test_weights_of_the_same_shapes_but_another_variant(run, camvid, tmp_path):
    """timm pools shortcuts that PaddleSeg does not, which no name or shape shows."""
    deep = ("backbone=r50", "head.channels=16", "auxiliary_head=none")
    network = build.model(compose("train", *deep), 11)
    state = {TIMM_RESNET_D.to_theirs(name): value for name, value in network.state_dict().items()}
    state.pop(None, None)
    torch.save(state, tmp_path / "timm.pth")
    given = [setting for setting in FINE_TUNE if not setting.startswith("backbone")]
    given += [*deep, "backbone.output_stride=32", "backbone.pretrained=timm.pth"]
    outcome = run("train", *given)
    assert outcome.status == 0, outcome.err
    assert "note: the weights were trained with backbone.variant=d, which computes" in outcome.out
    outcome = run("train", *given, "backbone.variant=d")
    assert outcome.status == 0 and "note:" not in outcome.out


def test_training_from_a_backbone(run, paddle, camvid, tmp_path):
    outcome = run("train", *FINE_TUNE, f"backbone.pretrained={paddle}")
    assert outcome.status == 0, outcome.err
    found, wanted = weights_of(only_run(tmp_path / "runs")), theirs(paddle)
    name = "backbone.layer3.1.conv2.weight"
    torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-4)
    name = "head.conv_cat.0.weight"
    assert not torch.allclose(found[name], wanted[name], atol=1e-2)
    folder = only_run(tmp_path / "runs")
    weights = find_starting_weights(compose("train", f"backbone.pretrained={folder}"))
    assert weights == {"backbone": folder / "checkpoints" / "best.ckpt"}


def test_starting_weights_that_do_not_fit(run, paddle, camvid, tmp_path):
    error = run("train", *FINE_TUNE, "backbone=r34", f"checkpoint={paddle}").error
    assert "the network, backbone.layer1.2.conv1.weight, " in error
    assert error.startswith(
        f"{paddle} is for backbone=r18 head=gc head.channels=16 protocol=paddle"
    )
    assert error.endswith("that it is for, or load the weights that fit with strict=false")
    error = run("train", *FINE_TUNE, "backbone=r34", f"backbone.pretrained={paddle}").error
    assert "the network, backbone.layer1.2.conv1.weight, " in error
    assert "head." not in error.split(" lacks ")[1] and "strict" not in error
    assert not (tmp_path / "runs").exists()
    outcome = run("train", *FINE_TUNE, "head.ratio=0.5", f"checkpoint={paddle}", "strict=false")
    assert outcome.status == 0, outcome.err
    assert "not loaded: head.gc_block.channel_add_conv.0.weight (here" in outcome.out


@pytest.mark.parametrize("key", ["checkpoint", "backbone.pretrained"])
@pytest.mark.parametrize("value", ["5", "true", "[a]", "''"])
def test_starting_weights_that_are_no_path(train, key, value, tmp_path):
    error = train(f"{key}={value}").error
    if (key, value) == ("backbone.pretrained", "true"):
        assert "backbone=timm" in error and "list, as backbone.pretrained=" in error
    else:
        assert "give a path" in error and ", or null" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["checkpoint", "backbone.pretrained"])
def test_starting_weights_that_are_not_there(train, key, tmp_path):
    error = train(f"{key}=torchvison/resnet50").error
    assert "torchvison/resnet50" in error and "did you mean torchvision/resnet50" in error
    assert not list(tmp_path.iterdir())


def test_a_training_goes_on_from_a_run_folder(run, train, training, tmp_path):
    copy = shutil.copytree(training.folder, tmp_path / "before")
    outcome = train(f"checkpoint={copy}", "seed=1", "iters=1")
    assert outcome.status == 0, outcome.err
    assert f"network: weights of {copy / 'checkpoints' / 'best.ckpt'}" in outcome.out


# --------------------------------------------------------------------------- recipe and report


def test_settings_in_which_recipes_differ(tmp_path):
    done = start("recipe", "diff", "paddleseg_r50_voc", "mmseg_r101_voc_20k", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = dict.fromkeys(re.findall(r"^│ ([a-z_.]+)", done.stdout, re.MULTILINE))
    assert {"iters", "backbone.name", "optim.weight_decay", "augment.padding"} <= set(rows)
    assert not {"seed", "optim.lr", "dataset.name"} & set(rows)
    same = start("recipe", "diff", "mmseg_r50_voc_20k", "mmseg_r50_voc_20k", cwd=tmp_path)
    assert same.stdout == "no difference\n"


def test_a_run_beside_overrides(training, tmp_path):
    done = start("recipe", "diff", str(training.folder), " ".join(TINY), cwd=tmp_path)
    rows = set(re.findall(r"^│ ([a-z_.]+)", done.stdout, re.MULTILINE))
    assert "iters" not in rows and "dataset.root" in rows and "tta.modes.flip.flip" in rows


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("nothing", "published=nothing does not exist: docs/published.md and python -m gcseg"),
        ("recipe=nothing", "recipe=nothing does not exist: use one of mmseg"),
        ("optim.lrr=3", "there is no setting 'optim.lrr': did you mean optim.lr?"),
        (".", "config.yaml holds no settings (No such file"),
    ],
)
def test_no_recipe(recipe, message, tmp_path):
    done = start("recipe", "diff", recipe, "mmseg_r50_voc_20k", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {message}") and done.stderr.count("\n") == 1


def test_a_checksum_is_of_names_images_and_labels(tmp_path):
    root = voc_tree(tmp_path / "voc")
    split = voc(root, "val")
    first = split.checksum()
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert voc(shutil.copytree(root, tmp_path / "copy"), "val").checksum() == first
    assert SegmentationDataset(split.pairs[::-1], split.label_space, "").checksum() != first
    label = split.pairs[0].label
    label.write_bytes(label.read_bytes() + b"x")
    assert split.checksum() != first
