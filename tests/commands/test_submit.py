"""gcseg.submit from the outside: archives of three datasets, again after a kill, and refusals."""

import shutil
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gcseg.errors import WeightsError
from gcseg.predictor.network import TrainedNetwork
from gcseg.submission.servers import SERVERS
from tests.data import trees
from tests.running import SMALL, only_run

OF_A_SECOND = ("backbone._target_=tests.tiny.backbone", *SMALL, "iters=2", "val_every=2")
SIZE = ("dataset.crop.height=32", "dataset.crop.width=32", "dataset.pad={height:0,width:0}")


def small(monkeypatch, name, **changes):
    """Let a server score the few pictures of a generated tree."""
    monkeypatch.setitem(SERVERS, name, replace(SERVERS[name], pictures=1, **changes))


@pytest.fixture
def cityscapes(training, tmp_path):
    """Settings of a network of Cityscapes' classes, on a tree with one picture to test on."""
    folder = shutil.copytree(training.folder, tmp_path / "runs" / training.folder.name)
    root = trees.cityscapes_tree(tmp_path / "tree")
    return (f"checkpoint={folder}", "dataset=cityscapes", f"dataset.root={root}",
            "accelerator=cpu", "inference.window=null")  # fmt: skip


def test_cityscapes(run, cityscapes, tmp_path, monkeypatch):
    small(monkeypatch, "cityscapes", size=(32, 48))
    outcome = run("submit", *cityscapes, "output=out", "tta=flip")
    assert outcome.status == 0, outcome.err
    archive = tmp_path / "out" / "cityscapes-test-flip.zip"
    content = archive.read_bytes()
    (name,) = zipfile.ZipFile(archive).namelist()
    assert name == next((tmp_path / "tree").glob("*/leftImg8bit/test/*/*.png")).name
    assert "1 mask, mode flip, checked: out/masks\n" in outcome.out
    assert f"({len(content):,} bytes, SHA-256 " in outcome.out
    assert "upload it at https://www.cityscapes-dataset.com/submit/\n" in outcome.out
    told = run("predict", *cityscapes, "split=test", "mask_values=dataset", "output=p", "tta=flip")
    assert told.status == 0, told.err
    (mask,) = (tmp_path / "p" / "masks").rglob("*.png")
    with zipfile.ZipFile(archive) as packed:
        found = np.asarray(Image.open(packed.open(name)))
    assert (found == np.asarray(Image.open(mask))).all() and found.shape == (32, 48)

    outcome = run("submit", f"check={archive}", *cityscapes[1:3])
    assert outcome.status == 0, outcome.err
    assert "1 mask: names, sizes and values are right\n" in outcome.out
    outcome = run("submit", "check=p", *cityscapes[1:3])
    assert outcome.error == "there is no archive p: give check= the file to check"
    shutil.copy(archive, tmp_path / "more.zip")
    with zipfile.ZipFile(tmp_path / "more.zip", "a") as more:
        more.writestr("notes.txt", "text")
    assert "holds notes.txt" in run("submit", "check=more.zip", *cityscapes[1:3]).error


def test_again_after_an_interruption(run, cityscapes, tmp_path, monkeypatch):
    given = (*cityscapes, "split=val", "output=out")
    predict, calls = TrainedNetwork.predict, []

    def killed(self, *images, **options):
        calls.append(1)
        if len(calls) == 2:
            raise WeightsError("it was stopped")
        return predict(self, *images, **options)

    monkeypatch.setattr(TrainedNetwork, "predict", killed)
    assert run("submit", *given).error == "it was stopped"
    archive = tmp_path / "out" / "cityscapes-val-none.zip"
    assert not archive.exists()
    outcome = run("submit", *given)
    assert outcome.status == 0, outcome.err
    assert "1 of 2 pictures is done" in outcome.out and len(calls) == 3
    assert "scores the test split alone: split=val is to try" in outcome.out
    assert "upload it" not in outcome.out
    content = archive.read_bytes()
    outcome = run("submit", *given)
    assert archive.read_bytes() == content and len(calls) == 3
    next((tmp_path / "out" / "masks").rglob("*.png")).write_bytes(b"text")
    outcome = run("submit", *given)
    assert outcome.status == 0, outcome.err
    assert archive.read_bytes() == content and len(calls) == 4


