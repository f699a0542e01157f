"""Tiny videos, and a network that tells how bright a pixel is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from gcseg.data.label_spaces import LabelSpace
from gcseg.predictor.network import Labels, Prepared

SPACE = LabelSpace(("dark", "bright"), ((0, 0, 0), (0, 255, 0)), {0: 0, 1: 1})
IRREGULAR = (0, 1, 2, 5, 6, 9, 10, 11)
"""Times of frames in 25ths of a second."""


def pyav():
    return pytest.importorskip("av", reason="PyAV is not installed: pip install gcseg[video]")


def picture(number: int, height: int, width: int):
    """A frame whose left half is bright, from a row on that depends on its number."""
    image = np.full((height, width, 3), 20, np.uint8)
    image[number * 4 :, : width // 2] = 230
    return image


def clip(path: Path, times=IRREGULAR, height=48, width=64, *, sound=True, **options) -> Path:
    """Write a video with a tone; `options` are those of the container."""
    av = pyav()
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={str(k): str(v) for k, v in options.items()}) as file:
        track = file.add_stream("libx264", rate=25, options={"crf": "5"})
        track.height, track.width, track.pix_fmt = height, width, "yuv420p"
        track.codec_context.time_base = Fraction(1, 25)
        tone = file.add_stream("aac", rate=16000, layout="mono") if sound else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, height, width), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            file.mux(track.encode(frame))
        for number in range(6 if tone else 0):
            samples = (np.sin(np.arange(1024) / 9) * 9000).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.time_base = 16000, Fraction(1, 16000)
            frame.pts = number * 1024
            file.mux(tone.encode(frame))
        if tone:
            file.mux(tone.encode())
        file.mux(track.encode())
    return path


def times_of(path: Path) -> list[float]:
    with pyav().open(str(path)) as file:
        return [frame.time for frame in file.decode(video=0)]


def sound_of(path: Path):
    with pyav().open(str(path)) as file:
        packets = file.demux(audio=0)
        return [(one.pts * one.time_base, bytes(one)) for one in packets if one.dts is not None]


class Brightness:
    """A network's stand-in: class 1 where a pixel is bright."""

    space = SPACE

    def check_memory(self, image, name):
        pass

    def prepare(self, image):
        return Prepared(image, *image.shape[:2])

    def predict(self, images, names, *, confidence=True, probabilities=False):
        masks = [(image.tensor[..., 0] > 128).astype(np.uint8) for image in images]
        every = [np.stack([1 - mask, mask]).astype(np.float16) for mask in masks]
        found = every if probabilities else [None] * len(masks)
        return [Labels(mask, None, one) for mask, one in zip(masks, found, strict=True)]
