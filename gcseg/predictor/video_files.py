"""The files of a video's predictions: masks, videos with sound, and class areas of each frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from PIL import Image

from gcseg.data.label_spaces import LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.errors import DataError
from gcseg.predictor.formats import FOLDERS, class_areas, write_probabilities
from gcseg.predictor.prediction import Prediction
from gcseg.predictor.sources import Video
from gcseg.predictor.video import Frame, OpenVideo, pyav
from gcseg.system.files import atomic_write, output_error
from gcseg.visualization.pictures import panel

_IN_MP4 = ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac")
"""Codecs of sound that MP4 holds and players expect there; Matroska holds all."""
_X264 = {"crf": "20", "preset": "ultrafast"}
"""Quality that hides no edge of a class, for little of the processors' time."""
_MASK_EFFORT = 3
"""Compression of a mask as PNG, of 9: larger numbers take longer for a few percent."""

Draw = Callable[[Prediction], UInt8Array]


def _overlay(prediction: Prediction) -> UInt8Array:
    return prediction.overlay()


def _panel(prediction: Prediction) -> UInt8Array:
    return panel(prediction.image, None, prediction.mask, prediction.space)


_DRAWN: Mapping[str, Draw] = {"overlay": _overlay, "panel": _panel}
VIDEO_FORMATS = (*_DRAWN, "mask", "probabilities", "csv")
"""Formats in which a video is written; those of annotation tools are for pictures."""


def fits_mp4(track: Any) -> bool:
    """Return whether MP4 holds a track of sound, as PyAV has it, and players expect it there."""
    return track.codec_context.name in _IN_MP4


class VideoFile:
    """A video that is written under a partial name and renamed when it is complete.

    Args:
        path: Path without suffix: .mp4 is added, or .mkv if MP4 can't hold the sound.
        video: The video whose times, pixels' shape and sound it takes over.

    Attributes:
        path: Path with its suffix.
    """

    def __init__(self, path: Path, video: OpenVideo) -> None:
        in_mp4 = all(map(fits_mp4, video.sound))
        self.path = path.with_name(f"{path.name}{'.mp4' if in_mp4 else '.mkv'}")
        self._format = "mp4" if in_mp4 else "matroska"
        self._video = video
        self._tracks: dict[Any, Any] = {}
        self._pictures: Any = None

    def open(self, stack: ExitStack) -> None:
        """Open the file; `stack` closes it, and removes it if it is left by an exception.

        Raises:
            OutputError: It can't be written.
        """
        file = stack.enter_context(atomic_write(self.path))
        self._container = pyav().open(file, "w", format=self._format)
        self._pictures = self._container.add_stream("libx264", options=_X264)
        for track in self._video.sound:
            self._tracks[track] = self._container.add_stream_from_template(track)
        stack.callback(self._container.close)

    def add(self, frame: Frame, image: UInt8Array) -> None:
        """Add a frame, after the sound that comes before it.

        Args:
            frame: Its time and sound.
            image: Its picture, H x W x 3 RGB.
        """
        av = pyav()
        image = _even(image)
        height, width = image.shape[:2]
        if frame.number == 0 or not self._pictures.width:
            self._begin(height, width)
        if (height, width) != (self._pictures.height, self._pictures.width):
            size = (self._pictures.width, self._pictures.height)
            image = np.asarray(cv2.resize(image, size), np.uint8)
        self._copy(frame.sound)
        picture = av.VideoFrame.from_ndarray(image, format="rgb24")
        picture.pts, picture.time_base = frame.pts, self._video.time_base
        self._container.mux(self._pictures.encode(picture))

    def finish(self) -> None:
        """Write what the encoder still holds, and the sound after the last frame."""
        if self._pictures.width:
            self._container.mux(self._pictures.encode())
        self._copy(self._video.after)

    def _begin(self, height: int, width: int) -> None:
        stream = self._pictures
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.time_base = self._video.time_base
        if self._video.aspect:
            stream.codec_context.sample_aspect_ratio = self._video.aspect

    def _copy(self, packets: Sequence[Any]) -> None:
        """Copy packets of sound; several files take the same ones."""
        for packet in packets:
            source, times = packet.stream, (packet.pts, packet.dts, packet.time_base)
            packet.stream = self._tracks[source]
            self._container.mux(packet)
            packet.stream = source
            packet.time_base = times[2]
            packet.pts, packet.dts = times[:2]


