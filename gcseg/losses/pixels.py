"""Losses that are means over pixels: cross entropy, focal loss, hard pixels alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.losses.processes import gathered, mean_over_processes
from gcseg.losses.upsampling import pixel_losses

_SMALLEST = 1e-12
"""Least probability of a wrong class in a power, whose slope at 0 can be infinite."""


class CrossEntropy(nn.Module):
    """Cross entropy, averaged over the pixels that are not ignored; see `cross_entropy`.

    Source: PaddleSeg's CrossEntropyLoss; with `count_ignored`, mmsegmentation's of 2021.

    Args:
        class_weights: Weights of the C classes, 0 or more; None for all 1.
        count_ignored: Whether ignored pixels count in the mean.
    """

    upsamples = True
    class_weights: Tensor | None

    def __init__(
        self, *, class_weights: Sequence[float] | None = None, count_ignored: bool = False
    ) -> None:
        super().__init__()
        self.count_ignored = count_ignored
        self.register_buffer("class_weights", weights_tensor(class_weights), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor, *, align_corners: bool = False) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: Logits, N x C x h x w, see `pixel_losses`.
            labels: Class indices, N x H x W int64.
            align_corners: See `pixel_losses`.
        """
        weight = summed_weight(
            labels, count_ignored=self.count_ignored, class_weights=self.class_weights
        )
        return cross_entropy(
            logits,
            labels,
            class_weights=self.class_weights,
            total_weight=mean_over_processes(weight.to(logits.device)),
            align_corners=align_corners,
        )


class Focal(nn.Module):
    """Focal loss: cross entropy whose pixels weigh less the better they are predicted.

    With the probability p of a pixel's true class, its loss is (1 - p)^gamma times its cross
    entropy -ln(p). The mean is that of `cross_entropy`, with class weights as the paper's alpha.

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 4, over the
    softmax of all classes, as PaddleSeg's MultiClassFocalLoss. The FocalLoss of mmsegmentation
    and of segmentation_models.pytorch takes a sigmoid for each class instead.

    Args:
        gamma: Exponent, 0 or more; 0 is cross entropy.
        class_weights: Weights of the C classes, 0 or more; None for all 1.
        count_ignored: Whether ignored pixels count in the mean.
    """

    upsamples = True
    class_weights: Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        *,
        class_weights: Sequence[float] | None = None,
        count_ignored: bool = False,
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.count_ignored = count_ignored
        self.register_buffer("class_weights", weights_tensor(class_weights), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor, *, align_corners: bool = False) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: Logits, N x C x h x w, see `pixel_losses`.
            labels: Class indices, N x H x W int64.
            align_corners: See `pixel_losses`.
        """
        losses = pixel_losses(logits, labels, align_corners=align_corners)
        wrong = (-torch.expm1(-losses)).clamp(min=_SMALLEST)
        weights = pixel_weights(labels, self.class_weights)
        total = (wrong**self.gamma * losses * weights).sum()
        whole = torch.tensor(labels.numel(), device=logits.device)
        return _divided(total, whole if self.count_ignored else weights.sum())


class Ohem(nn.Module):
    """Online hard example mining: cross entropy of the pixels that are predicted worst.

    A pixel is kept if its true class has a probability below `threshold`, or if it is among the
    `min_kept` pixels with the lowest ones. The loss is the mean over the kept pixels, weighted by
    class weights as `cross_entropy` is. All processes choose together, from all their images.

    Source: Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example
    Mining", CVPR 2016; for pixels, mmsegmentation's OhemCrossEntropy (from PIDNet), whose
    `min_kept` is for each device. PaddleSeg's OhemCrossEntropyLoss keeps every pixel if fewer than
    `min_kept` are labelled, and else one less.

    Args:
        threshold: Probability of the true class below which a pixel is kept, above 0 up to 1.
        min_kept: Least number of pixels that are kept, of all images in a forward pass, over all
            processes.
        class_weights: Weights of the C classes, 0 or more; None for all 1.
    """

    upsamples = True
    class_weights: Tensor | None

    def __init__(
        self,
        threshold: float = 0.7,
        min_kept: int = 100_000,
        *,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.least_loss = -math.log(threshold)
        self.min_kept = min_kept
        self.register_buffer("class_weights", weights_tensor(class_weights), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor, *, align_corners: bool = False) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: Logits, N x C x h x w, see `pixel_losses`.
            labels: Class indices, N x H x W int64.
            align_corners: See `pixel_losses`.
        """
        losses = pixel_losses(logits, labels, align_corners=align_corners)
        kept = self._kept(losses.detach(), labels != IGNORE_INDEX)
        weights = pixel_weights(labels, self.class_weights) * kept
        return _divided((losses * weights).sum(), weights.sum())

    def _kept(self, losses: Tensor, counted: Tensor) -> Tensor:
        """Return the mask of the kept pixels; of equally bad ones all or none are kept."""
        kept = losses > self.least_loss
        if self.min_kept:
            labelled = losses.where(counted, -math.inf).flatten()
            # The worst pixels of all processes are among the worst of each.
            worst = gathered(labelled.topk(min(self.min_kept, len(labelled))).values)
            kept |= losses >= worst.topk(min(self.min_kept, len(worst))).values[-1]
        return kept & counted


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    ignore_index: int = IGNORE_INDEX,
    *,
    count_ignored: bool = False,
    class_weights: Tensor | None = None,
    total_weight: Tensor | None = None,
    align_corners: bool = False,
) -> Tensor:
    """Cross entropy, averaged over the pixels that are not ignored.

    With class weights w, labels y and losses l of the single pixels, sums over the pixels i that
    are not ignored:

    - by default, sum(w[y_i] l_i) / sum(w[y_i]), the weighted mean of PyTorch, of PaddleSeg 2.8 and
      of mmsegmentation from 1.2 on: multiplying all weights by one number changes nothing;
    - with `count_ignored`, sum(w[y_i] l_i) / number of all pixels, as mmsegmentation computed it
      up to 1.1: the scale of the weights scales the loss.

    Source: PaddleSeg's CrossEntropyLoss. Where every pixel is ignored, or has a class of weight
    0, the loss is 0, not NaN.

    Args:
        logits: Logits N x C x h x w, see `pixel_losses`.
        labels: Class indices N x H x W, int64.
        ignore_index: Label of the ignored pixels.
        count_ignored: Whether ignored pixels count in the mean, with a loss of 0. Source:
            mmsegmentation's CrossEntropyLoss when its GCNet models were trained.
        class_weights: Weights of the C classes, 0 or more, on the device of the logits; None for
            all 1.
        total_weight: Divisor of the sum, a scalar; None for `summed_weight` of these labels. If
            the labels are one process's part of a batch, pass the mean over the parts: the mean of
            the parts' losses, and of their gradients, is then that of the whole batch.
        align_corners: See `pixel_losses`.

    Returns:
        The loss, a scalar.
    """
    weights = None if class_weights is None else class_weights.float()
    losses = pixel_losses(logits, labels, ignore_index, align_corners=align_corners)
    if weights is not None:
        losses = losses * pixel_weights(labels, weights, ignore_index)
    total = losses.sum()
    if total_weight is None:
        total_weight = summed_weight(
            labels, ignore_index, count_ignored=count_ignored, class_weights=weights
        )
    return total / total_weight.where(total_weight > 0, 1)


