"""Pictures of four channels through the commands: one training, and all that follows it."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from gcseg import Predictor
from gcseg.config.compose import compose
from gcseg.config.plain import plain
from gcseg.runs.name import training_settings
from tests import running
from tests.data.trees import mask, write

FORM = ("dataset.channels=4", "dataset.scale=[-30,0]", "dataset.nodata=nan")
NORMALIZE = ("normalize.mean=[0.5,0.5,0.5,0.4]", "normalize.std=[0.3,0.3,0.3,0.2]")
DATA = ("dataset=folder", "dataset.root=data", *FORM)


def bands(seed, height=64, width=96):
    return np.random.default_rng(seed).uniform(-30, 0, (4, height, width)).astype(np.float32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data of four channels, and a training on them."""
    cwd = tmp_path_factory.mktemp("channels")
    (cwd / "data").mkdir()
    (cwd / "data/classes.yaml").write_text("classes: [a, b, c]")
    for split, count in (("train", 4), ("val", 2)):
        (cwd / "data/images" / split).mkdir(parents=True)
        for index in range(count):
            raw = bands(index)
            raw[0, :20, :30] = np.nan
            np.save(cwd / f"data/images/{split}/{index}.npy", raw)
            write(cwd / f"data/labels/{split}/{index}.png", mask(index, (0, 1, 2), 64, 96))
    outcome = running.run(
        "train", *DATA, *NORMALIZE, "backbone._target_=tests.tiny.backbone", *running.SMALL,
        "report=true", "iters=2", "val_every=2", "augment_on=device", "dataset.cache=ram",
        "tta=all", "sampling.rare_crop=0.5",
        cwd=cwd,
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    return cwd, running.only_run(cwd / "runs"), outcome


def test_a_training_says_what_its_pictures_are(trained):
    _, folder, outcome = trained
    assert "pictures: 4 channels, raw values -30 to 0 as 0 to 1, pixels with NaN ignored" in (
        outcome.out
    )
    assert "note: augment.color is left out, as it is for RGB of 8 bits" in outcome.err
    evaluations = json.loads((folder / "results.json").read_text())["evaluations"]
    assert set(evaluations) == {"none", "flip", "msflip"}
    assert "data:image/jpeg" in (folder / "report.html").read_text()


def test_what_follows_needs_no_setting_again(trained):
    cwd, folder, _ = trained
    given = (f"checkpoint={folder}", "accelerator=cpu")
    outcome = running.run("eval", *given, "tta=none", "dataset.cache=disk",
                          f"dataset.cache_folder={cwd / 'cache'}", cwd=cwd)  # fmt: skip
    assert outcome.status == 0, outcome.err
    evaluations = json.loads((folder / "results.json").read_text())["evaluations"]
    assert set(evaluations) == {"none", "flip", "msflip"}
    outcome = running.run("predict", *given, "images=data/images/val", "output=out", cwd=cwd)
    assert outcome.status == 0, outcome.err
    assert "2 predictions: out" in outcome.out
    shown = np.asarray(Image.open(cwd / "out/pictures/0.png"))
    assert shown[:64, :96].std() > 20  # not black, as values of -30 to 0 would be


def test_five_channels_where_four_were(trained):
    cwd, folder, _ = trained
    (cwd / "five").mkdir()
    np.save(cwd / "five/x.npy", np.zeros((8, 8, 5), np.float32))
    outcome = running.run("predict", f"checkpoint={folder}", "images=five", "output=o5",
                          "accelerator=cpu", cwd=cwd)  # fmt: skip
    assert outcome.status == 1
    assert outcome.err.splitlines()[0] == (
        "error: image five/x.npy has 5 channels where dataset.channels=4: give pictures of 4 "
        "channels, or dataset.channels=5 if all have them"
    )


def test_the_doctor_names_the_one_that_differs(run, tmp_path):
    (tmp_path / "data/images/train").mkdir(parents=True)
    (tmp_path / "data/classes.yaml").write_text("classes: [a, b, c]")
    for index, channels in enumerate((4, 5, 4)):
        path = tmp_path / f"data/images/train/{index}.tif"
        tifffile.imwrite(path, np.zeros((channels, 64, 64), np.uint8) + index,
                         photometric="minisblack", planarconfig="separate")  # fmt: skip
        write(tmp_path / f"data/labels/train/{index}.png", mask(index, (0, 1, 2), 64, 64))
    outcome = run("data", "check", "dataset=folder", "dataset.root=data", "dataset.channels=4",
                  "split=train", "output=out")  # fmt: skip
    assert outcome.status == 1
    found = json.loads((tmp_path / "out/check.json").read_text())["findings"]
    assert [(one["kind"], one["files"]) for one in found] == [
        ("unreadable image", ["data/images/train/1.tif"])
    ]


def test_statistics_are_settings_and_samples_are_shown(run, trained):
    cwd, _, _ = trained
    outcome = running.run("data", "stats", *DATA, "output=stats", cwd=cwd)
    assert outcome.status == 0, outcome.err
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("normalize.mean=")]
    assert len(line.split()[0].split(",")) == 4
    outcome = running.run("data", "browse", *DATA, *line.split(), "count=2", "output=seen",
                          "dataset.crop.height=64", "dataset.crop.width=64", cwd=cwd)  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert (cwd / "seen/train/browse.html").is_file() or list((cwd / "seen").rglob("*.html"))


