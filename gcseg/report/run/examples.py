"""Examples of a split's best, median and worst images, predicted again."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import albumentations as A
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gcseg.data.datasets import SegmentationDataset
from gcseg.data.images import displayed
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.reading import UInt8Array
from gcseg.data.samples import EvaluationSamples
from gcseg.errors import ConfigError, OutputError, is_out_of_memory
from gcseg.inference.memory_ladder import MemoryLadder
from gcseg.inference.predict import predict_attention
from gcseg.inference.protocol import Augmentation, Protocol
from gcseg.models import Segmentor
from gcseg.runs.shapes import COUNT, FRACTION
from gcseg.system.records import LARGEST_TABLE, RecordError, read_text
from gcseg.system.text import shown
from gcseg.visualization.attention_pictures import relative_weights

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
    model: Segmentor,
    dataset: SegmentationDataset,
    pipeline: A.Compose,
    picks: Sequence[Pick],
    *,
    mode: Augmentation,
    protocol: Protocol,
    device: torch.device | str,
) -> list[Example]:
    """Predict images as an evaluation does, and compute the context block's attention.

    Args:
        model: The network; it is moved to the device and put into evaluation mode.
        dataset: The split that the picks are from.
        pipeline: Transforms from `gcseg.data.augment.evaluation_pipeline`.
        picks: The images; those beyond the dataset's end are left out.
        mode: Mode of test-time augmentation. The attention is computed without augmentation.
        protocol: See `gcseg.inference.predict.predict_scores`. The attention is computed on the
            whole image, even with a sliding window.
        device: Device to compute on.

    Raises:
        DataError: An image or label can't be read.
        MemoryLimitError: An image does not fit into memory.
    """
    samples = EvaluationSamples(dataset, pipeline)
    model = model.to(device).eval()
    ladder = MemoryLadder()
    return [
        _example(
            model, dataset, samples, pick, ladder,
            mode=mode, protocol=protocol, device=device,
        )
        for pick in picks
        if 0 <= pick.score.index < len(dataset)
    ]  # fmt: skip


def _example(
    model: Segmentor,
    dataset: SegmentationDataset,
    samples: EvaluationSamples,
    pick: Pick,
    ladder: MemoryLadder,
    *,
    mode: Augmentation,
    protocol: Protocol,
    device: torch.device | str,
) -> Example:
    index = pick.score.index
    image, truth = dataset.read(index)
    height, width = truth.shape if truth is not None else image.shape[:2]
    images = samples[index]["image"][None].to(device)
    labels = ladder.labels(
        model,
        images,
        {"mode": mode},
        protocol,
        height=height,
        width=width,
    )["mode"]
    return Example(
        pick.kind,
        dataset.pairs[index].name,
        pick.score.miou,
        displayed(image),
        np.full((height, width), IGNORE_INDEX, np.uint8) if truth is None else np.array(truth),
        labels[0].to("cpu", torch.uint8).numpy(),
        _attention(model, images, protocol, height, width),
    )


def _attention(
    model: Segmentor, images: Tensor, protocol: Protocol, height: int, width: int
) -> npt.NDArray[np.float32] | None:
    """Return an image's attention map without padding, as multiples of a uniform map's weight.

    None if there is no map, if it is NaN or infinite, or if memory does not suffice: unlike the
    labels, it can't be computed in strips.
    """
    padded_height, padded_width = images.shape[-2:]
    try:
        weights = predict_attention(model.attention, images, protocol)[0, 0].numpy()
    except ConfigError:
        return None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    if not np.isfinite(weights).all():
        return None
    return relative_weights(weights, height, width, padded=(padded_height, padded_width))


def _fraction(cell: str) -> float | None:
    number = math.nan if cell == "" else float(cell)
    return number if math.isfinite(number) else None
