"""Videos in, videos and tables out: times, sound, turned frames, and what ends in the middle."""

import csv
import http.server
import os
import re
import signal
import sys
import threading
import time
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from gcseg.errors import ConfigError, DataError
from gcseg.predictor import decoded, video_run
from gcseg.predictor.decoded import DecodedFrames
from gcseg.predictor.network import TrainedNetwork
from gcseg.predictor.prediction import Prediction
from gcseg.predictor.sources import Video
from gcseg.predictor.stream import Picture, predictions
from gcseg.predictor.video import Frame, OpenVideo, opened
from gcseg.predictor.video_files import VideoFiles
from gcseg.predictor.video_run import predict_video, video_predictions
from gcseg.predictor.videos import check_videos
from tests.predictor.clips import (
    IRREGULAR,
    SPACE,
    Brightness,
    clip,
    picture,
    pyav,
    sound_of,
    times_of,
)

pytestmark = pytest.mark.usefixtures("av")
FORMATS = ("mask", "overlay", "csv")
CLOCK = Fraction(1, 25)


@pytest.fixture(scope="module")
def av():
    return pyav()


def written(path, out, formats=FORMATS, **options):
    video = Video("clip", path)
    return predict_video(Brightness(), video, out, None, formats, **options)


def test_masks_overlays_and_areas_have_the_times_and_the_sound(tmp_path):
    path = clip(tmp_path / "a.mp4")
    files, fault = written(path, tmp_path / "out", (*FORMATS, "panel", "probabilities"))
    assert fault is None and files.numbers == list(range(len(IRREGULAR)))
    wanted = [time / 25 for time in IRREGULAR]
    for folder in ("overlays", "pictures"):
        video = tmp_path / "out" / folder / "clip.mp4"
        assert times_of(video) == pytest.approx(wanted, abs=1e-4)
        assert sound_of(video) == sound_of(path)
    rows = list(csv.DictReader((tmp_path / "out/areas/clip.csv").open()))
    assert [float(row["seconds"]) for row in rows] == pytest.approx(wanted, abs=1e-4)
    for number in range(len(IRREGULAR)):
        mask = np.asarray(Image.open(tmp_path / f"out/masks/clip/{number:06}.png"))
        truth = (picture(number, 48, 64)[..., 0] > 128).astype(np.uint8)
        assert (mask != truth).mean() < 0.03  # of compression
        assert float(rows[number]["bright"]) == pytest.approx(mask.mean(), abs=1e-6)
        with np.load(tmp_path / f"out/probabilities/clip/{number:06}.npz") as found:
            assert found["classes"].tolist() == ["dark", "bright"]
            assert np.array_equal(found["probabilities"][1], mask)
    with pyav().open(str(tmp_path / "out/overlays/clip.mp4")) as file:
        frame = next(file.decode(video=0)).to_ndarray(format="rgb24")
    assert frame[24, 8, 1] > 200 > frame[24, 8, 0]  # green over the bright half
    assert frame[24, 56].max() < 40
    assert not list((tmp_path / "out").rglob(".*.partial"))