def test_the_usual_means_are_refused(trained):
    cwd, _, _ = trained
    outcome = running.run("train", *DATA, *running.SMALL, cwd=cwd)
    assert outcome.error == (
        "normalize.mean=[0.5,0.5,0.5] has 3 of 4 channels: give one number for each channel of the "
        "pictures (dataset.channels), as python -m gcseg.data stats prints them"
    )


@pytest.mark.parametrize("scale", ["0", "-1", "[1,1]", "[3,1]"])
def test_a_scale_without_a_span(run, scale):
    outcome = run("train", "dataset=folder", "dataset.root=x", f"dataset.scale={scale}")
    assert outcome.error.startswith(f"dataset.scale={scale}: give the raw value that counts as 1")


def test_what_decides_the_weights_is_in_the_name():
    composed = plain(compose("train", ["dataset=folder", "dataset.root=x"]))

    def settings(**changes):
        return training_settings({**composed, "dataset": {**composed["dataset"], **changes}})

    usual = settings()
    assert not {"channels", "scale", "nodata"} & usual["dataset"].keys()
    assert "bands" not in usual["dataset"]["reader"]
    assert settings(channels=3, scale=None, nodata=None) == usual
    assert settings(scale=10000) == settings(scale=[0, 10000.0]) != usual
    assert settings(channels=4) != usual
    assert settings(nodata=0) == settings(nodata=0.0) != usual
    assert settings(nodata=float("nan")) == settings(nodata="nan") != usual


def test_bands_on_the_command_line(run, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/classes.yaml").write_text("classes: [a, b, c]")
    for index in range(2):
        for band in ("B02", "B03"):
            write(tmp_path / f"data/{band}/train/{index}.png", mask(index, range(200), 32, 32))
        write(tmp_path / f"data/labels/train/{index}.png", mask(index, (0, 1, 2), 32, 32))
    bands = "dataset.reader.bands=[B02/{split}/{name}.png,B03/{split}/{name}.png]"
    options = ("dataset=folder", "dataset.root=data", "dataset.channels=2")
    outcome = run("data", "stats", *options, bands)
    assert outcome.status == 0, outcome.err
    assert "2 images" in outcome.out


@pytest.mark.parametrize(
    ("array", "warning"),
    [
        (np.full((64, 64, 3), 30000, np.uint16), "16 bits per channel, of which the upper 8 are"),
        (np.full((64, 64, 4), 99, np.uint8), "4 channels, of which the first 3 are read"),
    ],
)
def test_what_is_left_out_is_said(run, tmp_path, capsys, array, warning):
    for split in ("train", "val"):
        path = tmp_path / f"data/images/{split}/{split}.tif"
        path.parent.mkdir(parents=True)
        extra = ["unspecified"] * (array.shape[2] - 3)
        tifffile.imwrite(path, array, photometric="rgb", extrasamples=extra)
        write(tmp_path / f"data/labels/{split}/{split}.png", mask(0, (0, 1, 2), 64, 64))
    (tmp_path / "data/classes.yaml").write_text("classes: [a, b, c]")
    options = ("dataset=folder", "dataset.root=data")
    outcome = run("train", *options, "backbone._target_=tests.tiny.backbone", *running.SMALL,
                  "iters=1", "val_every=1")  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert warning in outcome.err
    folder = running.only_run(tmp_path / "runs")
    trained = (f"checkpoint={folder}", "accelerator=cpu", "trust=true")
    for given in (("eval", "tta=none", "num_workers=0"), ("predict", "source=data/images/val")):
        outcome = run(*given, *trained)
        assert outcome.status == 0, outcome.err
        assert outcome.err.count(warning) == 1
    predictor = Predictor(folder, device="cpu", trust=True)
    capsys.readouterr()
    predictor([tmp_path / "data/images/val/val.tif"] * 2)
    assert capsys.readouterr().err.count(warning) == 1
