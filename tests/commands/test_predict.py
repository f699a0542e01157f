"""gcseg.predict and gcseg.attention on folders as they are found: mixed, broken, older."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from tests.data.trees import picture, write
from tests.predictor.clips import clip, times_of

READ = ("a.png", "b.jpg", "c.JPEG", "d.tif", "e.gif", "f.webp", "g.bmp", "h.jp2", "i.ppm", "j.avif")


def predict(run, training, *overrides, command="predict"):
    return run(
        command, f"checkpoint={training.folder}", "output=out", "accelerator=cpu", *overrides
    )


def outputs(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


@pytest.mark.parametrize(("command", "what"), [("predict", "masks"), ("attention", "pictures")])
def test_all_that_can_be_read_and_the_rest_is_named(run, training, tmp_path, command, what):
    for name in READ:
        write(tmp_path / "in" / name, picture(0))
    for name in ("notes.txt", "a.xml", "b.xml", "LICENSE", "x.heic", ".hidden.txt", "Thumbs.db"):
        (tmp_path / "in" / name).touch()
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    for name in ("broken.png", "cut.jpg"):
        (tmp_path / "in" / name).write_bytes((tmp_path / "in" / "b.jpg").read_bytes()[:400])
    outcome = predict(run, training, "images=in", command=command)
    assert outcome.status == 1
    assert outputs(tmp_path / "out" / what) == [f"{name}.png" for name in "abcdefghij"]
    assert (
        "skipped, because they are not read as images: 5 files (.heic 1, .txt 1, .xml 2, without a "
        "suffix 1)\n"
    ) in outcome.out
    *listed, last = outcome.err.splitlines()
    assert [line.split()[:2] for line in listed] == [
        ["image", "in/broken.png"],
        ["image", "in/cut.jpg"],
    ]
    assert last == (
        "error: 2 of 12 pictures could not be read: fix or remove the files listed above; "
        "all others are done"
    )
    assert f"10 {'predictions' if command == 'predict' else 'attention maps'}: out" in outcome.out


def test_pictures_that_differ_in_their_suffix(run, training, tmp_path):
    for name in ("a.png", "a.jpg", "a.jpg.png", "b.png", "sub/a.png"):
        write(tmp_path / "in" / name, picture(0))
    outcome = predict(run, training, "images=in")
    assert outcome.status == 0, outcome.err
    assert "a.jpg, a.jpg.png, a.png differ from each other only in their suffix" in outcome.out
    assert outputs(tmp_path / "out/masks") == [
        "a.jpg.png", "a.jpg.png.png", "a.png.png", "b.png", "sub/a.png",
    ]  # fmt: skip


def test_what_an_earlier_command_has_left(run, training, tmp_path):
    write(tmp_path / "in" / "a.png", picture(0))
    masks = tmp_path / "out" / "masks"
    write(masks / "older.png", picture(0))
    dead = [masks / ".a.png.4194999.7.partial", tmp_path / "out/.overview.png.4194999.7.partial"]
    alive = masks / f".z.png.{os.getppid()}.7.partial"
    for path in (*dead, alive):
        path.touch()
    outcome = predict(run, training, "images=in")
    assert outcome.status == 0, outcome.err
    assert "out/masks also holds 1 of an earlier command, such as older.png: remove" in outcome.out
    assert "out/pictures also holds" not in outcome.out
    assert sorted(masks.iterdir()) == [alive, masks / "a.png", masks / "older.png"]
    assert not any(path.exists() for path in dead)


@pytest.mark.parametrize(("command", "what"), [("predict", "masks"), ("attention", "pictures")])
def test_outputs_are_no_input(command, what, run, training, tmp_path):
    """Wherever they lie among the pictures, by links too."""
    for name in ("a.png", "b.png"):
        write(tmp_path / "in" / name, picture(0))
    first = predict(run, training, "images=in", "output=in/out", command=command)
    assert first.status == 0 and "left out" not in first.out
    (tmp_path / "in" / "link").symlink_to(tmp_path / "in" / "out")
    again = predict(run, training, "images=in", "output=in/out", command=command)
    assert again.status == 0, again.err
    # Two parts, a sheet and a class list, seen in two places.
    files = "12 files (.png 10, .yaml 2)" if command == "predict" else "6 files (.png 6)"
    assert f"skipped, because outputs are written to in/out: {files}" in again.out
    assert outputs(tmp_path / "in/out" / what) == ["a.png", "b.png"]
    above = predict(run, training, "images=in", "output=.", command=command)
    assert above.status == 0, above.err
    assert outputs(tmp_path / what)[:2] == ["a.png", "b.png"]


@pytest.mark.parametrize("command", ["predict", "attention"])
def test_outputs_among_the_pictures_are_refused(command, run, training, tmp_path):
    for name in ("in/a.png", "pictures/a.png", "overview.png"):
        write(tmp_path / name, picture(0))
    (tmp_path / "link").symlink_to("in")
    before = outputs(tmp_path)
    for images, output, message in (
        ("in", "link", "output=link is the folder of images=in: give output= another folder"),
        ("pictures", ".", "images=pictures would be overwritten, as this command writes pictures:"),
        ("pictures/a.png", ".", "images=pictures/a.png would be overwritten, as this command"),
        ("overview.png", ".", "images=overview.png would be overwritten, as this command"),
    ):
        outcome = predict(run, training, f"images={images}", f"output={output}", command=command)
        assert outcome.error.startswith(message)
    assert outputs(tmp_path) == before


@pytest.mark.parametrize("command", ["predict", "attention"])
def test_what_is_no_file(command, run, training, tmp_path):
    """The user's own folder is none of a dataset."""
    write(tmp_path / "in" / "a.png", picture(0))
    (tmp_path / "in" / "b.png").symlink_to("gone.png")
    os.mkfifo(tmp_path / "in" / "c.png")
    outcome = predict(run, training, "images=in", command=command)
    assert outcome.status == 1
    assert outcome.err.splitlines()[:2] == [
        "image in/b.png is a link to gone.png, which does not exist: remove the link, or restore "
        "the file that it points to",
        "image in/c.png is not a regular file: remove it, or put a file in its place",
    ]
    for images in ("in/b.png", "in/c.png"):
        error = predict(run, training, f"images={images}", command=command).error
        assert error.startswith(f"{images} ") and "a picture" in error


