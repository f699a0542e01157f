"""Training losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gcseg.data.label_spaces import IGNORE_INDEX


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    ignore_index: int = IGNORE_INDEX,
    *,
    count_ignored: bool = False,
    class_weights: Tensor | None = None,
    total_weight: Tensor | None = None,
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
        logits: Logits N x C x H x W of any float type; the loss is computed in float32.
        labels: Class indices N x H x W, int64.
        ignore_index: Label of the ignored pixels.
        count_ignored: Whether ignored pixels count in the mean, with a loss of 0. Source:
            mmsegmentation's CrossEntropyLoss when its GCNet models were trained.
        class_weights: Weights of the C classes, 0 or more, on the device of the logits; None for
            all 1.
        total_weight: Divisor of the sum, a scalar; None for `summed_weight` of these labels. If
            the labels are one process's part of a batch, pass the mean over the parts: the mean of
            the parts' losses, and of their gradients, is then that of the whole batch.

    Returns:
        The loss, a scalar.
    """
    weights = None if class_weights is None else class_weights.float()
    total = F.cross_entropy(
        logits.float(), labels, weight=weights, ignore_index=ignore_index, reduction="sum"
    )
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
    counted = labels != ignore_index
    if class_weights is None:
        return counted.sum()
    return (class_weights.float()[labels.where(counted, 0)] * counted).sum()
