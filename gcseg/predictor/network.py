"""A trained network with all that turns an image into classes, as its evaluation does."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import albumentations as A
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gcseg.data.cache.memory import available_memory
from gcseg.data.images import Picture
from gcseg.data.label_spaces import LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.data.samples import to_tensor
from gcseg.errors import DataError, MemoryLimitError, WeightsError, is_out_of_memory
from gcseg.inference.memory_ladder import MemoryLadder
from gcseg.inference.predict import predict_confidence, predict_labels, predict_scores
from gcseg.inference.protocol import Augmentation, Model, Protocol
from gcseg.system.text import counted

_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
_MODE = "mode"
_BYTES_PER_PIXEL = 40
"""Least memory for a pixel of an image: floats of the image as prepared and as a batch, labels of 8
bytes, and the mask."""
_SMALL = 2**30
"""Number of bytes that are not compared with the free memory."""


class Prepared(NamedTuple):
    """An image as the network takes it.

    Args:
        tensor: Normalised and padded image, C x H x W float32.
        height: Height of the image without padding, in pixels.
        width: Width of the image without padding, in pixels.
    """

    tensor: Tensor
    height: int
    width: int


class Labels(NamedTuple):
    """Classes of an image's pixels.

    Args:
        mask: Class indices, H x W.
        confidence: Probability of the pixel's class, H x W float32 in 0..1; None if not asked for.
        probabilities: Probabilities of all classes, C x H x W float16; None if not asked for.
    """

    mask: UInt8Array
    confidence: npt.NDArray[np.float32] | None
    probabilities: npt.NDArray[np.float16] | None = None


class TrainedNetwork:
    """Predicts images by one mode of test-time augmentation, under the protocol of a checkpoint.

    May be used by several threads, which take turns at the network.

    Args:
        model: Network that maps N x C x H x W images to N x classes x H x W logits.
        space: Names and colours of its classes.
        preprocessing: Normalisation and padding, from
            `gcseg.data.augment.evaluation_pipeline`.
        protocol: Averaged quantity, windows and sizes.
        mode: Views of test-time augmentation.
        device: Device that the network is on.
        precision: `32`, `"bf16-mixed"` or `"16-mixed"`.
        memory_format: Memory format of the images.

    Attributes:
        turn: Lock that is held while the network computes.
    """

    def __init__(
        self,
        model: Model,
        space: LabelSpace,
        preprocessing: A.Compose,
        protocol: Protocol,
        mode: Augmentation,
        *,
        device: torch.device,
        precision: int | str = 32,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.model = model
        self.space = space
        self.preprocessing = preprocessing
        self.protocol = protocol
        self.mode = mode
        self.device = device
        self.precision = precision
        self.memory_format = memory_format
        self.turn = threading.Lock()
        self._ladder = MemoryLadder()

    def in_mode(self, mode: Augmentation) -> TrainedNetwork:
        """Return the same network, not a copy of its weights, with another mode.

        Args:
            mode: Views of test-time augmentation.
        """
        other = copy.copy(self)
        other.mode = mode
        other._ladder = MemoryLadder()
        return other

    def prepare(self, image: Picture) -> Prepared:
        """Normalise and pad an image, H x W x C; may run in any thread."""
        tensor = to_tensor(self.preprocessing(image=image)["image"])
        return Prepared(tensor, image.shape[0], image.shape[1])

    def predict(
        self,
        images: Sequence[Prepared],
        names: Sequence[str],
        *,
        confidence: bool = True,
        probabilities: bool = False,
    ) -> list[Labels]:
        """Predict images of one size in a single batch.

        Args:
            images: At least one image; all have the same size.
            names: Name of each image, for messages.
            confidence: Whether to compute the probability of each pixel's class too.
            probabilities: Whether to compute the probabilities of all classes too, for which
                everything is predicted whole.

        Raises:
            WeightsError: The network's scores of an image are NaN or infinite.
            MemoryLimitError: The images do not fit into memory.
        """
        batch = torch.stack([image.tensor for image in images]).to(self.device)
        batch = batch.contiguous(memory_format=self.memory_format)
        height, width = images[0].height, images[0].width
        all_of: list[npt.NDArray[np.float16]] | list[None] = [None] * len(images)
        confidences: dict[str, Tensor] | None = {} if confidence else None
        with self.turn, self._autocast():
            if probabilities:
                labels, all_of = self._with_probabilities(batch, height, width, confidences)
            else:
                labels = self._ladder.labels(
                    self.model,
                    batch,
                    {_MODE: self.mode},
                    self.protocol,
                    height=height,
                    width=width,
                    confidences=confidences,
                )
        masks = labels[_MODE].cpu().numpy()
        for mask, name in zip(masks, names, strict=True):
            if count := int(np.count_nonzero(mask < 0)):
                raise WeightsError(
                    f"the network gives NaN or infinity on {counted(count, 'pixel')} of {name}",
                    "use a checkpoint from before it diverged, or precision=32",
                )
        found = [None] * len(masks) if confidences is None else confidences[_MODE].cpu().numpy()
        return [
            Labels(mask.astype(np.uint8), of, every)
            for mask, of, every in zip(masks, found, all_of, strict=True)
        ]

    def check_memory(self, image: Picture, name: str) -> None:
        """Check that an image, H x W x C, leaves memory for a prediction in the smallest parts.

        Args:
            image: The image.
            name: Name of the image, for the message.

        Raises:
            DataError: There is too little memory; the system would end the process.
        """
        height, width = image.shape[:2]
        needed = height * width * _BYTES_PER_PIXEL
        if needed < _SMALL or (available := available_memory()) is None or needed <= available:
            return
        raise DataError(
            f"{name} has {height:,} x {width:,} pixels, which take {needed / 1e9:.0f} GB of memory "
            f"where {available / 1e9:.0f} GB are free",
            "cut it into tiles, or make it smaller",
        )

    def _with_probabilities(
        self, batch: Tensor, height: int, width: int, confidences: dict[str, Tensor] | None
    ) -> tuple[dict[str, Tensor], list[npt.NDArray[np.float16]]]:
        """Predict labels as the first step of the memory ladder does, and keep all probabilities.

        Raises:
            MemoryLimitError: They do not fit into memory.
        """
        try:
            scores = predict_scores(self.model, batch, {_MODE: self.mode}, self.protocol)[_MODE]
            labels = predict_labels(scores, height, width)
            average = self.protocol.average
            if confidences is not None:
                confidences[_MODE] = predict_confidence(scores, height, width, average)
            scores = scores[..., :height, :width]
            every = scores if average == "probabilities" else scores.softmax(1)
            return {_MODE: labels}, list(every.half().cpu().numpy())
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        raise MemoryLimitError(
            f"the probabilities of {height} x {width} pixels do not fit into memory",
            "leave probabilities out of format=, which predicts in smaller parts",
        )

    def _autocast(self) -> AbstractContextManager[object]:
        kind = _AUTOCAST.get(str(self.precision))
        return nullcontext() if kind is None else torch.autocast(self.device.type, kind)