def test_nothing_that_can_be_read(run, training, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.heic").touch()
    error = predict(run, training, "images=in").error
    assert error.startswith("no pictures in in (1 file (.heic 1)): give source= a picture, a video")
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).touch()
    outcome = predict(run, training, "images=in")
    assert outcome.status == 1 and "2 of 2 pictures could not be read" in outcome.err
    assert "overview" not in outcome.out
    (tmp_path / "in" / "b.png").unlink()
    assert predict(run, training, "images=in").error.startswith("image in/a.png is truncated or no")


def test_a_broken_picture_of_a_split(run, training, tmp_path):
    root = tmp_path / "data"
    for number in range(3):
        write(root / f"images/val/{number}.png", picture(number))
        write(root / f"labels/val/{number}.png", np.zeros((20, 24)))
    (root / "images/val/1.png").write_bytes(b"no picture")
    results = json.loads((training.folder / "results.json").read_text())
    names = list(results["evaluations"]["none"]["class_iou"])
    (root / "classes.yaml").write_text(json.dumps({"classes": names}))
    outcome = predict(run, training, "dataset=folder", f"dataset.root={root}", "split=val")
    assert outcome.status == 1
    assert outputs(tmp_path / "out/masks") == ["0.png", "2.png"]


def test_names_of_240_bytes(run, training, tmp_path):
    long = "ä" * 120
    write(tmp_path / "in" / f"{long}.png", picture(0))
    outcome = predict(run, training, "images=in")
    assert outcome.status == 0, outcome.err
    with Image.open(tmp_path / f"out/masks/{long}.png") as mask:
        assert mask.size == (24, 20)


def states(folder):
    return {path.relative_to(folder): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in folder.rglob("*.png") if path.name != "overview.png"}  # fmt: skip


