"""python -m gcseg.data as a user runs it."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.data.trees import camvid_tree, folder_tree, picture, voc_tree, write
from tests.running import SCENES, compose, only_run, start

SMALL = ("dataset.crop.height=32", "dataset.crop.width=64", *SCENES)


@pytest.fixture
def act(run, tmp_path):
    """Run an action in an empty folder, with a cache of its own."""

    def act(*arguments, **options):
        return run("data", *arguments, GCSEG_CACHE=str(tmp_path / "cache"), **options)

    return act


@pytest.fixture
def camvid(tmp_path):
    """A whole one: its splits share no picture."""
    root = camvid_tree(tmp_path / "camvid")
    for index in range(2):
        write(root / "val" / f"0001TP_{index:06d}.png", picture(100 + index))
    return root


def test_help_names_every_action(act):
    outcome = act("--help")
    assert outcome.status == 0
    for action in ("prepare", "convert", "check", "stats", "browse", "benchmark"):
        assert f"python -m gcseg.data {action}" in outcome.out


@pytest.mark.parametrize("action", ["chekc", "dataset=camvid"])
def test_unknown_actions(act, action):
    assert act(action).error == (
        f"gcseg.data has no action {action!r}: give one of prepare, convert, check, "
        "stats, browse, benchmark, then settings"
    )


def test_misspelt_settings_and_values(act):
    assert "there is no setting 'dataset.rot': did you mean" in act("check", "dataset.rot=a").error
    assert act("check", "fail_on=no").error == "fail_on=no: use error or warning"
    assert "augment_on=gpu: use cpu or device" in act("browse", "augment_on=gpu").error
    error = act("stats", "dataset.cache=yes").error
    assert error == "dataset.cache=yes: use one of none, ram, disk"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("dataset.root=2024", "dataset.root=2024: give a path; write digits alone as ./2024"),
        ("output=1", "output=1: give a path"),
        ("source=[a,2]", "source=[a,2]: give a path or a list of paths"),
        ("benchmark.workers=[1.5]", "benchmark.workers=[1.5]: give a list of whole numbers"),
        ("benchmark.workers=[]", "benchmark.workers=[]: give a list of whole numbers"),
        ("benchmark.workers=null", "benchmark.workers=null: give a list of whole numbers"),
    ],
)
def test_settings_of_a_wrong_kind(act, given, message):
    assert act("check", given).error.startswith(message)


def test_a_file_name_that_is_not_text(act, camvid, tmp_path):
    name = os.fsdecode(os.fsencode(camvid / "train") + b"/caf\xe9.png")
    os.rename(camvid / "train" / "0001TP_000000.png", name)  # noqa: PTH104
    outcome = act("check", "dataset=camvid", f"dataset.root={camvid}")
    assert outcome.status == 1 and "is not UTF-8" in outcome.out


def test_check_of_several_datasets_checks_them_all(act, camvid, tmp_path):
    outcome = act("check", "-m", "dataset=camvid", f"dataset.root={tmp_path / 'none'},{camvid}")
    assert outcome.status == 1
    assert "ok: nothing wrong in 5 images" in outcome.out


def test_preparing_folders_of_ones_own(act, tmp_path):
    (tmp_path / "voc").mkdir()
    root = folder_tree(tmp_path / "voc")  # named as a dataset that can be prepared
    error = act("prepare", "dataset=folder", f"dataset.root={root}").error
    assert error.startswith("there is nothing to prepare for dataset=folder: gcseg prepares")


def test_check_of_a_whole_dataset(act, camvid, tmp_path):
    outcome = act("check", "dataset=camvid", f"dataset.root={camvid}", "output=report")
    assert outcome.status == 0, outcome
    report = json.loads((tmp_path / "report" / "check.json").read_text())
    assert report["images"] == {"train": 3, "val": 2} and not report["findings"]


def test_check_of_a_broken_dataset(act, camvid, tmp_path):
    (camvid / "trainannot" / "0001TP_000001.png").unlink()
    write(camvid / "valannot" / "0001TP_000000.png", np.full((20, 24), 200))
    outcome = act("check", "dataset=camvid", f"dataset.root={camvid}")
    assert outcome.status == 1
    for named in ("0001TP_000001", "200", "valannot/0001TP_000000.png"):
        assert named in outcome.out
    assert outcome.out.count("\n") < 80
    (report,) = (tmp_path / "runs" / "data" / "camvid").iterdir()
    assert report.name == "check.json"


def test_check_of_warnings(act, camvid):
    content = (camvid / "train" / "0001TP_000000.png").read_bytes()
    (camvid / "train" / "0001TP_000001.png").write_bytes(content)
    given = ("check", "dataset=camvid", f"dataset.root={camvid}")
    outcome = act(*given)
    assert outcome.status == 0 and "0001TP_000001" in outcome.out
    assert act(*given, "fail_on=warning").status == 1


def test_check_of_one_split(act, camvid):
    (camvid / "train" / "0001TP_000000.png").write_bytes(b"no picture")
    assert act("check", "dataset=camvid", f"dataset.root={camvid}", "split=[val]").status == 0


def test_check_of_what_is_not_there(act):
    outcome = act("check", "dataset=camvid", "dataset.root=/nowhere")
    assert outcome.status == 1 and "/nowhere/trainannot" in outcome.out


def test_check_of_a_dataset_without_labels(act, tmp_path):
    (tmp_path / "mine").mkdir()
    root = folder_tree(tmp_path / "mine")
    (root / "labels").rename(root / "unused")
    outcome = act("check", "dataset=folder", f"dataset.root={root}")
    assert outcome.status == 1
    assert "images/train has no labels" in outcome.out
    assert act("stats", "split=[train,val]").error == (
        "split=['train', 'val']: give one; only check takes several"
    )


def test_nothing_given_is_a_wish_for_help(act):
    outcome = act()
    assert outcome.status == 0 and "python -m gcseg.data prepare" in outcome.out


def test_statistics(act, camvid, tmp_path):
    outcome = act("stats", "dataset=camvid", f"dataset.root={camvid}", "split=val")
    assert outcome.status == 0, outcome
    folder = tmp_path / "runs" / "data" / "camvid" / "val"
    report = json.loads((folder / "statistics.json").read_text())
    pixels = np.stack([picture(100), picture(101)]) / 255
    assert report["mean"] == pytest.approx(pixels.mean(axis=(0, 1, 2)).tolist())
    assert Image.open(folder / "statistics.png").size[0] > 500
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("normalize.mean=")]
    cfg = compose("train", *line.split())  # can be pasted
    assert cfg.normalize.mean == pytest.approx(report["mean"], abs=1e-3)


@pytest.mark.parametrize("place", ["cpu", "device"])
def test_browse_shows_what_training_draws(act, tmp_path, place):
    outcome = act("browse", *SMALL, "count=3", "first=2", f"augment_on={place}", "output=page")
    assert outcome.status == 0, outcome
    page = (tmp_path / "page" / "train" / "browse.html").read_text()
    assert "samples 2 to 4" in page
    assert Image.open(tmp_path / "page" / "train" / "browse.png").size[0] > 100


@pytest.mark.parametrize("given", ["count=0", "first=-1", "count=many"])
def test_browse_refuses_wrong_numbers(act, given):
    assert given in act("browse", *SMALL, given).error


def test_benchmark(act, tmp_path):
    few = ("benchmark.images=2", "benchmark.samples=2", "benchmark.rounds=2")
    loaders = ("benchmark.workers=[1]", "benchmark.batches=1", "batch_size=2")
    outcome = act("benchmark", *SMALL, *few, *loaders)
    assert outcome.status == 0, outcome
    rates = json.loads((tmp_path / "runs" / "data" / "scenes" / "benchmark.json").read_text())
    settings = {
        f"cache={cache} augment_on={place}"
        for cache in ("none", "ram", "disk")
        for place in ("cpu", "device")
    }
    assert set(rates["one_core"]) == {"decoding alone", "plain albumentations", *settings}
    assert set(rates["loader"]) == {"plain albumentations", *settings}
    assert all(rate > 0 for rate in rates["one_core"].values())
    assert rates["one_core"]["cache=ram augment_on=device"] > rates["one_core"]["decoding alone"]
    for name in settings:
        assert name in outcome.out


def test_prepare_refuses_what_needs_none(act):
    assert act("prepare", "dataset=scenes").error == (
        "there is nothing to prepare for dataset=scenes: gcseg prepares ade20k, camvid, "
        "cityscapes, voc; others need no preparation"
    )


def test_prepare_says_where_to_fetch(act, tmp_path):
    error = act("prepare", "dataset=cityscapes", f"dataset.root={tmp_path / 'cs'}").error
    assert "https://www.cityscapes-dataset.com" in error
    assert "leftImg8bit_trainvaltest.zip" in error


def test_prepare_checks_what_is_there(act, tmp_path):
    root = voc_tree(tmp_path / "voc")
    error = act("prepare", "dataset=voc", f"dataset.root={root}", "download=false").error
    assert "10,582" in error or "10582" in error


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_training_through_a_cache_is_the_same_training(train, tmp_path, cache):
    """Bit for bit, and it is the same run."""
    import torch

    runs = {}
    for name in ("none", cache):
        outcome = train(
            f"run_root={name}", f"dataset.cache={name}", GCSEG_CACHE=str(tmp_path / "cache")
        )
        assert outcome.status == 0, outcome
        runs[name] = only_run(tmp_path / name)
    assert runs["none"].name == runs[cache].name
    weights = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in runs.values()
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert (tmp_path / "cache" / "decoded").is_dir() == (cache == "disk")


def test_training_on_the_device_and_on_rare_classes(train, tmp_path):
    outcome = train(
        *("augment_on=device", "sampling.rare_crop=0.5", "sampling.copy_paste=0.5"),
        *("sampling.repeat_threshold=0.9", "num_workers=1", "dataset.cache=disk"),
        GCSEG_CACHE=str(tmp_path / "cache"),
    )
    assert outcome.status == 0, outcome
    plain = train("run_root=plain", GCSEG_CACHE=str(tmp_path / "cache"))
    assert plain.status == 0
    assert only_run(tmp_path / "runs").name != only_run(tmp_path / "plain").name


def test_evaluation_through_a_cache(training, run, tmp_path):
    checkpoint = shutil.copy(training.folder / "checkpoints/best.ckpt", tmp_path / "trained.ckpt")
    scores = []
    for cache in ("none", "disk"):
        outcome = run(
            *("eval", f"checkpoint={checkpoint}", f"dataset.cache={cache}", "tta=none"),
            *("accelerator=cpu", "num_workers=0", f"run_root={cache}"),
            GCSEG_CACHE=str(tmp_path / "cache"),
        )
        assert outcome.status == 0, outcome
        scores.append([line for line in outcome.out.splitlines() if "mIoU" in line])
    assert scores[0] == scores[1]


def test_wrong_weights_and_sampling(train):
    assert train("class_weights=[1,2]").error.startswith(
        "class_weights has 2 numbers for 19 classes: give one each for road, sidewalk"
    )
    assert "class_weights=[-1,2]" in train("class_weights=[-1,2]").error
    assert train("sampling.rare_crop=2").error == ("sampling.rare_crop=2: give a number, 0 to 1")
    assert "sampling.temperature=0" in train("sampling.temperature=0").error


def test_class_weights_change_the_training(train, tmp_path):
    weights = ",".join(["1", "5", *["1"] * 17])
    assert train(f"class_weights=[{weights}]").status == 0
    assert train().status == 0
    folders = sorted((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    curves = {(folder / "metrics.csv").read_text() for folder in folders}
    assert len(curves) == 2


def test_an_installed_command_starts_without_torch(tmp_path):
    script = ("-X", "importtime")
    done = start("data", "check", "--cfg", "job", cwd=tmp_path, options=script)
    assert done.returncode == 0, done.stderr
    assert "torch" not in {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "pytorch_lightning" not in done.stderr
