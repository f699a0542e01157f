"""Training losses."""

from __future__ import annotations

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

    Returns:
        A scalar.
    """
    weights = None if class_weights is None else class_weights.float()
    total = F.cross_entropy(
        logits.float(), labels, weight=weights, ignore_index=ignore_index, reduction="sum"
    )
    if count_ignored:
        return total / labels.numel()
    counted = labels != ignore_index
    if weights is None:
        return total / counted.sum().clamp(min=1)
    weight = (weights[labels.where(counted, 0)] * counted).sum()
    return total / weight.where(weight > 0, 1)
