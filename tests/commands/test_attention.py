"""python -m gcseg.attention: what it writes, and mistakes in one line."""

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from gcseg.visualization.attention_pictures import (
    attention_overlay,
    attention_panel,
    relative_weights,
)


def test_writes_pictures_and_a_sheet(run, training, tmp_path):
    outcome = run("attention", f"checkpoint={training.folder}", "limit=2", "output=out",
                  "accelerator=cpu")  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert outcome.out == "2 attention maps: out\npicture: out/overview.png\n"
    output = tmp_path / "out"
    files = sorted(path.relative_to(output).as_posix() for path in output.rglob("*.*"))
    assert len(files) == 3 and files[0] == "overview.png"
    image = Image.open(output / files[1])
    assert image.height == 64 and 2 * 96 + 8 < image.width < 3 * 96
    with Image.open(output / "overview.png") as sheet:
        assert sheet.width == 1280 and sheet.height > 2 * image.height * 1280 / image.width


def test_pictures_of_any_size_padded_and_fitted(run, training, tmp_path):
    pictures = tmp_path / "pictures"
    for name, size in {"a": (50, 41), "sub/b": (97, 33)}.items():
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "red").save(pictures / f"{name}.jpg")
    given = ("attention", f"checkpoint={training.folder}", "images=pictures", "accelerator=cpu")
    for number, setting in enumerate(
        (
            ("dataset.pad.height=96", "dataset.pad.width=96"),
            ("protocol.resize=fit", "dataset.fit.long=64", "dataset.fit.short=48"),
        )
    ):
        outcome = run(*given, f"output=out{number}", *setting)
        assert outcome.status == 0, outcome.err
        for name, size in {"a": (50, 41), "sub/b": (97, 33)}.items():
            with Image.open(tmp_path / f"out{number}/pictures/{name}.png") as picture:
                assert picture.height == size[1] and picture.width > 2 * size[0]


def test_several_sources_what_is_broken_among_them_and_no_video(run, training, tmp_path):
    for name in ("a/1.jpg", "b/2.jpg", "b/3.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (50, 41), "red").save(tmp_path / name)
    (tmp_path / "b/3.jpg").write_bytes(b"no picture")
    (tmp_path / "b/4.mp4").write_bytes(b"a video")
    given = ("attention", f"checkpoint={training.folder}", "accelerator=cpu", "output=out")
    outcome = run(*given, "source=[a,b/*]")
    assert outcome.status == 1
    assert "left out: 1 video, such as " in outcome.out and "b/4.mp4\n" in outcome.out
    assert "2 attention maps: out" in outcome.out
    assert "1 of 3 pictures could not be read" in outcome.err
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.png"))
    assert names == ["1.png", "2.png", "overview.png"]
    assert run(*given, "source=b/4.mp4").error == "b/4.mp4 is a video: give pictures"
    assert "which are two names of one setting" in run(*given, "source=a", "images=b").error


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["head=fcn", "weights=ema"], "has no averaged weights"),
        (["limit=0"], "limit=0: give a whole number of images, 1 or more"),
        (["images=nowhere"], "nowhere"),
        (["output=text"], "can't be written"),
        (["accelerator=tpu"], "accelerator=tpu: use one of"),
    ],
)
def test_what_it_refuses(run, training, tmp_path, overrides, message):
    (tmp_path / "text").write_text("no folder")
    outcome = run("attention", f"checkpoint={training.folder}", *overrides)
    assert message in outcome.error


def test_a_head_without_a_map_is_named(run, training, tmp_path):
    folder = tmp_path / "fcn"
    (folder / "checkpoints").mkdir(parents=True)
    config = yaml.safe_load((training.folder / "config.yaml").read_text())
    config["head"] = {"name": "fcn", "_target_": "gcseg.models.FCNHead", "channels": 16}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    content = torch.load(training.folder / "checkpoints/best.ckpt", weights_only=True)
    tensors = content["state_dict"]
    content["state_dict"] = {key: tensors[key] for key in tensors if ".context." not in key}
    torch.save(content, folder / "checkpoints/best.ckpt")
    error = run("attention", f"checkpoint={folder}", "accelerator=cpu").error
    assert error.startswith("the head has no attention map (no context block): take head=gc,")
    assert not (folder / "attention").exists()


def test_no_checkpoint(run):
    assert run("attention").error == "checkpoint is not set: give checkpoint=..."


def test_weights_are_multiples_of_the_uniform_one():
    uniform = np.full((3, 4), 1 / 12, np.float32)
    np.testing.assert_allclose(relative_weights(uniform, 24, 32), np.ones((24, 32)), rtol=1e-5)
    peak = np.zeros((3, 4), np.float32)
    peak[2, 3] = 1
    relative = relative_weights(peak, 24, 32)
    assert relative[-1, -1] == 12 and relative[0, 0] == 0
    cut = relative_weights(peak, 16, 24, padded=(24, 32))
    np.testing.assert_array_equal(cut, relative[:16, :24])


def test_overlay_is_brightest_where_the_weight_is():
    image = np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)
    weights = np.full((5, 6), 0.01, np.float32)
    weights[1, 4] = 0.71
    relative = relative_weights(weights, 33, 47)
    picture = attention_overlay(image, relative)
    assert picture.shape == image.shape and picture.dtype == np.uint8
    brightness = picture.astype(int).sum(axis=2)
    row, column = np.unravel_index(brightness.argmax(), brightness.shape)
    assert (row * 5 // 33, column * 6 // 47) == (1, 4)
    flat = attention_overlay(np.full_like(image, 128), np.ones((33, 47), np.float32))
    assert (flat == flat[0, 0]).all(), "a uniform map has one colour"
    assert attention_panel(image, relative).shape[0] == 33
