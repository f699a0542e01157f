"""Examples of a split's best, median and worst images, predicted again."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gcseg.data.datasets import SegmentationDataset
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.reading import UInt8Array
from gcseg.errors import ConfigError, MemoryLimitError, OutputError, WeightsError
from gcseg.predictor.attention import attention_map
from gcseg.predictor.network import TrainedNetwork
from gcseg.predictor.stream import Picture, predictions
from gcseg.runs.shapes import COUNT, FRACTION
from gcseg.system.records import LARGEST_TABLE, RecordError, read_text
from gcseg.system.text import shown

Kind = Literal["best", "median", "worst"]


@dataclass(frozen=True)
class ImageScore:
    """The score of one image in an evaluation.

    Args:
        index: Index of the image in the split.
        name: Name of the image.
        miou: mIoU over this image, a fraction; None if it has no labelled pixel.
    """

    index: int
    name: str
    miou: float | None


@dataclass(frozen=True)
class Pick:
    """An image that was picked as an example, and the reason."""

    kind: Kind
    score: ImageScore


@dataclass(frozen=True)
class Example:
    """An image with its prediction, at the size of the image.

    Args:
        kind: Reason why it is shown.
        name: Name of the image.
        miou: mIoU over this image, a fraction, in the evaluation from which it was picked.
        image: The image, H x W x 3 RGB.
        truth: True class indices, H x W; 255 ignored, everywhere if the image has no label.
        prediction: Predicted class indices, H x W.
        attention: Attention weights of the context block, H x W, as multiples of the weight in a
            uniform map; None if the network has no such block.
    """

    kind: Kind
    name: str
    miou: float | None
    image: UInt8Array
    truth: UInt8Array
    prediction: UInt8Array
    attention: npt.NDArray[np.float32] | None = None


def read_image_scores(path: Path, within: Path | None = None) -> list[ImageScore]:
    """Read the table of images that an evaluation with analysis writes.

    Args:
        path: Path of the table.
        within: Run folder that the path may not leave through a link; None for a table elsewhere.

    Raises:
        OutputError: The file is missing or is not such a table.
    """
    remedy = "evaluate again with explain=true"
    try:
        content = read_text(path, LARGEST_TABLE, errors="replace", within=within)
        table = csv.DictReader(StringIO(content))
        return [_image_score(row) for row in table]
    except FileNotFoundError:
        raise OutputError(f"{path} does not exist", remedy) from None
    except (RecordError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise OutputError(f"{path} is damaged ({shown(str(error))})", remedy) from error


def _image_score(row: Mapping[str, Any]) -> ImageScore:
    """Read a row of the table.

    Raises:
        ValueError: The row is not valid; other exceptions are possible too.
    """
    index, name, miou = int(row["index"]), str(row["name"]), _fraction(row["miou"])
    if not COUNT.fits(index):
        raise ValueError(f"index {row['index']}")
    if miou is not None and not FRACTION.fits(miou):
        raise ValueError(f"mIoU {row['miou']}")
    return ImageScore(index, name, miou)


def pick_examples(scores: Sequence[ImageScore], count: int = 2) -> list[Pick]:
    """Pick the best, the median and the worst images by mIoU, each image once.

    Args:
        scores: Scores of a split's images, in any order; images without a score are left out.
        count: Number of images of each kind; fewer if there are not enough images.

    Returns:
        The best images, from the best; the median images; the worst images, to the worst.
    """
    scored = [(one.miou, one) for one in scores if one.miou is not None]
    order = [one for _, one in sorted(scored, key=lambda pair: (-pair[0], pair[1].index))]
    # Taken in turns, so that few images are shared among the kinds.
    turns = [kind for _ in range(count) for kind in ("best", "worst", "median")][: len(order)]
    best, worst, median = (turns.count(kind) for kind in ("best", "worst", "median"))
    between = range(best, len(order) - worst)
    middle = (len(order) - 1) / 2
    nearest = sorted(sorted(between, key=lambda place: abs(place - middle))[:median])
    return [
        *(Pick("best", one) for one in order[:best]),
        *(Pick("median", order[place]) for place in nearest),
        *(Pick("worst", one) for one in order[len(order) - worst :]),
    ]


def predict_examples(
    network: TrainedNetwork, dataset: SegmentationDataset, picks: Sequence[Pick]
) -> list[Example]:
    """Predict images as an evaluation does, and compute the context block's attention.

    Args:
        network: The trained network, with the evaluation's mode and protocol. The attention is
            computed on the whole image without augmentation.
        dataset: The split that the picks are from.
        picks: The images; those beyond the dataset's end are left out.

    Raises:
        DataError: An image or label can't be read.
        MemoryLimitError: An image does not fit into memory.
        WeightsError: The network's scores are NaN or infinite.
    """
    there = [pick for pick in picks if 0 <= pick.score.index < len(dataset)]
    loads = (partial(_load, dataset, pick.score.index) for pick in there)
    return [
        Example(
            pick.kind,
            found.name,
            pick.score.miou,
            found.image,
            np.full_like(found.mask, IGNORE_INDEX) if found.label is None else found.label,
            found.mask,
            _attention(network, dataset, pick.score.index),
        )
        for pick, found in zip(there, predictions(network, loads, confidence=False), strict=True)
    ]


def _load(dataset: SegmentationDataset, index: int) -> Picture:
    return Picture(dataset.pairs[index].name, *dataset.read(index))


def _attention(
    network: TrainedNetwork, dataset: SegmentationDataset, index: int
) -> npt.NDArray[np.float32] | None:
    """Return an image's attention map, as multiples of a uniform map's weight.

    None if there is no map, if it is NaN or infinite, or if memory does not suffice: unlike the
    labels, it can't be computed in strips.
    """
    try:
        return attention_map(network, dataset.read(index)[0], dataset.pairs[index].name)
    except (ConfigError, MemoryLimitError, WeightsError):
        return None


def _fraction(cell: str) -> float | None:
    number = math.nan if cell == "" else float(cell)
    return number if math.isfinite(number) else None
