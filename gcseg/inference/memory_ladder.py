"""Prediction in smaller parts when memory runs out, always by the same protocol.

Each step of the ladder needs less memory and more time than the one before, and gives the same
scores within rounding. The steps used are counted, for the record of an evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gcseg.errors import MemoryLimitError, is_out_of_memory
from gcseg.inference.network_strips import runs_in_strips
from gcseg.inference.predict import predict_confidence, predict_labels, predict_scores
from gcseg.inference.protocol import Model, Modes, Protocol
from gcseg.inference.strips import predict_labels_in_strips
from gcseg.system.terminal import announce
from gcseg.system.text import counted


@dataclass(frozen=True)
class Step:
    """One way to predict an image.

    Args:
        description: Difference from the first step, in words.
        network_strips: Number of strips of rows in which the network runs; None for the first
            step, which computes everything whole.
    """

    description: str
    network_strips: int | None


STEPS = (
    Step("everything whole", None),
    Step("scores added up in strips of rows", 1),
    Step("network in 4 strips of rows, scores added up in strips", 4),
    Step("network in 16 strips of rows, scores added up in strips", 16),
)


class MemoryLadder:
    """Prediction of labels by the first step that fits into memory, with counts of the steps.

    An image at least as large as an earlier one does not try the steps that failed for that one;
    smaller images are not slowed down.

    Attributes:
        images: Number of images that each of `STEPS` predicted.
    """

    def __init__(self) -> None:
        self.images = [0] * len(STEPS)
        self._steps: dict[int, int] = {}  # by number of pixels of the images that needed the step

    def labels(
        self,
        model: Model,
        images: Tensor,
        modes: Modes,
        protocol: Protocol | None = None,
        *,
        height: int,
        width: int,
        confidences: dict[str, Tensor] | None = None,
        classes: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Predict class indices of images under several modes of test-time augmentation at once.

        Args:
            model: See `predict_scores`. Steps that run the network in strips are skipped if
                `runs_in_strips` is false for it.
            images: See `predict_scores`.
            modes: See `predict_scores`.
            protocol: See `predict_scores`.
            height: Height of the images without padding, in pixels.
            width: Width of the images without padding, in pixels.
            confidences: Dictionary that receives `predict_confidence` of each mode; None for none.
            classes: Classes whose probabilities these are, N x height x width int64; None for the
                predicted ones.

        Returns:
            By mode, N x height x width int64.

        Raises:
            MemoryLimitError: If the last step does not fit into memory either.
        """
        protocol = protocol or Protocol()
        pixels = images.shape[0] * images.shape[-2] * images.shape[-1]
        size = f"{images.shape[-2]} x {images.shape[-1]} pixels"
        last = len(STEPS) if runs_in_strips(model) else 2
        first = max((step for size, step in self._steps.items() if size <= pixels), default=0)
        for number in range(min(first, last - 1), last):
            strips = STEPS[number].network_strips
            try:
                if strips is None:
                    labels = _labels_at_once(
                        model, images, modes, protocol, height, width, confidences, classes
                    )
                else:
                    labels = predict_labels_in_strips(
                        model, images, modes, protocol, height=height, width=width,
                        network_strips=strips, confidences=confidences, classes=classes,
                    )  # fmt: skip
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = " ".join(str(error).split())
            else:
                self.images[number] += 1
                return labels
            # The error is gone by now, and with it the tensors that its frames held.
            if images.is_cuda:
                torch.cuda.empty_cache()
            if number + 1 < last:
                self._steps[pixels] = number + 1
                announce(
                    f"out of memory on an image of {size}: from now on "
                    f"{STEPS[number + 1].description}, which gives the same scores up to rounding"
                )
        raise MemoryLimitError(
            f"an image of {size} does not fit into memory, even with {STEPS[last - 1].description} "
            f"({reason})",
            "free memory, use precision=bf16-mixed, or (another protocol, with other scores) "
            "smaller scales or inference=slide",
        )


def _labels_at_once(
    model: Model,
    images: Tensor,
    modes: Modes,
    protocol: Protocol,
    height: int,
    width: int,
    confidences: dict[str, Tensor] | None,
    classes: Tensor | None,
) -> dict[str, Tensor]:
    """Predict by the first step of `MemoryLadder.labels`, everything whole."""
    scores = predict_scores(model, images, modes, protocol)
    labels = {}
    for name in modes:
        total = scores.pop(name)  # frees the scores of each mode after its labels
        labels[name] = predict_labels(total, height, width)
        if confidences is not None:
            confidences[name] = predict_confidence(total, height, width, protocol.average, classes)
    return labels


def report(images: Sequence[int]) -> list[str]:
    """Say in words which images were not predicted by the first step.

    Args:
        images: Number of images that each of `STEPS` predicted.
    """
    return [
        f"{step.description}: {counted(count, 'image')}"
        for step, count in zip(STEPS[1:], images[1:], strict=True)
        if count
    ]
