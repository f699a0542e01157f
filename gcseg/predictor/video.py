"""Videos, cameras and streams as frames with their times and their sound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import cv2
import numpy as np

from gcseg.data.images import oriented
from gcseg.data.reading import UInt8Array
from gcseg.errors import ConfigError, DataError
from gcseg.predictor.sources import Video
from gcseg.system.text import counted, percent

SECONDS_TO_WAIT = 10.0
"""Longest time to wait for an address to answer, or for its next data."""

_FORMATS = "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,h264,hevc,m4v,obu,ivf,mxf,mjpeg"
"""FFmpeg's formats of files, without playlists and lists, which name other files."""
_PROTOCOLS = {
    "file": "file",
    "http": "http,https,tcp,tls,crypto",
    "https": "http,https,tcp,tls,crypto",
    "rtsp": "rtsp,rtp,udp,tcp,tls,srtp",
    "rtsps": "rtsp,rtsps,rtp,udp,tcp,tls,srtp",
}
"""Protocols that FFmpeg may use for an address: an address never leads to a file."""
_DECLARING = {"matroska", "webm", "flv"}
"""Formats whose header has the length, and no number of frames."""
_LEEWAY = 0.5
"""Time in seconds by which what is decoded may end before the length, as other tracks may."""
_CAMERA_CLOCK = Fraction(1, 90_000)
_TURNS = {0: 1, 90: 8, 180: 3, 270: 6}
"""EXIF orientations by the angle, anticlockwise, that turns a frame upright."""


class Frame(NamedTuple):
    """When and what a frame of a video is.

    Args:
        number: Number of the frame, from 0.
        seconds: Time at which it is shown; of a camera, since it was opened.
        pts: The same time in units of the video's time base.
        sound: Packets of sound that come before it in the file.
    """

    number: int
    seconds: float
    pts: int
    sound: tuple[Any, ...] = ()


@dataclass
class OpenVideo:
    """An open video.

    Args:
        frames: Frames with their pictures, H x W x 3 RGB, upright; read once, in any one thread.
        time_base: Unit of the frames' `pts`, in seconds.
        total: Number of frames as the file says; None if it does not.
        live: Whether frames come at their time and must not wait: those of cameras and streams.
        sound: Tracks of sound, as PyAV has them.
        aspect: Width of a pixel over its height; None for square ones.
        after: Packets of sound after the last frame; filled when the frames are read.
    """

    frames: Iterator[tuple[Frame, UInt8Array]]
    time_base: Fraction
    total: int | None = None
    live: bool = False
    sound: tuple[Any, ...] = ()
    aspect: Fraction | None = None
    after: list[Any] = field(default_factory=list)


def pyav() -> ModuleType:
    """Import PyAV, which not all installations have.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import av
    except ImportError:
        raise ConfigError(
            "videos are read and written by PyAV, which is not installed",
            "pip install 'gcseg[video]'",
        ) from None
    av.logging.set_level(None)
    return av


@contextmanager
def opened(
    video: Video, stop: threading.Event, say: Callable[[str], None] = lambda line: None
) -> Iterator[OpenVideo]:
    """Open a video, a camera or a stream.

    Args:
        video: What is opened.
        stop: Event after which no more frames are read.
        say: Callback that is passed a line on frames that are turned or left out.

    Yields:
        The video, whose frames raise `DataError` where it ends in the middle.

    Raises:
        ConfigError: PyAV is not installed.
        DataError: It can't be opened, or has no pictures.
    """
    if isinstance(video.place, int):
        with _camera(video, video.place, stop) as camera:
            yield camera
        return
    if isinstance(video.place, Path) and video.place.exists() and not video.place.is_file():
        # To open a named pipe would be to wait for a writer.
        raise DataError(f"{video} is not a regular file", "remove it, or put a video in its place")
    av = pyav()
    try:
        container = _container(av, video.place)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DataError(*_unopened(video, error)) from None
    with container:
        if not container.streams.video:
            raise DataError(f"{video} has no pictures", "give a video")
        track = container.streams.video[0]
        track.thread_type = "AUTO"
        scheme = _scheme(video.place)
        live = scheme.startswith("rtsp") or (scheme != "file" and container.duration is None)
        found = OpenVideo(
            iter(()),
            track.time_base,
            track.frames or None,
            live,
            tuple(container.streams.audio),
            track.sample_aspect_ratio,
        )
        found.frames = _frames(av, container, video, found, stop, say)
        yield found


def _scheme(place: Path | int | str) -> str:
    return "file" if isinstance(place, Path) else str(place).partition(":")[0].lower()


def _container(av: ModuleType, place: Path | str) -> Any:
    scheme = _scheme(place)
    options = {"protocol_whitelist": _PROTOCOLS[scheme]}
    if scheme == "file":
        options["format_whitelist"] = _FORMATS
        return av.open(f"file:{Path(place).absolute()}", container_options=options)
    if scheme.startswith("rtsp"):
        options["rtsp_flags"] = "prefer_tcp"
    wait = (SECONDS_TO_WAIT, SECONDS_TO_WAIT)
    return av.open(str(place), container_options=options, timeout=wait)


def _unopened(video: Video, error: Exception) -> tuple[str, str]:
    """Return cause and remedy of a video that can't be opened."""
    if not isinstance(video.place, Path):
        remedy = "check the address, and whether its server runs"
        if _is_timeout(error):
            return f"{video} does not answer within {SECONDS_TO_WAIT:.0f} seconds", remedy
        return f"{video} can't be opened ({_why(error)})", remedy
    if isinstance(error, OSError):
        return f"{video} can't be opened ({_why(error)})", "check its permissions"
    size = counted(video.place.stat().st_size, "byte")
    return f"{video} is damaged or no video ({size})", "fetch this file again, or leave it out"


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or "Immediate exit" in _why(error)


