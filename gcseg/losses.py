"""Training losses."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from gcseg.data.label_spaces import IGNORE_INDEX


def cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Cross entropy, averaged over the pixels that are not ignored.

    Source: PaddleSeg's CrossEntropyLoss. Where every pixel is ignored the loss is 0, not NaN.

    Args:
        logits: N x C x H x W, any float type; the loss is computed in float32.
        labels: N x H x W int64.
        ignore_index: Label of the pixels left out.

    Returns:
        A scalar.
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=ignore_index, reduction="sum")
    return total / (labels != ignore_index).sum().clamp(min=1)