def test_what_is_refused(run, cityscapes, tmp_path, monkeypatch):
    def error(*more):
        return run("submit", *cityscapes, "output=out", *more).error

    assert "(test) has 1 picture, and the server scores 1,525: unpack leftImg8bit_" in error()
    small(monkeypatch, "cityscapes")
    assert "_leftImg8bit.png is 48 x 32 pixels; those of cityscapes are 2048 x 1024" in error()
    assert error("competition=comp5") == (
        "competition=comp5 with dataset=cityscapes, which has no competitions: leave it out"
    )
    assert error("tta=all") == "tta=all predicts each image in several modes: choose one mode"
    scenes = run("submit", cityscapes[0], "accelerator=cpu")
    assert scenes.error == (
        "dataset=scenes has no test server: give dataset=cityscapes or voc or ade20k"
    )
    tree = trees.voc_tree(tmp_path / "voc")
    other = run("submit", cityscapes[0], "dataset=voc", f"dataset.root={tree}", "split=val")
    assert "predicts 19 classes, such as road; the server of voc scores 21" in other.error
    assert run("submit", "check=a.zip").error.startswith("check= without dataset=")
    assert not (tmp_path / "out").exists()
    picture = next((tmp_path / "tree").glob("*/leftImg8bit/val/*/*.png"))
    picture.write_bytes(picture.read_bytes()[:300])
    outcome = run("submit", *cityscapes, "split=val", "output=out")
    assert outcome.status == 1 and "1 of 2 pictures could not be read" in outcome.err
    assert not list((tmp_path / "out").glob("*.zip"))


def test_voc(run, tmp_path, monkeypatch):
    small(monkeypatch, "voc")
    root = trees.voc_tree(tmp_path / "tree")
    given = ("dataset=voc", f"dataset.root={root}")
    outcome = run("train", *OF_A_SECOND, *SIZE, *given, "tta=none")
    assert outcome.status == 0, outcome.err
    folder = only_run(tmp_path / "runs")
    outcome = run("submit", f"checkpoint={folder}", "accelerator=cpu", "competition=comp5")
    assert outcome.status == 0, outcome.err
    assert "this network used the augmented labels: competition=comp6" in outcome.out
    assert "upload it at http://host.robots.ox.ac.uk:8080/\n" in outcome.out
    archive = folder / "submissions" / "voc-test-none" / "voc-test-none.tgz"
    with tarfile.open(archive) as packed:
        (member,) = packed.getmembers()
        mask = Image.open(packed.extractfile(member))
        assert mask.mode == "P" and mask.getpalette()[3:6] == [128, 0, 0]
        name = member.name.rpartition("/")[2].replace(".png", ".jpg")
        assert mask.size == Image.open(next(root.rglob(f"JPEGImages/{name}"))).size
    assert member.name.startswith("results/VOC2012/Segmentation/comp5_test_cls/")
    for competition, status in (("comp5", 0), ("null", 0), ("comp6", 1)):
        outcome = run("submit", f"check={archive}", *given, f"competition={competition}")
        assert outcome.status == status, outcome.err


def test_ade20k(run, tmp_path, monkeypatch):
    small(monkeypatch, "ade20k")
    root = trees.ade20k_tree(tmp_path / "tree")
    outcome = run("train", *OF_A_SECOND, *SIZE, "dataset=ade20k", f"dataset.root={root}",
                  "tta=none")  # fmt: skip
    assert outcome.status == 0, outcome.err
    folder = only_run(tmp_path / "runs")
    outcome = run("submit", f"checkpoint={folder}", "accelerator=cpu")
    assert outcome.status == 0, outcome.err
    with zipfile.ZipFile(folder / "submissions/ade20k-test-none/ade20k-test-none.zip") as packed:
        assert packed.namelist() == ["ADE_test_00000001.png"]
        mask = np.asarray(Image.open(packed.open("ADE_test_00000001.png")))
    assert mask.shape == (48, 64) and mask.min() >= 1 and mask.max() <= 150
