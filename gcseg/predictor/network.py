"""A trained network with all that turns an image into classes, as its evaluation does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import albumentations as A
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gcseg.data.images import Picture
from gcseg.data.label_spaces import LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.data.samples import to_tensor
from gcseg.errors import WeightsError
from gcseg.inference.memory_ladder import MemoryLadder
from gcseg.inference.protocol import Augmentation, Model, Protocol
from gcseg.system.text import counted

_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
_MODE = "mode"


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
    """

    mask: UInt8Array
    confidence: npt.NDArray[np.float32] | None


class TrainedNetwork:
    """Predicts images by one mode of test-time augmentation, under the protocol of a checkpoint.

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
        self._ladder = MemoryLadder()

    def prepare(self, image: Picture) -> Prepared:
        """Normalise and pad an image, H x W x C; may run in any thread."""
        tensor = to_tensor(self.preprocessing(image=image)["image"])
        return Prepared(tensor, image.shape[0], image.shape[1])

    def predict(
        self, images: Sequence[Prepared], names: Sequence[str], *, confidence: bool = True
    ) -> list[Labels]:
        """Predict images of one size in a single batch.

        Args:
            images: At least one image; all have the same size.
            names: Name of each image, for messages.
            confidence: Whether to compute probabilities too.

        Raises:
            WeightsError: The network's scores of an image are NaN or infinite.
            MemoryLimitError: The images do not fit into memory.
        """
        batch = torch.stack([image.tensor for image in images]).to(self.device)
        confidences: dict[str, Tensor] | None = {} if confidence else None
        with self._autocast():
            labels = self._ladder.labels(
                self.model,
                batch.contiguous(memory_format=self.memory_format),
                {_MODE: self.mode},
                self.protocol,
                height=images[0].height,
                width=images[0].width,
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
        return [Labels(mask.astype(np.uint8), of) for mask, of in zip(masks, found, strict=True)]

    def _autocast(self) -> AbstractContextManager[object]:
        kind = _AUTOCAST.get(str(self.precision))
        return nullcontext() if kind is None else torch.autocast(self.device.type, kind)
