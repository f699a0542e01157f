"""What a path, a pattern, a list, a number or an address stands for."""

from pathlib import Path

import pytest

from gcseg.errors import ConfigError, DataError
from gcseg.predictor.sources import Video, find_sources
from tests.data.trees import picture, write
from tests.predictor.clips import SPACE


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.png", "in/sub/b.png", "in/sub/c.jpg", "other/a.png"):
        write(tmp_path / name, picture(0))
    for name in ("in/drive.mp4", "in/sub/drive.MOV", "in/notes.xml"):
        (tmp_path / name).write_bytes(b"x")


def found(given, said=None):
    faults = []
    say = (lambda line: None) if said is None else said.append
    sources = find_sources(given, SPACE, faults=faults, say=say)
    pictures = {pair.name: str(pair.image) for pair in sources.pictures}
    return pictures, sources.videos, [str(fault) for fault in faults]


def test_folders_and_files():
    said = []
    pictures, videos, _ = found("in", said)
    assert pictures == {"a": "in/a.png", "sub/b": "in/sub/b.png", "sub/c": "in/sub/c.jpg"}
    assert videos == [Video("drive", Path("in/drive.mp4")),
                      Video("sub/drive", Path("in/sub/drive.MOV"))]  # fmt: skip
    assert said == ["skipped, because they are not read as images: 1 file (.xml 1)"]
    assert found("in/a.png")[0] == {"a": "in/a.png"}
    assert found("in/drive.mp4")[1] == [Video("drive", Path("in/drive.mp4"))]


def test_patterns():
    assert found("in/**/*.png")[0] == {"a": "in/a.png", "sub/b": "in/sub/b.png"}
    said = []
    pictures, videos, _ = found("in/*", said)
    assert list(pictures) == ["a"] and [video.name for video in videos] == ["drive"]
    assert said == ["skipped, because they are not read as images: 1 file (.xml 1)"]
    with pytest.raises(DataError, match=r"^no file matches in/\*.bmp: give source="):
        found("in/*.bmp")


def test_several_are_named_apart_and_once():
    said = []
    pictures, _, _ = found(["in", "other", "in/a.png"], said)
    assert list(pictures) == ["in/a", "in/sub/b", "in/sub/c", "other/a"]
    assert "left out, because named before: 1 file" in said


@pytest.mark.parametrize("ending", ["txt", "csv"])
def test_lists(ending, tmp_path):
    lines = ["# mine", "a.png", "", "sub/b.png", "drive.mp4", "gone.png"]
    if ending == "csv":
        lines = [line and f"{line},0" for line in lines]
    refused = ["http://127.0.0.1/x.mp4", "more.txt"]
    (tmp_path / f"in/list.{ending}").write_text("\n".join(lines + refused))
    pictures, videos, faults = found(f"in/list.{ending}")
    assert pictures == {"a": "in/a.png", "sub/b": "in/sub/b.png"} or list(pictures) == [
        "a",
        "sub/b",
    ]
    assert [video.name for video in videos] == ["drive"]
    assert len(faults) == 3
    assert any("http://127.0.0.1/x.mp4 in in/list" in one and "an address" in one for one in faults)
    assert any("gone.png does not exist" in one for one in faults)
    assert any("more.txt in in/list" in one for one in faults)
    (tmp_path / "empty.txt").write_text("# none\n")
    with pytest.raises(DataError, match=r"list empty.txt names no file"):
        found("empty.txt")


def test_cameras_and_addresses():
    address = "rtsp://me:secret@cam.local:8554/live/1?token=x"
    _, videos, _ = found([0, "1", address, "http://cam.local/a", "https://cam.local/a"])
    names = ["camera0", "camera1", "cam.local_8554_live_1", "cam.local_a", "cam.local_a_2"]
    assert [video.name for video in videos] == names
    assert [video.place for video in videos[:3]] == [0, 1, address]
    assert str(videos[2]) == "rtsp://cam.local:8554/live/1"
    for other in ("file:///etc/passwd", "ftp://x/y", "concat:///a"):
        with pytest.raises(ConfigError, match="is an address of"):
            found(other)
    Path("7").mkdir()
    write(Path("7/a.png"), picture(0))
    assert list(found("7")[0]) == ["a"]  # a folder of that name is no camera


def test_one_of_several_that_is_missing_is_a_fault_among_others():
    pictures, _, faults = found(["gone", "other"])
    assert list(pictures) == ["a"] and len(faults) == 1 and faults[0].startswith("gone does not ex")
    with pytest.raises(DataError, match=r"^gone does not exist: give source= a picture"):
        found(["gone", "too"])
