"""What of a training's settings may be shared."""

import pytest

from gcseg.publishing.settings import shareable

CONFIG = {
    "backbone": {"name": "r18", "pretrained": None},
    "dataset": {"name": "mine", "root": "/home/ann/mine", "cache": "disk",
                "cache_folder": "/scratch/ann", "reader": {"classes": "classes.yaml"}},
    "checkpoint": None,
    "logger": {"entity": "ann", "token": "secret"},
    "run_root": "/home/ann/runs",
}  # fmt: skip


def with_reader(**reader):
    return {**CONFIG, "dataset": {**CONFIG["dataset"], "reader": reader}}


def test_what_is_of_a_machine_is_left_out_and_said():
    settings, notes = shareable(CONFIG)
    assert settings == {
        "backbone": {"name": "r18", "pretrained": None},
        "dataset": {"name": "mine", "root": "data/mine", "reader": {"classes": "classes.yaml"}},
        "checkpoint": None,
    }
    assert notes == [
        "in the settings, dataset.root is now data/mine",
        "left out of the settings: logger, run_root, dataset.cache, dataset.cache_folder",
    ]


@pytest.mark.parametrize(
    ("given", "shared"),
    [
        ("images/{split}", "images/{split}"),
        ("/home/ann/mine/images/{split}", "images/{split}"),
        ("/home/ann/secret/list.txt", "list.txt"),
        ("~/list.txt", "list.txt"),
        ("../ann/list.txt", "list.txt"),
        ("C:\\Users\\ann\\list.txt", "list.txt"),
        ("\\\\server\\ann\\list.txt", "list.txt"),
        ("https://ann:secret@host/list.txt", "list.txt"),
        (["/home/ann/a.tif", "b.tif"], ["a.tif", "b.tif"]),
        ("/home/ann/mine/../secret/x", "x"),
        ("/home/ann/mine/./a/../images", "images"),
        ("file:/home/ann/x", "x"),
        ("a,/home/ann/x", "x"),
        ("{/home/ann/x,b}", "x,b"),
        (" /home/ann/x", "x"),
        ("..\\ann\\x", "x"),
        ("host:/srv/ann/x", "x"),
        ("a/..", "file"),
        ({"/home/ann/x": 1, "b": "/home/ann/y"}, {"x": 1, "b": "y"}),
        ({3: 0.5}, {3: 0.5}),
        ("data/camvid", "data/camvid"),
        ("a~b, 1/2", "a~b, 1/2"),
        ("car / truck", "car / truck"),
    ],
)
def test_paths_of_a_machine_are_shortened(given, shared):
    settings, notes = shareable(with_reader(images=given))
    assert settings["dataset"]["reader"]["images"] == shared
    assert (given != shared) == any("dataset.reader.images is now" in note for note in notes)


@pytest.mark.parametrize(
    ("given", "shared"),
    [
        ("paddleseg/gcnet_r50_voc", "paddleseg/gcnet_r50_voc"),
        ("hf://owner/name@main", "hf://owner/name@main"),
        ("runs/my_client/checkpoints/best.ckpt", "best.ckpt"),
        ("/home/ann/best.ckpt", "best.ckpt"),
    ],
)
def test_starting_weights_are_a_public_name_or_the_name_of_a_file(given, shared):
    settings, _ = shareable({**CONFIG, "checkpoint": given})
    assert settings["checkpoint"] == shared


def test_nothing_that_was_given_is_changed():
    before = repr(CONFIG)
    shareable(CONFIG)
    assert repr(CONFIG) == before
