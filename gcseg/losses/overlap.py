"""Losses of the overlap of predicted and true classes: Dice and Tversky."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.losses.pixels import weights_tensor
from gcseg.losses.processes import mean_over_processes, sum_over_processes

Classes = Literal["present", "all"]
"""Classes that a mean is over: those that are labelled, or all of the network's."""

_LEAST = 1e-7
"""Least divisor, as in segmentation_models.pytorch, for classes in neither labels nor
predictions."""


class Tversky(nn.Module):
    """Tversky loss: 1 minus an overlap in which false positives and negatives weigh differently.

    With the softmax p of a class at each pixel and its labels g, 0 or 1, sums over the pixels that
    are not ignored:

        TP = sum(p g), FP = sum(p (1 - g)), FN = sum((1 - p) g)
        loss = 1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth)

    The loss is the mean over classes, weighted by class weights. By default the sums are over the
    whole batch: all images of a forward pass in all processes.

    Source: Salehi et al., "Tversky loss function for image segmentation using 3D fully
    convolutional deep networks", MLMI 2017, whose best alpha and beta are the defaults. With
    `per_image=True classes="all" smooth=1` it is mmsegmentation's TverskyLoss; with the defaults,
    that of segmentation_models.pytorch, in whose mean over all classes absent ones are 0.

    Args:
        alpha: Weight of false positives, 0 or more.
        beta: Weight of false negatives, 0 or more.
        smooth: Pixels added above and below the line, 0 or more.
        per_image: Whether sums are of single images, over which the losses are averaged.
        classes: Classes that the mean is over: "present" in the labels of the sums, or "all".
        class_weights: Weights of the C classes in the mean, 0 or more; None for all 1.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        smooth: float = 0.0,
        *,
        per_image: bool = False,
        classes: Classes = "present",
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.smooth = smooth
        self.per_image = per_image
        self.classes = classes
        self.register_buffer("class_weights", weights_tensor(class_weights), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: Logits, N x C x H x W.
            labels: Class indices, N x H x W int64.
        """
        sums = _sums(logits, labels, per_image=self.per_image)
        wrong = self.alpha * (sums.predicted - sums.hits) + self.beta * (sums.labelled - sums.hits)
        overlap = sums.hits + self.smooth
        losses = 1 - overlap / (overlap + wrong).clamp(min=_LEAST)
        labelled = sums.labelled > 0
        counted = labelled if self.classes == "present" else labelled.any(1, keepdim=True)
        weights = counted.float().expand_as(losses)
        if self.class_weights is not None:
            weights = weights * self.class_weights
        divisor = weights.sum(1)
        of_images = (losses * weights).sum(1) / divisor.where(divisor > 0, 1)
        if not self.per_image:
            return of_images.squeeze(0)
        images = mean_over_processes((divisor > 0).sum())
        return of_images.sum() / images.where(images > 0, 1)


class Dice(Tversky):
    """Dice loss: 1 minus the F1 of each class, with probabilities for predictions.

    With the softmax p of a class at each pixel and its labels g, 0 or 1, sums over the pixels that
    are not ignored:

        loss = 1 - (2 sum(p g) + smooth) / (sum(p) + sum(g) + smooth)

    It is the Tversky loss of alpha = beta = 0.5 and half of `smooth`, and averaged as that is.

    Source: Milletari et al., "V-Net", 3DV 2016, with first powers below the line, as in Sudre et
    al., DLMIA 2017. With `per_image=True classes="all" smooth=1` it is PaddleSeg's DiceLoss; with
    the defaults, that of segmentation_models.pytorch, in whose mean over all classes absent ones
    are 0. mmsegmentation's DiceLoss adds up all classes of an image, and ignored pixels.

    Args:
        smooth: Pixels added above and below the line, 0 or more.
        per_image: Whether sums are of single images, over which the losses are averaged.
        classes: Classes that the mean is over: "present" in the labels of the sums, or "all".
        class_weights: Weights of the C classes in the mean, 0 or more; None for all 1.
    """

    def __init__(
        self,
        smooth: float = 0.0,
        *,
        per_image: bool = False,
        classes: Classes = "present",
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(
            0.5,
            0.5,
            smooth / 2,
            per_image=per_image,
            classes=classes,
            class_weights=class_weights,
        )


class _Sums(NamedTuple):
    """Sums over pixels by image, or over all at once, and class: B x C float32.

    Args:
        hits: Probabilities of the class on its own pixels.
        predicted: Probabilities of the class on all pixels.
        labelled: Number of the class's pixels.
    """

    hits: Tensor
    predicted: Tensor
    labelled: Tensor


def _sums(logits: Tensor, labels: Tensor, *, per_image: bool) -> _Sums:
    """Return the sums of the images, or of all processes' images together, without ignored pixels.

    Args:
        logits: Logits, N x C x H x W.
        labels: Class indices, N x H x W.
        per_image: Whether B is N, not 1.
    """
    probabilities = logits.float().softmax(1)
    classes = torch.arange(logits.shape[1], device=labels.device)
    own = labels.unsqueeze(1) == classes.reshape(1, -1, 1, 1)
    ignored = (labels == IGNORE_INDEX).unsqueeze(1)
    parts = (
        probabilities.masked_fill(~own, 0),
        probabilities.masked_fill(ignored, 0),
        own.float(),
    )
    sums = torch.stack([part.sum((2, 3)) for part in parts])
    return _Sums(*(sums if per_image else sum_over_processes(sums.sum(1, keepdim=True))))
