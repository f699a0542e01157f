"""Videos that the page predicts in the background, with their progress."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gcseg.demo_page.shown import Shown
from gcseg.demo_page.uploads import Upload
from gcseg.errors import DataError, GcsegError, is_out_of_memory, reason
from gcseg.predictor.sources import Video
from gcseg.predictor.video_run import predict_video, require_rgb
from gcseg.system.text import clock, counted


class Stopped(Exception):  # noqa: N818
    """The user has stopped a video."""


@dataclass(frozen=True)
class VideoResult:
    """A predicted video.

    Args:
        path: The overlay video, H.264 in MP4.
        table: CSV of the class areas of each frame.
        frames: Number of frames.
        areas: Fraction of all pixels of each class, by class index.
    """

    path: Path
    table: Path
    frames: int
    areas: list[float]


@dataclass
class VideoJob:
    """The prediction of a video by all networks of the page, one after the other.

    Args:
        upload: The video.
        mode: Mode of test-time augmentation.
        most: Largest number of frames.
    """

    upload: Upload
    mode: str
    most: int
    results: list[VideoResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    state: str = "waiting"
    _done: int = 0
    _total: int | None = None
    _networks: int = 1
    _begun: float = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """End the prediction after the current frame."""
        self._stop.set()

    def run(self, shown: Sequence[Shown]) -> None:
        """Predict the video; what goes wrong is kept in `error`."""
        self._networks = len(shown)
        self.state = "running"
        try:
            for number, one in enumerate(shown):
                self._begun = time.monotonic()
                self.results.append(self._result(one, self.upload.folder / str(number)))
            self.state = "done"
        except Stopped:
            self.error, self.state = f"{self.upload.name} is stopped", "failed"
        except Exception as error:
            if not isinstance(error, GcsegError) and not is_out_of_memory(error):
                raise
            self.error, self.state = self.upload.named(reason(error)), "failed"
        finally:
            if self.state == "running":
                self.error, self.state = f"{self.upload.name} could not be predicted", "failed"

    def described(self) -> dict[str, Any]:
        """Return what the page says of the job, as plain values."""
        return {
            "state": self.state,
            "mode": self.mode,
            "error": self.error,
            "notes": self.notes,
            "progress": self._progress(),
            "fraction": self._done / self._total if self._total else None,
            "results": [{"areas": one.areas, "frames": one.frames} for one in self.results],
        }

    def _progress(self) -> str:
        if not self._done:
            return "waits for the video before it" if self.state == "waiting" else "begins"
        seconds = time.monotonic() - self._begun
        parts = [counted(self._done, "frame") + (f" of {self._total:,}" if self._total else "")]
        if self._networks > 1:
            parts.append(f"network {min(len(self.results) + 1, self._networks)}")
        parts.append(f"{self._done / seconds:.2g} frames/s")
        if self._total:
            parts.append(f"{clock((self._total - self._done) * seconds / self._done)} left")
        return ", ".join(parts)

    def _result(self, shown: Shown, folder: Path) -> VideoResult:
        """Predict the video by one network.

        Raises:
            DataError: It can't be read.
            ConfigError: The network takes other pictures than those of videos.
            Stopped: The user has stopped it.
        """
        video = Video("video", self.upload.path)
        require_rgb(shown.form, video)
        self._done, self._total = 0, None
        files, fault = predict_video(
            shown.networks[self.mode],
            video,
            folder,
            None,
            ("overlay", "csv"),
            self.most,
            mp4=True,
            say=self._note,
            progress=self._advance,
        )
        if fault is not None:
            self._note(str(fault))
        if not files.numbers:
            raise fault or DataError(f"{video} has no frame that can be read", "give another video")
        if len(files.numbers) == self.most:
            self._note(
                f"predicted up to frame {self.most:,}, the last that this page takes: give a "
                "larger frames= to gcseg.demo, or the video to gcseg.predict"
            )
        path, table = files.written
        return VideoResult(path, table, len(files.numbers), _mean_areas(table))

    def _advance(self, done: int, total: int | None) -> None:
        self._done, self._total = done, total
        if self._stop.is_set():
            raise Stopped

    def _note(self, line: str) -> None:
        text = self.upload.named(line)
        if text not in self.notes:  # each network reads the same file
            self.notes.append(text)


def _mean_areas(table: Path) -> list[float]:
    """Return the mean area of each class over the frames of a table, by class index."""
    with table.open(newline="") as file:
        _, *rows = csv.reader(file)
    columns = list(zip(*rows, strict=True))[2:]
    return [sum(map(float, column)) / len(rows) for column in columns]