def summed_weight(
    labels: Tensor,
    ignore_index: int = IGNORE_INDEX,
    *,
    count_ignored: bool = False,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return the divisor of `cross_entropy`, which uses it where it is not 0.

    Args:
        labels: See `cross_entropy`.
        ignore_index: See `cross_entropy`.
        count_ignored: See `cross_entropy`.
        class_weights: See `cross_entropy`.

    Returns:
        The divisor, a scalar, 0 or more.
    """
    if count_ignored:
        return torch.tensor(labels.numel())
    if class_weights is None:
        return (labels != ignore_index).sum()
    return pixel_weights(labels, class_weights, ignore_index).sum()


def weights_tensor(class_weights: Sequence[float] | None) -> Tensor | None:
    """Return class weights as a tensor, None for None."""
    return None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)


def pixel_weights(
    labels: Tensor, class_weights: Tensor | None, ignore_index: int = IGNORE_INDEX
) -> Tensor:
    """Return the weight of each pixel, N x H x W float32: 0 if it is ignored.

    Args:
        labels: Class indices, N x H x W.
        class_weights: Weights of the C classes; None for all 1.
        ignore_index: Label of the ignored pixels.
    """
    counted = labels != ignore_index
    if class_weights is None:
        return counted.float()
    return class_weights.float()[labels.where(counted, 0)] * counted


def _divided(total: Tensor, weight: Tensor) -> Tensor:
    """Divide a process's sum by the processes' mean weight; 0 if they have none."""
    shared = mean_over_processes(weight)
    return total / shared.where(shared > 0, 1)
