"""Measure how much of the network's own rate `gcseg.predict` reaches on a video.

The network alone and the whole pipeline (decoding, masks, overlay video and table) run in turns on
the same frames of a video, in one process, so that other work on the machine disturbs both:

    python tools/video_rate.py runs/NAME drive.mp4 --rounds 4 --frames 75

"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from pathlib import Path

from gcseg.predictor.network import Prepared, TrainedNetwork
from gcseg.predictor.sources import Video
from gcseg.predictor.video import opened
from gcseg.predictor.video_run import predict_video
from gcseg.python.predictor import Predictor

FORMATS = ("mask", "overlay", "csv")


def alone(network: TrainedNetwork, frames: list[Prepared]) -> float:
    """Return the frames per second of the network on prepared frames."""
    start = time.perf_counter()
    for frame in frames:
        network.predict([frame], ["frame"], confidence=False)
    return len(frames) / (time.perf_counter() - start)


def whole(network: TrainedNetwork, video: Video, most: int) -> float:
    """Return the frames per second from the video's file to the written files."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        files, fault = predict_video(network, video, Path(folder), None, FORMATS, most)
        seconds = time.perf_counter() - start
    if fault is not None:
        raise fault
    return len(files.numbers) / seconds


def main() -> None:
    """Measure in turns, and print each round and the median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("video", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--frames", type=int, default=300, help="frames of a round")
    parser.add_argument("--trust", action="store_true")
    arguments = parser.parse_args()
    network = Predictor(arguments.checkpoint, trust=arguments.trust).network
    video = Video(arguments.video.stem, arguments.video)
    with opened(video, threading.Event()) as source:
        pictures = itertools.islice(source.frames, arguments.frames)
        frames = [network.prepare(image) for _, image in pictures]
    alone(network, frames[:3])
    ratios = []
    for number in range(1, arguments.rounds + 1):
        network_rate = alone(network, frames)
        rate = whole(network, video, len(frames))
        ratios.append(rate / network_rate)
        print(
            f"round {number}: network alone {network_rate:.2f} frames/s, "
            f"video {rate:.2f} frames/s, {100 * ratios[-1]:.1f} %",
            flush=True,
        )
    print(f"median of {len(ratios)} rounds: {100 * statistics.median(ratios):.1f} %")


if __name__ == "__main__":
    main()