def _even(image: UInt8Array) -> UInt8Array:
    """Repeat the last row or column where H.264 needs an even number of them."""
    height, width = image.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


class VideoFiles:
    """Writes the predictions of a video; a context manager, which completes or removes them.

    `masks/<video>/<frame>.png` and `probabilities/<video>/<frame>.npz` are written one by one,
    `overlays/<video>.mp4`, `pictures/<video>.mp4` and `areas/<video>.csv` are renamed when they are
    complete. Frames are numbered from 000000.

    Args:
        folder: Output folder.
        video: The video.
        source: The video, opened.
        space: Names and colours of the predicted classes.
        values: 256 pixel values of the masks by class index; class indices if None.
        formats: Some of `VIDEO_FORMATS`.

    Attributes:
        numbers: Numbers of the frames that are written.
    """

    def __init__(
        self,
        folder: Path,
        video: Video,
        source: OpenVideo,
        space: LabelSpace,
        values: UInt8Array | None,
        formats: Sequence[str],
    ) -> None:
        self.folder = folder
        self.name = video.name
        self.space = space
        self.values = values
        self.formats = [one for one in formats if one in VIDEO_FORMATS]
        self.numbers: list[int] = []
        self._stack = ExitStack()
        self._videos = {
            one: VideoFile(folder / FOLDERS[one] / video.name, source)
            for one in self.formats
            if one in _DRAWN
        }
        self._table: IO[bytes] | None = None

    @property
    def written(self) -> list[Path]:
        """Return the paths of the written videos and the table, and the folders of frames."""
        paths = [file.path for file in self._videos.values()]
        if "csv" in self.formats:
            paths.append(self._table_path)
        return paths + [self.folder / FOLDERS[one] / self.name
                        for one in ("mask", "probabilities") if one in self.formats]  # fmt: skip

    @property
    def _table_path(self) -> Path:
        return self.folder / FOLDERS["csv"] / f"{self.name}.csv"

    def __enter__(self) -> VideoFiles:
        """Open the files under their partial names."""
        with ExitStack() as stack:
            for file in self._videos.values():
                file.open(stack)
            if "csv" in self.formats:
                self._table = stack.enter_context(atomic_write(self._table_path))
                self._row("frame", "seconds", *self.space.names)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: Any) -> None:
        """Complete the files; after an exception, or without any frame, remove them."""
        with self._stack:
            if kind is None and self.numbers:
                for file in self._videos.values():
                    file.finish()
            elif kind is None:
                self._stack.pop_all().__exit__(DataError, DataError("no frame"), None)
            else:
                self._stack.pop_all().__exit__(kind, *details)

    def change_of_size(self, prediction: Prediction) -> str:
        """Say in words how the videos differ in size from the prediction; empty if they don't."""
        height, width = prediction.mask.shape
        if not self._videos or (height % 2 == 0 and width % 2 == 0):
            return ""
        size = f"{height + height % 2} x {width + width % 2}"
        return f"videos are written in {size} pixels, as their codec needs even numbers"

    def draw(self, prediction: Prediction) -> dict[str, UInt8Array]:
        """Write what is a file per frame, and draw the pictures of the videos; in any thread.

        Raises:
            OutputError: A file can't be written.
        """
        if "mask" in self.formats:
            path = self.folder / FOLDERS["mask"] / f"{prediction.name}.png"
            picture: Image.Image = prediction.picture("mask", self.values)
            with atomic_write(path) as file:
                picture.save(file, format="PNG", compress_level=_MASK_EFFORT)
        if "probabilities" in self.formats:
            write_probabilities(prediction, self.folder)
        return {one: _DRAWN[one](prediction) for one in self._videos}

    def add(self, prediction: Prediction, drawn: Mapping[str, UInt8Array]) -> None:
        """Add a frame to the videos and the table; in the order of the frames.

        Raises:
            OutputError: A file can't be written.
        """
        frame = prediction.frame
        assert frame is not None
        try:
            for one, image in drawn.items():
                self._videos[one].add(frame, image)
            if self._table is not None:
                areas = class_areas(prediction)
                self._row(frame.number, f"{frame.seconds:.6f}", *(f"{a:.6f}" for a in areas))
        except (OSError, ValueError) as error:  # PyAV's errors are of either kind
            raise output_error(self.folder / self.name, error) from error
        self.numbers.append(frame.number)

    def _row(self, *cells: object) -> None:
        assert self._table is not None
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        self._table.write(text.getvalue().encode())
