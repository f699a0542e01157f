"""Predictions of many pictures, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

from gcseg.data.images import Picture as Pixels
from gcseg.data.images import displayed
from gcseg.data.reading import UInt8Array
from gcseg.errors import DataError, MemoryLimitError
from gcseg.predictor.network import Prepared, TrainedNetwork
from gcseg.predictor.overlapped import read_ahead
from gcseg.predictor.prediction import Prediction
from gcseg.predictor.video import Frame


class Picture(NamedTuple):
    """A picture that was read.

    Args:
        name: Name of the picture in messages and outputs.
        image: The picture, H x W x C, in the form that the network's preprocessing takes.
        label: True class indices, H x W, with 255 ignored; None if there are none.
        frame: Number and time of a video's frame; None for pictures.
    """

    name: str
    image: Pixels
    label: UInt8Array | None = None
    frame: Frame | None = None


Load = Callable[[], Picture]
"""Function that reads a picture; called in a thread."""


def predictions(
    network: TrainedNetwork,
    loads: Iterable[Load],
    *,
    batch_size: int = 1,
    confidence: bool = True,
    probabilities: bool = False,
    unread: Callable[[DataError], None] | None = None,
) -> Generator[Prediction, None, None]:
    """Predict pictures in their order, while the next ones are read.

    Args:
        network: The trained network.
        loads: Functions that read the pictures.
        batch_size: Largest number of consecutive pictures of one size that are predicted together.
        confidence: Whether predictions have the probability of the predicted class.
        probabilities: Whether predictions have the probabilities of all classes.
        unread: Callback for the error of a picture that can't be read or does not fit into memory,
            which is then left out; None to raise it.

    Raises:
        DataError: A picture can't be read, and `unread` is None.
        WeightsError: The network's scores are NaN or infinite.
        MemoryLimitError: A picture does not fit into memory.
    """

    def read(load: Load) -> tuple[Picture, Prepared]:
        picture = load()
        network.check_memory(picture.image, picture.name)
        return picture, network.prepare(picture.image)

    def of_batch(batch: list[tuple[Picture, Prepared]]) -> Iterator[Prediction]:
        try:
            yield from _of_batch(network, batch, confidence, probabilities)
        except MemoryLimitError as error:
            if unread is None:
                raise
            names = ", ".join(picture.name for picture, _ in batch)
            unread(DataError(f"{names}: {error.cause}", error.remedy))

    batch: list[tuple[Picture, Prepared]] = []
    for _, future in read_ahead(loads, read):
        try:
            item = future.result()
        except DataError as error:
            if unread is None:
                raise
            unread(error)
            continue
        if batch and not _same_size(batch[0][1], item[1]):
            yield from of_batch(batch)
            batch = []
        batch.append(item)
        if len(batch) >= batch_size:
            yield from of_batch(batch)
            batch = []
    if batch:
        yield from of_batch(batch)


def _same_size(one: Prepared, other: Prepared) -> bool:
    return (one.height, one.width) == (other.height, other.width)


def _of_batch(
    network: TrainedNetwork,
    batch: list[tuple[Picture, Prepared]],
    confidence: bool,
    probabilities: bool,
) -> Iterator[Prediction]:
    names = [picture.name for picture, _ in batch]
    found = network.predict(
        [prepared for _, prepared in batch],
        names,
        confidence=confidence,
        probabilities=probabilities,
    )
    for (picture, _), labels in zip(batch, found, strict=True):
        yield Prediction(
            picture.name,
            displayed(picture.image),
            labels.mask,
            labels.confidence,
            network.space,
            picture.label,
            picture.frame,
            labels.probabilities,
        )
