"""Lovász-Softmax loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.losses.pixels import weights_tensor
from gcseg.losses.processes import mean_over_processes


class Lovasz(nn.Module):
    """Lovász-Softmax loss: a continuous extension of 1 - IoU of each class.

    It is the mean over the classes that are labelled, weighted by class weights. By default the
    IoU is that of a forward pass's images in one process; several processes average their losses,
    which is not the loss of their images together. With `per_image` it is.

    Source: Berman et al., "The Lovász-Softmax loss", CVPR 2018, algorithm 1, whose repository
    PaddleSeg, mmsegmentation and segmentation_models.pytorch follow, with their default
    `classes="present"`. Steps of the extension are not computed as differences of IoUs, which
    float32 does not resolve in large batches. mmsegmentation does not divide by the class weights.

    Args:
        per_image: Whether the IoU is that of single images, over which the losses are averaged.
        class_weights: Weights of the C classes in the mean, 0 or more; None for all 1.
    """

    class_weights: Tensor | None

    def __init__(
        self, *, per_image: bool = False, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.per_image = per_image
        self.register_buffer("class_weights", weights_tensor(class_weights), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Which classes are labelled is read from the device, once for each IoU: sorting for classes
        that don't occur would take longer.

        Args:
            logits: Logits, N x C x H x W.
            labels: Class indices, N x H x W int64.
        """
        probabilities = logits.float().softmax(1).transpose(0, 1)  # C x N x H x W
        count = len(labels) if self.per_image else 1
        parts = zip(probabilities.chunk(count, 1), labels.chunk(count), strict=True)
        losses, weights = zip(*(self._of(*part) for part in parts), strict=True)
        counted = torch.stack(weights) > 0
        shared = mean_over_processes(counted.sum())
        return torch.stack(losses).sum() / shared.where(shared > 0, 1)

    def _of(self, probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean over labelled classes, and the sum of their weights; 0 for none.

        Args:
            probabilities: Softmax, C x N x H x W.
            labels: Class indices, N x H x W.
        """
        present = [one for one in torch.unique(labels).tolist() if one != IGNORE_INDEX]
        if not present:
            nothing = probabilities.sum() * 0  # keeps its gradient, which is 0
            return nothing, nothing.detach()
        losses = torch.stack([_extension(probabilities[one], labels, one) for one in present])
        weights = torch.ones_like(losses)
        if self.class_weights is not None:
            weights = self.class_weights[present]
        total = weights.sum()
        return (losses * weights).sum() / total.where(total > 0, 1), total


def _extension(probability: Tensor, labels: Tensor, index: int) -> Tensor:
    """Return the Lovász extension of 1 - IoU of a class that is labelled.

    Args:
        probability: Probability of the class at each pixel, N x H x W.
        labels: Class indices, N x H x W.
        index: Index of the class.
    """
    own, counted = (labels == index).flatten(), (labels != IGNORE_INDEX).flatten()
    errors = (own.float() - probability.flatten()).abs()
    # Ignored pixels come last. Stable, so that equal errors have one order on every device.
    order = errors.detach().where(counted, -1).argsort(descending=True, stable=True)
    own, counted = own[order], counted[order]
    found = own.sum() - own.cumsum(0)  # of the class, and not among the errors so far
    union = own.sum() + (counted & ~own).cumsum(0)
    # The step from one 1 - IoU to the next: a pixel of the class leaves the intersection, or
    # another pixel joins the union.
    steps = torch.where(own, 1 / union, found / (union * (union - 1)).clamp(min=1)) * counted
    slopes = torch.empty_like(errors).scatter_(0, order, steps.to(errors.dtype))
    return (errors * slopes).sum()
