"""Prediction of several videos into files, each recorded when it is complete."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gcseg.errors import ConfigError, DataError
from gcseg.predictor.done import Done, digest
from gcseg.predictor.files import PredictionFiles
from gcseg.predictor.formats import ANNOTATIONS, FOLDERS
from gcseg.predictor.network import TrainedNetwork
from gcseg.predictor.sources import Video
from gcseg.predictor.video import pyav
from gcseg.predictor.video_files import VIDEO_FORMATS
from gcseg.predictor.video_run import frame_name, predict_video
from gcseg.system.text import counted, listed, say


def check_videos(videos: Sequence[Video], formats: Sequence[str]) -> None:
    """Check, before anything is predicted, that videos can be read and written in the formats.

    Raises:
        ConfigError: They can't.
    """
    if not videos:
        return
    pyav()
    others = [one for one in formats if one in ANNOTATIONS]
    if len(others) == len(formats):
        raise ConfigError(
            f"format={listed(others)} is of pictures alone, and {videos[0]} is a video",
            f"add one of {', '.join(VIDEO_FORMATS)}",
        )
    if others:
        say(f"left out for {counted(len(videos), 'video')}, as of pictures alone: {listed(others)}")


def predict_videos(
    network: TrainedNetwork,
    videos: Sequence[Video],
    files: PredictionFiles,
    formats: Sequence[str],
    done: Done,
    faults: list[DataError],
    most: int | None = None,
) -> list[str]:
    """Predict the videos that are not done yet.

    Args:
        network: The trained network.
        videos: Videos, cameras and streams.
        files: Files of pictures, whose folder and values of masks are those of the videos.
        formats: What is written, of the setting `format`.
        done: Record of the predictions in the output folder.
        faults: Collects the errors of videos that can't be read to their end.
        most: Largest number of frames of a video; None for all.

    Returns:
        Names of the frames' predictions.

    Raises:
        OutputError: The output folder can't be written.
    """
    names: list[str] = []
    for video in videos:
        key, inputs = f"video {video.name}", _inputs(video, most)
        if done.entry(key, lambda inputs=inputs: inputs):  # type: ignore[misc]
            say(f"{video}: done by the same checkpoint and settings, and not changed since")
            names += _there(files.folder, video)
            continue
        if done.was_begun(key):
            say(f"{video}: starting over, as the earlier command did not come to its end")
        done.begin(key)
        try:
            written, fault = predict_video(
                network, video, files.folder, files.values, formats, most
            )
        except DataError as error:
            faults.append(error)
            continue
        names += [frame_name(video, number) for number in written.numbers]
        if written.numbers:
            if "mask" in formats:
                files.write_classes()
            say(f"{counted(len(written.numbers), 'frame')} of {video}: {files.folder}")
            for path in written.written:
                say(f"{'video' if path.suffix in ('.mp4', '.mkv') else 'written'}: {path}")
        if fault is not None:
            faults.append(fault)
        elif inputs:
            done.add(key, inputs, written.written)
    return names


def _inputs(video: Video, most: int | None) -> str:
    """Return what identifies a video file, and how much of it is read; empty for a camera."""
    found = digest([video.place]) if isinstance(video.place, Path) else ""
    return f"{found} {most}" if found else ""


def _there(folder: Path, video: Video) -> list[str]:
    """Return the names of the frames that have masks."""
    masks = (folder / FOLDERS["mask"] / video.name).glob("*.png")
    return [f"{video.name}/{path.stem}" for path in masks]