def turned(path: Path, matrix: tuple[int, ...]) -> None:
    """Write a display matrix (a, b, c, d of 16.16 bits) into the track header of an MP4."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = (value << 16 for value in matrix)
    numbers = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    content[at : at + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [((0, 1, -1, 0), "90 degrees to the right"), ((-1, 0, 0, -1), "180 degrees"),
     ((0, -1, 1, 0), "90 degrees to the left")],
)  # fmt: skip
def test_frames_are_turned_as_opencv_turns_them(matrix, words, tmp_path, capsys):
    path = clip(tmp_path / "a.mp4", sound=False)
    turned(path, matrix)
    predictions = list(video_predictions(Brightness(), Video("a", path)))
    there, wanted = cv2.VideoCapture(str(path)).read()
    assert there and predictions[0].image.shape == wanted.shape
    difference = predictions[0].image.astype(int) - wanted[..., ::-1]
    assert np.abs(difference).mean() < 3
    written(path, tmp_path / "out", ("overlay",))
    assert f"frames are turned by {words}, as its metadata say" in capsys.readouterr().out
    with pyav().open(str(tmp_path / "out/overlays/clip.mp4")) as file:
        frame = next(file.decode(video=0))
    assert (frame.height, frame.width) == wanted.shape[:2] and not frame.rotation


def test_odd_sizes_are_said(tmp_path, capsys):
    path = clip(tmp_path / "a.mp4", height=46, width=62, sound=False)
    turned(path, (0, 1, -1, 0))
    written(path, tmp_path / "out", ("overlay",))
    assert "even numbers" not in capsys.readouterr().out
    image = picture(0, 45, 63)
    video = OpenVideo(iter(()), CLOCK)
    mask = np.zeros((45, 63), np.uint8)
    prediction = Prediction("odd/000000", image, mask, None, SPACE, None, Frame(0, 0.0, 0))
    with VideoFiles(tmp_path, Video("odd", 0), video, SPACE, None, ("overlay",)) as files:
        assert files.change_of_size(prediction).startswith("videos are written in 46 x 64 pixels")
        files.add(prediction, files.draw(prediction))
    with pyav().open(str(tmp_path / "overlays/odd.mp4")) as file:
        frame = next(file.decode(video=0))
    assert (frame.height, frame.width) == (46, 64)


def test_a_file_that_is_cut_off_keeps_what_was_read(tmp_path):
    whole = clip(tmp_path / "a.mp4", tuple(range(60)), 120, 160, movflags="faststart")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    files, fault = written(cut, tmp_path / "out")
    count = len(files.numbers)
    assert 5 < count < 58
    assert f"cut.mp4 ends in the middle, after {count} of 60 (" in str(fault)
    assert len(times_of(tmp_path / "out/overlays/clip.mp4")) == count
    assert len((tmp_path / "out/areas/clip.csv").read_text().splitlines()) == count + 1


@pytest.mark.parametrize("name", ["a.mkv", "a.flv"])
def test_a_file_that_says_its_length_alone_is_cut_off(tmp_path, name):
    whole = clip(tmp_path / name, tuple(range(75)), 120, 160, sound=name == "a.mkv")
    files, fault = written(whole, tmp_path / "whole")
    assert (len(files.numbers), fault) == (75, None)
    cut = tmp_path / f"cut{whole.suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    files, fault = written(cut, tmp_path / "out")
    assert 5 < len(files.numbers) < 62
    message = rf"cut.* ends in the middle, after {len(files.numbers)} frames \(at \d\.\d of 3\.\d "
    assert re.search(message, str(fault)), fault


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hosts\n",
                b"ffconcat version 1.0\nfile /etc/hosts\n"]
)  # fmt: skip
def test_what_is_no_video(content, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.mp4 is damaged or no video \(.* bytes?\): fetch"):
        written(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_places_that_are_not_there(tmp_path, monkeypatch):
    for place, message in (
        (77, "camera 77 can't be opened: check that it is plugged in"),
        ("rtsp://user:word@127.0.0.1:9/x?key=1", "rtsp://127.0.0.1:9/x can't be opened (Conn"),
        ("http://127.0.0.1:9/x", "http://127.0.0.1:9/x can't be opened (Connection refused)"),
    ):
        with pytest.raises(DataError) as caught:
            predict_video(Brightness(), Video("x", place), tmp_path, None, FORMATS)
        assert str(caught.value).startswith(message)


class Server(http.server.BaseHTTPRequestHandler):
    """Serves a file, or half of it without saying so, or nothing at all."""

    content = b""

    def do_GET(self):
        if self.path == "/silent":
            time.sleep(2)
            return
        half = self.path == "/half"
        self.send_response(200)
        if not half:
            self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: len(self.content) * 2 // 3 if half else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def address(tmp_path):
    clip(tmp_path / "served.mp4", tuple(range(60)), 120, 160, movflags="faststart", sound=False)
    Server.content = (tmp_path / "served.mp4").read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_addresses(address, tmp_path, monkeypatch):
    files, fault = written(f"{address}/whole", tmp_path / "out")
    assert fault is None and len(files.numbers) == 60
    files, fault = written(f"{address}/half", tmp_path / "half")
    assert fault is not None and "ends in the middle, after" in str(fault)
    assert 0 < len(times_of(tmp_path / "half/overlays/clip.mp4")) == len(files.numbers) < 60
    monkeypatch.setattr("gcseg.predictor.video.SECONDS_TO_WAIT", 0.3)
    with pytest.raises(DataError, match=r"silent does not answer within|silent can't be opened"):
        written(f"{address}/silent", tmp_path / "silent")


def test_an_error_in_between_leaves_no_file(tmp_path):
    class Broken(Brightness):
        def predict(self, images, names, **options):
            if names[0].endswith("000005"):
                raise RuntimeError("broken")
            return super().predict(images, names, **options)

    path = clip(tmp_path / "a.mp4")
    with pytest.raises(RuntimeError, match="broken"):
        predict_video(Broken(), Video("clip", path), tmp_path / "out", None, FORMATS)
    assert not [one for one in (tmp_path / "out").rglob("*") if one.suffix in (".mp4", ".csv")]
    assert not list((tmp_path / "out").rglob(".*.partial"))


def live_frames(stop, count=10_000):
    for number in range(count):
        if stop.is_set():
            return
        time.sleep(0.002)
        yield Frame(number, number / 90, number), picture(0, 48, 64)


def test_ctrl_c_ends_a_camera_and_completes_its_files(tmp_path, monkeypatch, capsys):
    @contextmanager
    def camera(video, stop, say):
        yield OpenVideo(live_frames(stop), CLOCK, live=True)

    class Interrupting(Brightness):
        calls = 0

        def predict(self, images, names, **options):
            self.calls += 1
            time.sleep(0.03)  # slower than the camera
            if self.calls == 8:
                os.kill(os.getpid(), signal.SIGINT)
            return super().predict(images, names, **options)

    monkeypatch.setattr(video_run, "opened", camera)
    before = signal.getsignal(signal.SIGINT)
    files, fault = predict_video(
        Interrupting(), Video("camera0", 0), tmp_path, None, ("overlay", "csv")
    )
    assert fault is None and 8 <= len(files.numbers) < 40
    assert signal.getsignal(signal.SIGINT) is before
    assert len(times_of(tmp_path / "overlays/camera0.mp4")) == len(files.numbers)
    assert "left out, as they come faster than the network is" in capsys.readouterr().out


def test_a_file_waits_and_loses_nothing():
    stop = threading.Event()
    video = OpenVideo(live_frames(stop, 40), CLOCK)
    with DecodedFrames(video, stop) as frames:
        numbers = []
        for frame, _ in frames:
            time.sleep(0.004)
            numbers.append(frame.number)
    assert numbers == list(range(40)) and not frames.dropped
    assert decoded.AHEAD < 40


def test_frames_in_python(tmp_path):
    path = clip(tmp_path / "a.mp4")
    predictions = list(video_predictions(Brightness(), Video("a", path), batch_size=3))
    assert [one.name for one in predictions][:2] == ["a/000000", "a/000001"]
    assert [one.frame.seconds for one in predictions] == pytest.approx(
        [one / 25 for one in IRREGULAR], abs=1e-4
    )


def test_a_sound_that_mp4_does_not_hold(tmp_path):
    path = tmp_path / "a.mkv"
    av = pyav()
    with av.open(str(path), "w") as file:
        track = file.add_stream("libx264", rate=25)
        track.height, track.width, track.pix_fmt = 48, 64, "yuv420p"
        tone = file.add_stream("pcm_s16le", rate=16000, layout="mono")
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(picture(number, 48, 64), format="rgb24")
            file.mux(track.encode(frame))
            samples = av.AudioFrame.from_ndarray(
                np.full((1, 640), number, np.int16), format="s16", layout="mono"
            )
            samples.sample_rate, samples.pts = 16000, number * 640
            file.mux(tone.encode(samples))
        file.mux(track.encode())
    with opened(Video("a", path), threading.Event()) as video:
        assert len(video.sound) == 1
    files, _ = written(path, tmp_path / "out", ("overlay",))
    assert [one.name for one in files.written] == ["clip.mkv"]
    assert sound_of(tmp_path / "out/overlays/clip.mkv") == sound_of(path)


def test_a_picture_beyond_the_memory_is_left_out(monkeypatch):
    network = TrainedNetwork.__new__(TrainedNetwork)
    monkeypatch.setattr("gcseg.predictor.network.available_memory", lambda: 16 * 10**9)
    huge = np.broadcast_to(np.zeros(3, np.uint8), (30_000, 30_000, 3))
    with pytest.raises(
        DataError, match=r"^big has 30,000 x 30,000 pixels, which take 36 GB of mem"
    ):
        network.check_memory(huge, "big")
    network.check_memory(huge[:10_000, :10_000], "smaller")
    unread = []

    class Small(Brightness):
        check_memory = TrainedNetwork.check_memory

    loads = [lambda: Picture("big", huge), lambda: Picture("small", picture(0, 48, 64))]
    found = list(predictions(Small(), loads, unread=unread.append))
    assert [one.name for one in found] == ["small"] and "big has 30,000" in str(unread[0])


def test_without_pyav_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"PyAV, which is not installed: pip install 'gcseg\[vid"):
        check_videos([Video("a", Path("a.mp4"))], FORMATS)
    check_videos([], FORMATS)
