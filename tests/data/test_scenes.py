"""Drawn street scenes: the label fits the picture, and the dataset is written once and whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gcseg.data.scenes.write as write
from gcseg.data.label_spaces import CITYSCAPES_TRAIN_IDS
from gcseg.data.scenes import draw_scene, write_scenes
from gcseg.errors import ConfigError, OutputError

FREQUENT = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "pole": 17,
    "traffic sign": 20,
    "vegetation": 21,
    "sky": 23,
    "person": 24,
    "car": 26,
}
IGNORED = {1, 3, 4}  # ego vehicle, out of roi, static


def draw(seed, height=128, width=256):
    return draw_scene(np.random.default_rng(seed), height, width)


def read(path):
    return np.asarray(Image.open(path))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Both layouts, with the same parameters."""
    root = tmp_path_factory.mktemp("scenes")
    return {
        layout: write_scenes(root, layout=layout, train=4, val=2, test=1, height=64, width=96)
        for layout in ("cityscapes", "voc")
    }


def test_the_same_seed_draws_the_same_scene():
    for first, second in zip(draw(3), draw(3), strict=True):
        np.testing.assert_array_equal(first, second)


def test_other_seeds_draw_other_scenes():
    images = [draw(seed)[0] for seed in range(4)]
    labels = [draw(seed)[1] for seed in range(4)]
    for index in range(3):
        assert (images[index] != images[index + 1]).mean() > 0.5
        assert (labels[index] != labels[index + 1]).mean() > 0.1


def test_every_class_is_in_most_scenes_and_large_enough_to_learn():
    counts = np.stack([np.bincount(draw(seed)[1].ravel(), minlength=34) for seed in range(24)])
    assert set(np.flatnonzero(counts.sum(axis=0))) <= set(FREQUENT.values()) | IGNORED
    share = counts.sum(axis=0) / counts.sum()
    for name, label_id in FREQUENT.items():
        assert (counts[:, label_id] >= 25).mean() > 0.8, name
        assert share[label_id] > 0.008, name
    assert (counts[:, 3] > 0).all(), "ignored pixels occur in every scene"


def test_the_image_changes_where_the_label_does():
    """Sky and road are told apart by their pixels, so the label was not shifted or mirrored."""
    differences = []
    for seed in range(6):
        image, label = draw(seed)
        for above, below in ((23, 11), (23, 17), (7, 26)):
            edge = (label[:-1] == above) & (label[1:] == below)
            step = np.abs(image[:-1].astype(int) - image[1:].astype(int)).mean(axis=-1)
            inside = label[:-1] == label[1:]
            if edge.any():
                differences.append(step[edge].mean() / step[inside].mean())
    assert np.mean(differences) > 2


@pytest.mark.parametrize(
    ("height", "width"), [(32, 32), (33, 77), (101, 47), (32, 400), (301, 32), (129, 257)]
)
def test_any_size_can_be_drawn(height, width):
    for seed in range(3):
        image, label = draw(seed, height, width)
        assert image.shape == (height, width, 3) and image.dtype == np.uint8
        assert label.shape == (height, width) and label.dtype == np.uint8
        assert image.flags.c_contiguous and label.flags.c_contiguous
        assert set(np.unique(label)) <= set(FREQUENT.values()) | IGNORED


@pytest.mark.parametrize(("height", "width"), [(31, 64), (64, 0)])
def test_too_small_scenes_are_refused(height, width):
    with pytest.raises(ConfigError, match=r"(height=31|width=0): use at least 32 pixels"):
        draw(0, height, width)


def test_the_cityscapes_tree(trees):
    folder = trees["cityscapes"]
    assert folder.name == "cityscapes-64x96-4+2+1-s0-v1"
    images = sorted(folder.glob("leftImg8bit/*/*/*_leftImg8bit.png"))
    assert [path.parts[-3] for path in images] == ["test", *["train"] * 4, *["val"] * 2]
    assert len({path.parts[-2] for path in images}) > 3
    for path in images:
        split, city, name = path.parts[-3:]
        assert name.startswith(f"{city}_") and name.count("_") == 3
        assert read(path).shape == (64, 96, 3)
        label = folder / "gtFine" / split / city / name.replace("leftImg8bit", "gtFine_labelIds")
        assert label.is_file() == (split != "test")
        if split != "test":
            assert read(label).shape == (64, 96)
    assert len(names(folder)) == 7 + 6


def test_the_files_hold_the_drawn_scene(trees):
    image, label = draw([0, 0, 1], 64, 96)
    stem = "train/brunnhagen/brunnhagen_000001_000019"
    folder = trees["cityscapes"]
    np.testing.assert_array_equal(read(folder / f"leftImg8bit/{stem}_leftImg8bit.png"), image)
    np.testing.assert_array_equal(read(folder / f"gtFine/{stem}_gtFine_labelIds.png"), label)


