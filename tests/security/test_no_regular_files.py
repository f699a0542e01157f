"""A pipe, a socket, a device or a folder with a picture's name hangs no command."""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from gcseg import Predictor
from gcseg.errors import DataError
from tests import running
from tests.running import SMALL, only_run

SECONDS = 60
"""A command takes two."""
OWN = ("backbone._target_=tests.tiny.backbone", *SMALL)


def device(path):
    """An endless file, by a link to it, as devices are made by root alone."""
    path.symlink_to("/dev/zero")


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):  # for a short name
        made.bind(path.name)


KINDS = {"pipe": os.mkfifo, "socket": unix_socket, "device": device}


def picture(path, shape):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 2, shape, np.uint8)).save(path)


def dataset(root, splits=("train", "val")):
    for split in splits:
        for index in range(2):
            picture(root / f"images/{split}/{split}{index}.png", (64, 64, 3))
            picture(root / f"labels/{split}/{split}{index}.png", (64, 64))
    (root / "classes.yaml").write_text("classes: [a, b]")
    return root


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("regular")
    root = dataset(cwd / "data")
    data = ("dataset=folder", f"dataset.root={root}")
    outcome = running.run("train", *OWN, *data, "iters=1", "tta=none", cwd=cwd)
    assert outcome.status == 0, outcome.err
    return only_run(cwd / "runs")


def ends(task, cwd):
    """Run a task in a forked process, and return its status and what it prints."""
    console = cwd / "console.txt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads that the process has
        child = os.fork()
    if child == 0:
        for number in (1, 2):
            os.dup2(os.open(console, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        task()
        os._exit(0)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            text = console.read_text()
            console.unlink()
            return os.waitstatus_to_exitcode(status), text
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail(f"it hangs: {console.read_text()}")


@pytest.fixture
def command(tmp_path):
    """Run a command in a forked process."""

    def command(name, *overrides):
        return ends(lambda: running.become(name, *overrides, cwd=tmp_path), tmp_path)

    return command


def spoilt(root, kinds):
    """A dataset with a file of each kind among its pictures, and an empty folder."""
    dataset(root)
    for split in ("train", "val"):
        for kind in kinds:
            KINDS[kind](root / f"images/{split}/{kind}.png")
            picture(root / f"labels/{split}/{kind}.png", (64, 64))
        (root / f"images/{split}/folder.png").mkdir()
    return ("dataset=folder", f"dataset.root={root}", *OWN)


def test_a_training_names_it(command, tmp_path):
    status, text = command("train", *spoilt(tmp_path / "data", ["pipe"]), "iters=1", "tta=none")
    assert (status, text.count("train/pipe.png is not a regular file")) == (1, 1), text


def test_tools_for_data_name_it(command, tmp_path):
    data = spoilt(tmp_path / "data", ["pipe"])
    for action in ("stats", "browse", "benchmark"):
        status, text = command("data", action, *data, "benchmark.images=3")
        assert (status, "pipe.png is not a regular file" in text) == (1, True), (action, text)


def test_where_all_files_are_read_all_are_named(command, trained, tmp_path):
    data = spoilt(tmp_path / "data", KINDS)
    given = (f"checkpoint={trained}", data[1], "trust=true", "accelerator=cpu", "output=out")
    folder = tmp_path / "data/images/val"
    with_videos = importlib.util.find_spec("av") is not None
    if with_videos:
        os.mkfifo(folder / "video.mp4")
    for name, *overrides in (
        ("data", "check", *data),
        ("predict", *given),
        ("predict", *given, f"source={folder}"),
        ("attention", *given),
    ):
        status, text = command(name, *overrides)
        assert status == 1
        for kind in KINDS:
            assert f"val/{kind}.png is not a regular file" in text, (name, kind, text)
        if overrides[-1].startswith("source=") and with_videos:
            assert "val/video.mp4 is not a regular file" in text
    status, text = command("eval", *given[:-1], "tta=none", "num_workers=0")
    assert (status, text.count("is not a regular file")) == (1, 1), text


def test_as_a_single_source(command, trained, tmp_path):
    spoilt(tmp_path / "data", KINDS)
    given = (f"checkpoint={trained}", "trust=true", "accelerator=cpu", "output=out")
    for kind in KINDS:
        path = tmp_path / f"data/images/val/{kind}.png"
        status, text = command("predict", *given, f"source={path}")
        assert (status, "Traceback" in text) == (1, False), text


def test_the_predictor_names_it(trained, tmp_path):
    spoilt(tmp_path / "data", KINDS)
    predictor = Predictor(trained, device="cpu", trust=True)
    for kind in KINDS:
        path = tmp_path / f"data/images/val/{kind}.png"

        def predict(path=path):
            for task in (predictor, lambda path: list(predictor.stream(path.parent))):
                try:
                    task(path)
                except DataError as error:
                    os.write(1, f"{error}\n".encode())

        status, text = ends(predict, tmp_path)
        assert (status, text.count("regular file")) == (0, 2), text


def test_conversions_name_it(command, tmp_path):
    """As the picture of an annotation, and as a mask."""
    for kind, make in KINDS.items():
        source = tmp_path / kind
        picture(source / "masks/mask.png", (64, 64))
        picture(source / "images/mask.png", (64, 64, 3))
        make(source / f"images/{kind}.png")
        make(source / f"masks/{kind}.png")
        (source / "labelme").mkdir()
        make(source / f"labelme/{kind}.png")
        shape = {"label": "a", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
        content = {"imagePath": f"{kind}.png", "imageHeight": 64, "imageWidth": 64,
                   "shapes": [shape]}  # fmt: skip
        (source / "labelme/a.json").write_text(json.dumps(content))
        (source / "masks/classes.yaml").write_text(
            "classes: [{name: a, color: [0, 0, 0]}, {name: b, color: [1, 1, 1]}]"
        )
        for number, given in enumerate((
            (f"source={source}/labelme", "format=labelme", "unlabelled=background"),
            (f"source={source}/masks", f"images={source}/images", "format=rgb",
             f"classes={source}/masks/classes.yaml"),
            (f"source={source}/masks", f"images={source}/images", "to=labelme"),
        )):  # fmt: skip
            _, text = command("data", "convert", *given, f"output={source}/out{number}")
            assert f"{kind}.png" in text and "Traceback" not in text, text
