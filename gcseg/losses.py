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

    - as it is, sum(w[y_i] l_i) / sum(w[y_i]), the weighted mean of PyTorch, of PaddleSeg 2.8 and
      of mmsegmentation from 1.2 on: multiplying all weights by one number changes nothing;
    - with `count_ignored`, sum(w[y_i] l_i) / number of all pixels, as mmsegmentation computed it
      up to 1.1: there the scale of the weights is a scale of the loss.

    Source: PaddleSeg's CrossEntropyLoss. Where every pixel is ignored, or has a class of weight
    0, the loss is 0, not NaN.

    Args:
        logits: N x C x H x W, any float type; the loss is computed in float32.
        labels: N x H x W int64.
        ignore_index: Label of the pixels left out.
        count_ignored: Whether they count in the mean all the same, with a loss of 0. Source:
            mmsegmentation's CrossEntropyLoss when its GCNet models were trained.
        class_weights: C weights, 0 or more, on the device of the logits; all 1 if None.
        total_weight: What the sum is divided by, a scalar; that of these labels if None. Where
            the labels are one process's part of a batch, give the mean of the parts' own: the mean
            of the parts' losses, and of their gradients, is then that of the whole batch.

    Returns:
        A scalar.
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
    """What `cross_entropy` divides the sum of its losses by, where that is not 0.

    Args:
        labels: As there.
        ignore_index: As there.
        count_ignored: As there.
        class_weights: As there.

    Returns:
        A scalar, 0 or more.
    """
    if count_ignored:
        return torch.tensor(labels.numel())
    counted = labels != ignore_index
    if class_weights is None:
        return counted.sum()
    return (class_weights.float()[labels.where(counted, 0)] * counted).sum()
