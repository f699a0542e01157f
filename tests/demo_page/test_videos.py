"""Videos on the page: frame by frame in the background, up to a limit, playable in a browser."""

import csv
import io
import re
import time

import numpy as np
import pytest

from gcseg.demo_page.videos import VideoJob
from gcseg.errors import ConfigError
from tests.demo_page.pages import SPACE, picture, served, shown
from tests.predictor.clips import clip, pyav

pytestmark = pytest.mark.usefixtures("av")


@pytest.fixture(scope="module")
def av():
    return pyav()


@pytest.fixture(scope="module")
def browser(av):
    with served(shown(), shown("second", seed=1), frames=5) as browser:
        yield browser


def ended(browser, key):
    for _ in range(600):
        found = browser.json(f"/videos/{key}")
        if found["state"] in ("done", "failed"):
            return found
        time.sleep(0.05)
    pytest.fail(f"still {found}")


def test_a_video_by_two_networks(browser, tmp_path, av):
    given = browser.give("drive.mp4", clip(tmp_path / "a.mp4").read_bytes(), mode="flip")
    assert given["video"] and given["name"] == "drive.mp4"
    found = ended(browser, given["key"])
    assert (found["state"], found["mode"], found["error"]) == ("done", "flip", "")
    (note,) = found["notes"]  # said once, though both networks read it
    assert note.startswith("predicted up to frame 5, the last that this page takes")
    for number, result in enumerate(found["results"]):
        at = f"/videos/{given['key']}/{number}"
        assert result["frames"] == 5 and sum(result["areas"]) == pytest.approx(1)
        status, headers, content = browser.ask(f"{at}/overlay.mp4")
        assert status == 200 and headers["Content-Type"] == "video/mp4"
        with av.open(io.BytesIO(content)) as video:
            track = video.streams.video[0]
            assert (track.codec_context.name, track.pix_fmt) == ("h264", "yuv420p")
            assert len([*video.decode(video=0)]) == 5
        rows = [*csv.DictReader(io.StringIO(browser.ask(f"{at}/areas.csv")[2].decode()))]
        assert len(rows) == 5
        means = [np.mean([float(row[name]) for row in rows]) for name in SPACE.names]
        assert result["areas"] == pytest.approx(means)


def test_parts_of_a_video_as_players_ask_for_them(browser, tmp_path):
    key = browser.give("a.mp4", clip(tmp_path / "a.mp4").read_bytes())["key"]
    ended(browser, key)
    at = f"/videos/{key}/0/overlay.mp4"
    whole = browser.ask(at)[2]
    for asked, first, last in (("0-", 0, len(whole)), ("5-9", 5, 10),
                               ("-7", len(whole) - 7, len(whole)),
                               (f"8-{len(whole) * 2}", 8, len(whole))):  # fmt: skip
        status, headers, content = browser.ask(at, Range=f"bytes={asked}")
        assert status == 206 and content == whole[first:last]
        assert headers["Content-Range"] == f"bytes {first}-{last - 1}/{len(whole)}"
    beyond = f"bytes={len(whole)}-"
    for asked in ("bytes=-", "bytes=-0", "bytes=9-5", "bytes=0-1,3-4", "lines=1-2", beyond):
        status, _, content = browser.ask(at, Range=asked)
        assert status == 200 and content == whole


def test_again_in_another_mode(browser, tmp_path):
    key = browser.give("a.mp4", clip(tmp_path / "a.mp4").read_bytes())["key"]
    assert ended(browser, key)["mode"] == "none"
    browser.json(f"/videos/{key}/in/flip", "POST")
    found = ended(browser, key)
    assert (found["mode"], found["state"], len(found["results"])) == ("flip", "done", 2)


def test_videos_that_can_not_be_read(browser, tmp_path):
    whole = clip(tmp_path / "a.mp4", sound=False).read_bytes()
    sound = clip(tmp_path / "b.mp4").read_bytes()
    for name, content in (
        ("broken.mp4", b"\0\0\0\x20ftypisom" + b"x" * 500),
        ("empty.mp4", b""),
        ("cut.mp4", whole[: len(whole) // 2]),
        ("text.avi", b"this is text"),
    ):
        found = ended(browser, browser.give(name, content)["key"])
        assert found["state"] == "failed" and not found["results"]
        assert re.match(f"{name} (is damaged or no video|has no pictures)", found["error"])
    assert ended(browser, browser.give("whole.mp4", sound)["key"])["state"] == "done"


def test_a_video_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(VideoJob, "_advance", slowed(VideoJob._advance))
    with served(frames=1000) as browser:
        content = clip(tmp_path / "a.mp4", times=range(200)).read_bytes()
        key = browser.give("long.mp4", content)["key"]
        for _ in range(1000):
            if browser.json(f"/videos/{key}")["fraction"]:
                break
            time.sleep(0.01)
        progress = browser.json(f"/videos/{key}")["progress"]
        assert "of 200" in progress and "frames/s" in progress and "left" in progress
        picture_key = browser.give("a.png", picture(tmp_path).read_bytes())["key"]
        assert browser.json(f"/pictures/{picture_key}/in/none")["results"]  # does not wait for it
        browser.json(f"/videos/{key}/stop", "POST")
        found = ended(browser, key)
        assert (found["state"], found["error"]) == ("failed", "long.mp4 is stopped")
        assert (
            "not predicted yet" in browser.json(f"/videos/{key}/0/areas.csv", status=422)["error"]
        )
        folder = browser.page.uploads.folder / key
        assert [path.name for path in folder.rglob("*") if path.is_file()] == [f"{key}.mp4"]


def slowed(advance):
    def slow(job, done, total):
        time.sleep(0.02)
        advance(job, done, total)

    return slow


def test_sound_that_mp4_can_not_hold_is_left_out(browser, tmp_path, av):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        track = file.add_stream("libx264", rate=25)
        track.height, track.width, track.pix_fmt = 48, 64, "yuv420p"
        tone = file.add_stream("pcm_s16le", rate=16000, layout="mono")
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            file.mux(track.encode(frame))
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 512), np.int16), format="s16", layout="mono"
        )
        sound.sample_rate = 16000
        file.mux(tone.encode(sound))
        file.mux(tone.encode())
        file.mux(track.encode())
    key = browser.give("a.mkv", path.read_bytes())["key"]
    found = ended(browser, key)
    assert "a.mkv: its sound (pcm_s16le) is left out, as MP4 can't hold it" in found["notes"]
    with av.open(io.BytesIO(browser.ask(f"/videos/{key}/0/overlay.mp4")[2])) as video:
        assert not video.streams.audio and len([*video.decode(video=0)]) == 3


def test_without_pyav_videos_are_refused(monkeypatch):
    def missing():
        raise ConfigError("videos are read by PyAV, which is not installed", "pip install it")

    monkeypatch.setattr("gcseg.demo_page.page.pyav", missing)
    with served() as browser:
        assert "PyAV" in browser.json("/about")["videos"]
        assert "PyAV" in browser.refused("a.mp4", b"abc")
