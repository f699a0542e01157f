"""Prediction of pictures into files, with a record by which an interrupted command goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from gcseg.data.convert.pictures import picture_size
from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.errors import DataError
from gcseg.predictor.done import Done, digest
from gcseg.predictor.files import PredictionFiles
from gcseg.predictor.formats import probability_bytes
from gcseg.predictor.network import TrainedNetwork
from gcseg.predictor.overlapped import WriteBehind
from gcseg.predictor.prediction import Prediction
from gcseg.predictor.stream import Picture, predictions
from gcseg.system.terminal import progress_bar
from gcseg.system.text import counted, say, verb


def predict_pictures(
    network: TrainedNetwork,
    dataset: SegmentationDataset,
    files: PredictionFiles,
    done: Done,
    unread: Callable[[DataError], None],
) -> None:
    """Predict and write the pictures that are not done yet, with progress.

    Args:
        network: The trained network.
        dataset: The pictures.
        files: What is written.
        done: Record of the predictions in the output folder.
        unread: Callback for the error of a picture that can't be read.

    Raises:
        OutputError: The output folder can't be written.
        WeightsError: The network's scores are NaN or infinite.
    """
    left, kept = [], []
    for index, pair in enumerate(dataset.pairs):
        entry = done.entry(pair.name, partial(digest, pair.files))
        if entry is None:
            left.append(index)
        else:
            kept.append(pair.name)
            files.keep(pair.name, entry.areas)
    if kept:
        are = verb(len(kept), "is", "are")
        say(
            f"{len(kept):,} of {counted(len(dataset), 'picture')} {are} done: predicted by the "
            "same checkpoint and settings, and not changed since"
        )
    if "probabilities" in files.formats:
        _say_size([dataset.pairs[index] for index in left], network.space.num_classes)
    inputs: dict[str, str] = {}

    def load(index: int) -> Picture:
        pair = dataset.pairs[index]
        inputs[pair.name] = digest(pair.files)
        return Picture(pair.name, *dataset.read(index))

    def write(prediction: Prediction) -> None:
        written, name = files.write(prediction), prediction.name
        done.add(name, inputs.pop(name), written, files.areas(name))

    found = predictions(
        network,
        (partial(load, index) for index in left),
        confidence=False,
        probabilities="probabilities" in files.formats,
        unread=unread,
    )
    with progress_bar("predicting", "images") as progress, WriteBehind() as writer:
        for number, prediction in enumerate(found, 1):
            writer.submit(partial(write, prediction))
            progress(number, len(left))
    files.in_order([pair.name for pair in dataset.pairs])


def _say_size(pairs: Sequence[Pair], classes: int) -> None:
    """Say how large the probabilities of pictures are, before they are computed."""
    pixels = 0
    for pair in pairs:
        try:
            height, width = picture_size(pair.image)
        except DataError:  # which is said when it is to be predicted
            continue
        pixels += height * width
    if pixels:
        size = probability_bytes(pixels, classes) / 1e6
        say(f"probabilities of {counted(len(pairs), 'picture')} take {size:,.0f} MB")
