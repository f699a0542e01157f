"""The page's state, and the answers to what the browser asks."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gcseg.demo_page.shown import Result, Shown, as_jpeg, scale_colors
from gcseg.demo_page.uploads import (
    LARGEST_PICTURE,
    LARGEST_VIDEO,
    Stream,
    Upload,
    Uploads,
    check_size,
)
from gcseg.demo_page.videos import VideoJob
from gcseg.demo_page.worker import Worker
from gcseg.errors import DataError, GcsegError
from gcseg.predictor.video import pyav
from gcseg.system.text import shown

_SECONDS_TO_END = 3.0
"""Longest time to wait, at the end, for what the networks are computing."""
_EFFORT = 1
"""Compression of arrays on their way to the browser, of 9: on one machine, speed matters more."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Limits:
    """What the page takes.

    Args:
        megapixels: Largest picture, in millions of pixels.
        frames: Most frames of a video.
    """

    megapixels: float
    frames: int


class Page:
    """Trained networks, the files that users gave, and what is known of them.

    Pictures are predicted one after the other, and videos next to them. What was predicted is kept
    with its file, so that nothing is predicted twice.

    Args:
        networks: One or two networks with the same modes.
        limits: What the page takes.
    """

    def __init__(self, networks: Sequence[Shown], limits: Limits) -> None:
        self.networks = list(networks)
        self.limits = limits
        self.modes = list(networks[0].networks)
        self.uploads = Uploads(self._forget)
        self._results: dict[str, dict[object, Any]] = {}
        self._jobs: dict[str, VideoJob] = {}
        self._lock = threading.Lock()
        self._pictures = Worker("pictures")
        self._videos = Worker("videos")

    def close(self) -> bool:
        """Stop what is being predicted, and remove all files; return whether all has ended."""
        for job in list(self._jobs.values()):
            job.stop()
        end = time.monotonic() + _SECONDS_TO_END
        ended = [one.close(end - time.monotonic()) for one in (self._pictures, self._videos)]
        self.uploads.close()
        return all(ended)

    def about(self) -> dict[str, Any]:
        """Return what the browser needs before any file, as plain values."""
        return {
            "networks": [one.described() for one in self.networks],
            "note": self._note_on_classes(),
            "modes": self.modes,
            "scale": scale_colors(),
            "videos": _why_no_videos(self.networks[0]),
            "limits": {
                "megapixels": self.limits.megapixels,
                "frames": self.limits.frames,
                "picture": LARGEST_PICTURE,
                "video": LARGEST_VIDEO,
            },
        }

    def receive(self, name: str, mode: str, stream: Stream, size: int) -> dict[str, Any]:
        """Receive a file: a picture, which is decoded, or a video, whose prediction begins.

        Raises:
            GcsegError: It can't be read.
        """
        self._check_mode(mode)
        upload = self.uploads.receive(name, stream, size)
        try:
            if upload.is_video:
                if why := _why_no_videos(self.networks[0]):
                    raise DataError(f"{upload.name} is a video", why)
                self._start(upload, mode)
                return {"key": upload.key, "name": upload.name, "video": True}
            return self._pictures.submit(partial(self._look_at, upload)).result()
        except BaseException as error:
            self.uploads.remove(upload.key)
            raise _renamed(error, upload) from error

    def picture(self, key: str, mode: str) -> dict[str, Any]:
        """Predict a picture in a mode by all networks, unless that is done.

        Returns:
            For each network the areas and the time, or why it does not take the picture.

        Raises:
            GcsegError: No network can predict it.
        """
        self._check_mode(mode)
        found: list[dict[str, Any]] = []
        faults: list[GcsegError] = []
        for number in range(len(self.networks)):
            try:
                one = self._result(key, mode, number)
            except GcsegError as error:
                faults.append(error)
                found.append({"error": str(error)})
            else:
                found.append({"areas": one.areas, "seconds": one.seconds})
        if len(faults) == len(found):
            raise faults[0]
        return {"results": found}

    def image(self, key: str) -> bytes:
        """Return a picture as JPEG, as it is shown.

        Raises:
            DataError: There is no such picture.
        """
        upload = self.uploads.find(key)
        return self._once(upload, "image", lambda: as_jpeg(self.networks[0].read(upload.path))[0])

    def layer(self, key: str, mode: str, number: int, kind: str) -> bytes:
        """Return the mask or the confidence of a picture, a byte for each pixel, compressed.

        Raises:
            GcsegError: See `picture`.
        """
        result = self._result(key, mode, number)
        array = result.mask if kind == "mask" else result.confidence
        return gzip.compress(array.tobytes(), _EFFORT)

    def mask_file(self, key: str, mode: str, number: int) -> bytes:
        """Return the mask of a picture at its full size, as PNG.

        Raises:
            GcsegError: See `picture`.
        """
        return self._result(key, mode, number).file

    def attention(self, key: str, number: int) -> tuple[bytes, float]:
        """Return the attention map of a picture, compressed, and what 255 in it stands for.

        Raises:
            GcsegError: It can't be computed.
        """
        upload = self.uploads.find(key)
        one = self._network(number)
        array, end = self._once(upload, ("attention", number), lambda: one.attention(upload.path))
        return gzip.compress(array.tobytes(), _EFFORT), end

    def job(self, key: str) -> VideoJob:
        """Return the prediction of a video.

        Raises:
            DataError: There is none.
        """
        upload = self.uploads.find(key)
        if (job := self._jobs.get(key)) is None:
            raise DataError(f"{upload.name} is no video", "give a video")
        return job

    def video_file(self, key: str, number: int, kind: str) -> Path:
        """Return the overlay video of a network, or the table of its class areas.

        Raises:
            DataError: It is not there yet.
        """
        results = self.job(key).results
        if not number < len(results):
            raise DataError("this video is not predicted yet", "wait for its end")
        return results[number].path if kind == "video" else results[number].table

    def again(self, key: str, mode: str) -> None:
        """Predict a video again, in another mode.

        Raises:
            DataError: There is no such video, or no such mode.
        """
        self._check_mode(mode)
        self.job(key).stop()
        self._start(self.uploads.find(key), mode)

    def _start(self, upload: Upload, mode: str) -> None:
        self._jobs[upload.key] = job = VideoJob(upload, mode, self.limits.frames)
        self._videos.submit(partial(job.run, self.networks))

    def _look_at(self, upload: Upload) -> dict[str, Any]:
        """Decode a picture, in the thread of pictures."""
        first = self.networks[0]
        check_size(upload, first.form.channels, self.limits.megapixels)
        file, height, width = as_jpeg(image := first.read(upload.path))
        self._keep(upload.key, "image", file)
        notes = dict.fromkeys(note for one in self.networks for note in one.notes(upload.path))
        return {
            "key": upload.key,
            "name": upload.name,
            "video": False,
            "height": height,
            "width": width,
            "size": [image.shape[0], image.shape[1]],
            "notes": [upload.named(note) for note in notes],
        }

    def _result(self, key: str, mode: str, number: int) -> Result:
        upload = self.uploads.find(key)
        self._check_mode(mode)
        one = self._network(number)
        return self._once(upload, (mode, number), lambda: one.predict(upload.path, mode))

    def _network(self, number: int) -> Shown:
        if not 0 <= number < len(self.networks):
            raise DataError(f"there is no network {number}", "load the page again")
        return self.networks[number]

    def _once(self, upload: Upload, name: object, compute: Callable[[], Value]) -> Value:
        """Return what was computed of a file, or compute it in the thread of pictures."""

        def computed() -> Value:
            if (found := self._known(upload.key, name)) is not None:
                return found  # type: ignore[no-any-return]
            value = compute()
            self._keep(upload.key, name, value)
            return value

        if (found := self._known(upload.key, name)) is not None:
            return found  # type: ignore[no-any-return]
        try:
            return self._pictures.submit(computed).result()
        except Exception as error:
            raise _renamed(error, upload) from error

    def _known(self, key: str, name: object) -> Any:
        return self._results.get(key, {}).get(name)

    def _keep(self, key: str, name: object, value: object) -> None:
        with self._lock:
            self._results.setdefault(key, {})[name] = value

    def _forget(self, key: str) -> None:
        with self._lock:
            self._results.pop(key, None)
        if (job := self._jobs.pop(key, None)) is not None:
            job.stop()

    def _check_mode(self, mode: str) -> None:
        if mode not in self.modes:
            raise DataError(f"there is no mode {shown(mode)}", f"use {' or '.join(self.modes)}")

    def _note_on_classes(self) -> str:
        """Say how the classes of two networks differ; empty if they don't."""
        if len({one.space.names for one in self.networks}) == 1:
            return ""
        first, other = self.networks
        ours, theirs = set(first.space.names), set(other.space.names)
        return (
            f"The two networks have different classes: {len(ours & theirs)} in common, "
            f"{len(ours - theirs)} only in {first.title}, {len(theirs - ours)} only in "
            f"{other.title}. Classes of one name share a row and a colour."
        )


def _why_no_videos(network: Shown) -> str:
    """Return why videos are not taken; empty if they are."""
    if not network.form.is_rgb:
        return f"videos have frames in RGB, and the network takes {network.form}: give pictures"
    try:
        pyav()
    except GcsegError as error:
        return str(error)
    return ""


def _renamed(error: BaseException, upload: Upload) -> BaseException:
    """Return an error whose message names a file as the user knows it."""
    if isinstance(error, GcsegError):
        return type(error)(upload.named(error.cause), upload.named(error.remedy))
    return error
