"""Calibration: the agreement of a network's confidence with its accuracy.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2: equal bins of
confidence, and the expected calibration error, the mean over pixels of the difference between a
bin's confidence and its accuracy.
"""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 15
"""Number of bins, as in the paper's tables."""


class Calibration:
    """Counts of the pixels of any number of images by confidence.

    Bins include their upper bound and not their lower one, as in the paper; the first includes 0.
    """

    def __init__(self) -> None:
        self.state = torch.zeros(3, BINS, dtype=torch.float64)
        """3 x bins, on the CPU: pixels, sum of their confidences, and number of correct ones. The
        sum of several processes' states is the state of all their images."""

    def update(self, confidence: Tensor, correct: Tensor, counted: Tensor) -> None:
        """Count an image.

        Args:
            confidence: Probabilities of the predicted classes, H x W float, 0 to 1; NaN, as of a
                network that has diverged, counts as 0.
            correct: Mask of the pixels whose predicted class is the true one, H x W bool.
            counted: Mask of the pixels that are counted, H x W bool.
        """
        sure = confidence.float().nan_to_num().flatten()
        if sure.device.type == "mps":  # which has no double precision
            sure = sure.cpu()
        inner = torch.linspace(0, 1, BINS + 1, device=sure.device)[1:-1]
        # Two places for each bin, wrong and right, and one for pixels that are not counted: many
        # times as fast as picking pixels out.
        place = 2 * torch.bucketize(sure, inner) + correct.flatten().to(sure.device)
        place = place.where(counted.flatten().to(sure.device), 2 * BINS)
        pixels = torch.bincount(place, minlength=2 * BINS + 1)[:-1].reshape(BINS, 2)
        # Not by bincount, which can't add up fractions deterministically on a GPU.
        sums = pixels.new_zeros(2 * BINS + 1, dtype=torch.float64)
        sums = sums.index_add_(0, place, sure.double())[:-1]
        counts = [pixels.sum(1).double(), sums.reshape(BINS, 2).sum(1), pixels[:, 1].double()]
        self.state += torch.stack(counts).cpu()


def expected_calibration_error(state: Tensor) -> float:
    """Return the mean difference of confidence and accuracy, 0..1, bins weighted by pixels.

    Args:
        state: State of a `Calibration`, 3 x bins.

    Returns:
        The error; 0 if no pixel was counted.
    """
    pixels, confidences, hits = state.double()
    return float((confidences - hits).abs().sum() / pixels.sum().clamp(min=1))


def bins(state: Tensor) -> list[dict[str, float | int | None]]:
    """Return the bins of a reliability diagram.

    Args:
        state: State of a `Calibration`, 3 x bins.

    Returns:
        For each bin its bounds `lower` and `upper`, the number of `pixels` in it, and their mean
        `confidence` and `accuracy`, 0..1, None if it is empty.
    """
    count = state.shape[1]
    return [
        {
            "lower": index / count,
            "upper": (index + 1) / count,
            "pixels": int(pixels),
            "confidence": confidences / pixels if pixels else None,
            "accuracy": hits / pixels if pixels else None,
        }
        for index, (pixels, confidences, hits) in enumerate(state.double().T.tolist())
    ]
