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
) -> Tensor:
    """Cross entropy, averaged over the pixels that are not ignored.

    Source: PaddleSeg's CrossEntropyLoss. Where every pixel is ignored the loss is 0, not NaN.

    Args:
        logits: N x C x H x W, any float type; the loss is computed in float32.
        labels: N x H x W int64.
        ignore_index: Label of the pixels left out.
        count_ignored: Whether they count in the mean all the same, with a loss of 0. Source:
            mmsegmentation's CrossEntropyLoss when its GCNet models were trained.

    Returns:
        A scalar.
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=ignore_index, reduction="sum")
    if count_ignored:
        return total / labels.numel()
    return total / (labels != ignore_index).sum().clamp(min=1)