def test_the_voc_tree(trees):
    folder = trees["voc"] / "VOCdevkit" / "VOC2012"
    lists = {
        path.stem: path.read_text().split() for path in folder.glob("ImageSets/Segmentation/*.txt")
    }
    assert {name: len(stems) for name, stems in lists.items()} == {
        "train": 4, "val": 2, "test": 1, "trainval": 6, "trainaug": 4,
    }  # fmt: skip
    sizes = set()
    for stem in lists["trainval"]:
        image = read(folder / f"JPEGImages/{stem}.jpg")
        with Image.open(folder / f"SegmentationClass/{stem}.png") as palette_png:
            assert palette_png.mode == "P"
            colors = np.array(palette_png.getpalette()).reshape(-1, 3)
            indices = np.asarray(palette_png)
        assert colors[[0, 1, 255]].tolist() == [[0, 0, 0], [128, 0, 0], [224, 224, 192]]
        assert indices.shape == image.shape[:2]
        assert set(np.unique(indices)) <= {*range(19), 255}
        assert (indices[0] == 255).all() and (indices[:, -1] == 255).all()
        np.testing.assert_array_equal(read(folder / f"SegmentationClassAug/{stem}.png"), indices)
        sizes.add(image.shape[:2])
    assert len(sizes) > 1
    assert all(48 <= height <= 64 and 72 <= width <= 96 for height, width in sizes)
    assert (folder / f"JPEGImages/{lists['test'][0]}.jpg").is_file()
    assert not (folder / f"SegmentationClass/{lists['test'][0]}.png").exists()


def test_voc_indices_are_the_train_ids_of_the_drawn_label(trees):
    rng = np.random.default_rng([0, 0, 2])
    height, width = (int(rng.integers(size * 3 // 4, size + 1)) for size in (64, 96))
    image, label = draw_scene(rng, height, width)
    folder = trees["voc"] / "VOCdevkit" / "VOC2012"
    expected = np.vectorize(lambda label_id: CITYSCAPES_TRAIN_IDS.get(label_id, 255))(label)
    np.testing.assert_array_equal(read(folder / "SegmentationClass/2010_000002.png"), expected)
    jpeg = read(folder / "JPEGImages/2010_000002.jpg").astype(int)
    assert np.abs(jpeg - image).mean() < 6


def test_a_scene_does_not_depend_on_how_many_there_are(trees, tmp_path):
    for layout, folder in trees.items():
        fewer = write_scenes(tmp_path, layout=layout, train=1, val=1, height=64, width=96)
        kept = [name for name in names(fewer) if not name.endswith(".txt")]
        assert kept
        for name in kept:
            assert (fewer / name).read_bytes() == (folder / name).read_bytes()


def test_written_once(trees):
    folder = trees["cityscapes"]
    before = {name: (folder / name).stat().st_mtime_ns for name in names(folder)}
    again = write_scenes(folder.parent, train=4, val=2, test=1, height=64, width=96)
    assert again == folder
    assert {name: (folder / name).stat().st_mtime_ns for name in names(folder)} == before


def test_other_parameters_get_another_folder(tmp_path):
    size = {"train": 1, "val": 1, "height": 32, "width": 32}
    folders = {
        write_scenes(tmp_path, **{**size, **change})
        for change in ({}, {"seed": 1}, {"val": 2}, {"width": 33}, {"layout": "voc"}, {"test": 1})
    }
    assert len(folders) == 6
    assert sorted(tmp_path.iterdir()) == sorted(folders), "no temporary folder is left"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch, error):
    drawn = []

    def interrupt(*arguments):
        drawn.append(arguments)
        if len(drawn) == 3:
            raise error
        return draw_scene(*arguments)

    monkeypatch.setattr(write, "draw_scene", interrupt)
    with pytest.raises(error):
        write_scenes(tmp_path, train=4, val=1, height=32, width=32)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_does_no_harm(tmp_path):
    stale = tmp_path / ".cityscapes-32x32-1+1-s0-v1.0123456789ab.tmp" / "leftImg8bit"
    stale.mkdir(parents=True)
    folder = write_scenes(tmp_path, train=1, val=1, height=32, width=32)
    assert len(names(folder)) == 4


def test_two_processes_may_write_the_same(tmp_path):
    script = (
        "import sys; from gcseg.data.scenes import write_scenes\n"
        "print(write_scenes(sys.argv[1], train=12, val=2, height=64, width=64))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [Path(writer.communicate(timeout=60)[0].strip()) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert answers[0] == answers[1]
    assert list(tmp_path.iterdir()) == [answers[0]]
    assert len(names(answers[0])) == 28


def test_the_loser_of_a_race_uses_the_winners_folder(tmp_path, monkeypatch):
    size = {"train": 1, "val": 1, "height": 32, "width": 32}

    def overtake(*arguments):
        monkeypatch.undo()
        (write_scenes(tmp_path, **size) / "winner").touch()
        return draw_scene(*arguments)

    monkeypatch.setattr(write, "draw_scene", overtake)
    folder = write_scenes(tmp_path, **size)
    assert (folder / "winner").exists()
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "coco"}, r"layout='coco': use one of cityscapes, voc"),
        ({"train": -1}, r"train=-1: use 0 or more images"),
        ({"train": 0, "val": 0}, r"train=0, val=0 and test=0: ask for at least one image"),
        ({"height": 16}, r"height=16: use at least 32 pixels"),
        ({"width": 31}, r"width=31: use at least 32 pixels"),
        ({"seed": -2}, r"seed=-2: use 0 or more"),
    ],
)
def test_impossible_parameters_are_named(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        write_scenes(tmp_path, **change)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["file", "too long" * 40])
def test_an_unwritable_root_is_named(tmp_path, name):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=rf"can't be written to .*/{name}/cityscapes-.*: choose"):
        write_scenes(tmp_path / name, train=1, val=0, height=32, width=32)


def test_a_full_disk_is_an_output_error(tmp_path, monkeypatch):
    def fail(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match=r"No space left on device.*enough free space"):
        write_scenes(tmp_path, train=1, val=0, height=32, width=32)
    assert not list(tmp_path.iterdir())