def test_given_again_it_goes_on(run, training, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / "in" / name, picture(ord(name[0])))
    first = predict(run, training, "source=in/*.png", "output.format=mask,panel,csv", "limit=2")
    assert first.status == 0, first.err
    before = states(tmp_path / "out")
    table = (tmp_path / "out/areas.csv").read_text().splitlines()
    (tmp_path / "out/.predictions.jsonl").open("a").write('{"name": "c", "inp')  # killed here
    again = predict(run, training, "images=in", "output.format=mask,panel,csv")
    assert again.status == 0, again.err
    assert "2 of 3 pictures are done: predicted by the same checkpoint and settings" in again.out
    after = states(tmp_path / "out")
    assert {path: after[path] for path in before} == before and len(after) == 6
    assert (tmp_path / "out/areas.csv").read_text().splitlines()[:3] == table
    write(tmp_path / "in" / "a.png", picture(9))
    (tmp_path / "out/masks/b.png").unlink()
    changed = predict(run, training, "source=in", "output.format=mask,panel,csv")
    assert "1 of 3 pictures is done" in changed.out
    other = predict(run, training, "source=in", "output.format=mask,panel,csv", "tta=flip")
    assert "starting over: tta differs from those of the predictions in out" in other.out
    assert "are done" not in other.out


def test_formats_of_pictures(run, training, tmp_path):
    for name in ("a.png", "sub/b.jpg"):
        write(tmp_path / "in" / name, picture(0))
    every = "mask,overlay,probabilities,coco,labelme,label_studio,csv"
    outcome = predict(run, training, "source=in", f"output.format={every}")
    assert outcome.status == 0, outcome.err
    out = tmp_path / "out"
    assert "probabilities of 2 pictures take " in outcome.out
    assert not (out / "pictures").exists() and not (out / "overview.png").exists()
    assert outputs(out / "overlays") == ["a.png", "sub/b.png"]
    mask = np.asarray(Image.open(out / "masks/sub/b.png"))
    with np.load(out / "probabilities/sub/b.npz") as found:
        every = found["probabilities"]
        assert every.dtype == np.float16 and every.shape == (len(found["classes"]), *mask.shape)
        highest = every.max(0)
        assert (np.take_along_axis(every, mask[None].astype(int), 0)[0] == highest).all()
    header, *rows = (out / "areas.csv").read_text().splitlines()
    assert header.startswith("name,") and [row.split(",")[0] for row in rows] == ["a", "sub/b"]
    assert sum(map(float, rows[0].split(",")[1:])) == pytest.approx(1, abs=1e-4)
    coco = json.loads((out / "coco/annotations/instances_predicted.json").read_text())
    assert [one["file_name"] for one in coco["images"]] == ["a.png", "sub/b.jpg"]
    assert (out / "labelme/predicted/sub/b.json").exists()
    assert (out / "labelme/predicted/sub/b.jpg").exists()
    assert len(json.loads((out / "label_studio/tasks.json").read_text())) == 2
    again = predict(run, training, "source=in", "output.format=mask,coco")
    assert again.status == 0, again.err  # an earlier conversion is replaced


def test_sources_that_are_refused(run, training, tmp_path):
    write(tmp_path / "in" / "a.png", picture(0))
    for given, message in (
        (
            ("source=in", "images=out"),
            "source=in and images=out, which are two names of one setting",
        ),
        (("source=ftp://x/y",), "ftp://x/y is an address of ftp: give one of rtsp://"),
        (("source=in", "format=gif"), "format=gif: use one of mask, panel"),
    ):
        assert predict(run, training, *given).error.startswith(message)


def test_videos_among_pictures(run, training, tmp_path):
    write(tmp_path / "in" / "a.png", picture(0))
    clip(tmp_path / "in" / "drive.mp4", (0, 1, 4))
    (tmp_path / "in" / "text.mp4").write_text("no video")
    outcome = predict(run, training, "source=[in,http://127.0.0.1:9/x?y=1,77]", "limit=2")
    assert outcome.status == 1
    assert outputs(tmp_path / "out/masks") == ["a.png", "drive/000000.png", "drive/000001.png"]
    assert len(times_of(tmp_path / "out/overlays/drive.mp4")) == 2
    *listed, last = outcome.err.splitlines()
    assert [line.split()[0] for line in listed] == ["in/text.mp4", "http://127.0.0.1:9/x", "camera"]
    assert last.startswith("error: 3 of 5 pictures and videos could not be read:")
    (tmp_path / "in" / "text.mp4").unlink()
    again = predict(run, training, "source=in", "limit=2")
    assert again.status == 0, again.err
    assert "in/drive.mp4: done by the same checkpoint and settings" in again.out
    whole = predict(run, training, "source=in")
    assert "3 frames of in/drive.mp4: out" in whole.out
    only = predict(run, training, "source=in/drive.mp4", "output.format=coco,labelme")
    assert only.error.startswith("format=coco, labelme is of pictures alone, and in/drive.mp4 is a")