def _frames(
    av: ModuleType,
    container: Any,
    video: Video,
    found: OpenVideo,
    stop: threading.Event,
    say: Callable[[str], None],
) -> Iterator[tuple[Frame, UInt8Array]]:
    """Yield the frames of an open file or stream.

    Raises:
        DataError: It ends in the middle.
    """
    track = container.streams.video[0]
    step = max(1, round(1 / (track.time_base * (track.average_rate or 25))))
    number, last, broken, end = 0, None, 0, 0.0
    try:
        for packet in container.demux(track, *found.sound):
            if stop.is_set():
                return
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is not track:
                if packet.dts is not None:
                    found.after.append(packet)
                continue
            try:
                decoded = packet.decode()
            except (av.error.InvalidDataError, av.error.PatchWelcomeError):
                broken += 1
                continue
            for one in decoded:
                pts = one.pts if one.pts is not None else 0 if last is None else last + step
                last = pts = pts if last is None else max(pts, last + 1)
                if number == 0 and one.rotation:
                    say(_turned(video, one.rotation))
                image = _upright(one)
                sound = tuple(found.after)
                found.after.clear()
                yield Frame(number, float(pts * track.time_base), pts, sound), image
                number += 1
    except (av.error.FFmpegError, OSError, ValueError) as error:
        why = "no more data came" if _is_timeout(error) else _why(error)
        raise DataError(*_cut_off(video, number, found.total, why)) from None
    if broken and number:
        say(f"{video}: {counted(broken, 'packet')} could not be decoded, and {_left_out(broken)}")
    if found.total and found.total - number > max(2, found.total // 100):
        raise DataError(*_cut_off(video, number, found.total, "the file is cut off"))
    length = None if found.total else _declared_length(av, container)
    if number and length and length - end > max(_LEEWAY, length / 100):
        why = f"at {end:.1f} of {length:.1f} seconds, where the file is cut off"
        raise DataError(*_cut_off(video, number, None, why))
    if not number:
        raise DataError(f"{video} has no frame that can be decoded", "give another video")


def _declared_length(av: ModuleType, container: Any) -> float | None:
    """Return the end of the last packet in seconds as the file's header says; None if it does not.

    For formats whose headers don't, FFmpeg guesses it from what is there.
    """
    if container.duration is None or not _DECLARING & set(container.format.name.split(",")):
        return None
    return float(container.duration + (container.start_time or 0)) / float(av.time_base)


def _left_out(count: int) -> str:
    return f"{'its' if count == 1 else 'their'} frames are left out"


def _cut_off(video: Video, number: int, total: int | None, why: str) -> tuple[str, str]:
    of = f" of {total:,} ({percent(number / total)} %)" if total else ""
    return (
        f"{video} ends in the middle, after {number:,}{of} frames ({why})",
        "what was read is predicted and written; fetch the rest and give it again",
    )


def _turned(video: Video, rotation: int) -> str:
    angle = rotation % 360
    if angle not in _TURNS:
        return f"{video}: its frames are not turned by {angle} degrees, as its metadata say"
    side = {90: "90 degrees to the left", 180: "180 degrees", 270: "90 degrees to the right"}[angle]
    return f"{video}: frames are turned by {side}, as its metadata say"


def _upright(frame: Any) -> UInt8Array:
    """Return the picture of a frame, H x W x 3 RGB, turned as the video's metadata say."""
    image: UInt8Array = frame.to_ndarray(format="rgb24")
    angle = round(frame.rotation) % 360
    return oriented(image, _TURNS.get(angle, 1)) if angle else image


@contextmanager
def _camera(video: Video, number: int, stop: threading.Event) -> Iterator[OpenVideo]:
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    camera = cv2.VideoCapture(number)
    cv2.utils.logging.setLogLevel(level)
    try:
        if not camera.isOpened():
            raise DataError(
                f"camera {number} can't be opened", "check that it is plugged in, free and yours"
            )
        yield OpenVideo(_pictures(camera, video, stop), _CAMERA_CLOCK, live=True)
    finally:
        camera.release()


def _pictures(
    camera: cv2.VideoCapture, video: Video, stop: threading.Event
) -> Iterator[tuple[Frame, UInt8Array]]:
    """Yield the frames of a camera.

    Raises:
        DataError: It gives no more frames.
    """
    start, number, last = time.monotonic(), 0, -1
    while not stop.is_set():
        there, image = camera.read()
        if not there:
            raise DataError(*_cut_off(video, number, None, "the camera gives no more"))
        seconds = time.monotonic() - start
        last = max(last + 1, int(seconds / _CAMERA_CLOCK))
        yield (
            Frame(number, seconds, last),
            np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8),
        )
        number += 1
