"""Prediction of videos: frames are decoded, predicted, drawn and encoded at the same time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import FrameType

from gcseg.data.images import PictureFormat
from gcseg.data.reading import UInt8Array
from gcseg.errors import ConfigError, DataError
from gcseg.predictor.decoded import DecodedFrames
from gcseg.predictor.network import TrainedNetwork
from gcseg.predictor.overlapped import WriteBehind, read_ahead
from gcseg.predictor.prediction import Prediction
from gcseg.predictor.sources import Video
from gcseg.predictor.stream import Load, Picture, predictions
from gcseg.predictor.video import Frame, OpenVideo, opened
from gcseg.predictor.video_files import VideoFiles, fits_mp4
from gcseg.system.terminal import progress_bar
from gcseg.system.text import counted, listed, percent, say

_DRAWING_THREADS = 3
"""Threads that draw and compress frames; the encoder has its own."""


def require_rgb(form: PictureFormat, video: Video) -> None:
    """Check that a network takes the frames of videos.

    Raises:
        ConfigError: It takes other pictures than RGB.
    """
    if not form.is_rgb:
        raise ConfigError(
            f"{video} has frames in RGB, and the network takes {form}", "give it pictures"
        )


def video_predictions(
    network: TrainedNetwork,
    video: Video,
    *,
    batch_size: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Prediction]:
    """Predict the frames of a video while the next ones are decoded.

    Args:
        network: The trained network.
        video: The video, camera or stream.
        batch_size: Largest number of consecutive frames that are predicted together.
        say: Callback that is passed a line on frames that are turned or left out.

    Raises:
        DataError: The video can't be opened, or ends in the middle: after its last frame.
    """
    stop = threading.Event()
    with opened(video, stop, say) as source, DecodedFrames(source, stop) as frames:
        yield from predictions(network, _loads(video, frames), batch_size=batch_size)
        if frames.fault is not None:
            raise frames.fault


def predict_video(
    network: TrainedNetwork,
    video: Video,
    folder: Path,
    values: UInt8Array | None,
    formats: Sequence[str],
    most: int | None = None,
    *,
    mp4: bool = False,
    say: Callable[[str], None] = say,
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[VideoFiles, DataError | None]:
    """Predict a video and write its files; Ctrl-C ends a camera or a stream, and completes them.

    Args:
        network: The trained network.
        video: The video, camera or stream.
        folder: Output folder.
        values: 256 pixel values of the masks by class index; class indices if None.
        formats: What is written, of the setting `format`.
        most: Largest number of frames; None for all.
        mp4: Whether sound that MP4 can't hold is left out, and not written as Matroska.
        say: Callback that is passed a line on what is turned, changed or left out.
        progress: Callback that is passed the number of finished frames, and of all frames or None;
            what it raises ends the prediction, and removes the files. None for a bar on stderr.

    Returns:
        The files, and the error of a video that ends in the middle.

    Raises:
        DataError: The video can't be opened.
        OutputError: The folder can't be written.
    """
    stop = threading.Event()
    shown = (
        progress_bar(f"predicting {video}", "frames") if progress is None else nullcontext(progress)
    )
    with (
        _opened(video, stop, say, mp4=mp4) as source,
        _ended_by_signals(stop, video, live=source.live),
        VideoFiles(folder, video, source, network.space, values, formats) as files,
        DecodedFrames(source, stop, most) as frames,
        WriteBehind() as writer,
        shown as show,
        closing(
            predictions(
                network,
                _loads(video, frames),
                confidence=False,
                probabilities="probabilities" in formats,
            )
        ) as found,
    ):
        total = min(filter(None, (source.total, most)), default=None)
        seen = _shown(found, lambda number: show(number, total))
        for number, (prediction, drawn) in enumerate(
            read_ahead(seen, files.draw, threads=_DRAWING_THREADS)
        ):
            writer.submit(partial(files.add, prediction, drawn.result()))
            if number == 0 and (line := files.change_of_size(prediction)):
                say(f"{video}: {line}")
    if frames.dropped:
        all_frames = len(files.numbers) + frames.dropped
        say(
            f"{video}: {counted(frames.dropped, 'frame')} of {all_frames:,} "
            f"({percent(frames.dropped / all_frames)} %) are left out, as they come faster than "
            "the network is"
        )
    return files, frames.fault


def _shown(found: Iterator[Prediction], show: Callable[[int], None]) -> Iterator[Prediction]:
    """Show the number of predicted frames with each, which is a few before it is written."""
    for number, prediction in enumerate(found, 1):
        show(number)
        yield prediction


@contextmanager
def _opened(
    video: Video, stop: threading.Event, say: Callable[[str], None], *, mp4: bool
) -> Iterator[OpenVideo]:
    """Open a video, for MP4 without the sound that it can't hold."""
    with opened(video, stop, say) as source:
        if mp4 and (others := [track for track in source.sound if not fits_mp4(track)]):
            source.sound = tuple(track for track in source.sound if fits_mp4(track))
            codecs = listed(track.codec_context.name for track in others)
            say(f"{video}: its sound ({codecs}) is left out, as MP4 can't hold it")
        yield source


def _loads(video: Video, frames: Iterable[tuple[Frame, UInt8Array]]) -> Iterator[Load]:
    for frame, image in frames:
        yield partial(Picture, frame_name(video, frame.number), image, None, frame)


def frame_name(video: Video, number: int) -> str:
    """Return the name of a frame's prediction, from 000000."""
    return f"{video.name}/{number:06}"


@contextmanager
def _ended_by_signals(stop: threading.Event, video: Video, *, live: bool) -> Iterator[None]:
    """End a live video by the first Ctrl-C or SIGTERM; the second ends the command."""
    if not live or threading.current_thread() is not threading.main_thread():
        yield
        return
    say(f"{video}: Ctrl-C ends it, and completes its files")
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def end(_: int, __: FrameType | None) -> None:
        restore()
        stop.set()

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()
