"""Prediction by any segmentation model: whole image or sliding window, with augmentation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gcseg.inference.protocol import Average, Model, Modes, Protocol, all_views


@torch.inference_mode()
def predict_scores(
    model: Model, images: Tensor, modes: Modes, protocol: Protocol | None = None
) -> dict[str, Tensor]:
    """Predict scores of images under several modes of test-time augmentation at once.

    A view (scale, mirrored) that several modes share is predicted once. Each view is added to the
    mean as soon as it is predicted, so memory does not grow with their number.

    Source: PaddleSeg's aug_inference (logits averaged, sizes `int(size * scale + 0.5)`);
    mmsegmentation averages probabilities.

    Args:
        model: Network that maps N x 3 x H x W to N x C x H x W logits.
        images: Images N x 3 x H x W, normalised.
        modes: Augmentations by name of the mode.
        protocol: Averaged quantity, windows and sizes; None for `Protocol()`.

    Returns:
        By mode, N x C x H x W float32: averaged logits or probabilities.

    Example:
        >>> import torch
        >>> from gcseg.inference.protocol import Augmentation
        >>> model = torch.nn.Conv2d(3, 2, 1)
        >>> modes = {"none": Augmentation(), "flip": Augmentation(flip=True)}
        >>> scores = predict_scores(model, torch.zeros(1, 3, 8, 12), modes)
        >>> {name: tuple(of.shape) for name, of in scores.items()}
        {'none': (1, 2, 8, 12), 'flip': (1, 2, 8, 12)}
    """
    protocol = protocol or Protocol()
    totals: dict[str, Tensor] = {}
    for view in all_views(modes):
        scores = protocol.scores(_view_logits(model, images, view, protocol))
        add_view(totals, modes, view, scores)
    return {name: totals[name] for name in modes}


def _view_logits(
    model: Model, images: Tensor, view: tuple[float, bool], protocol: Protocol
) -> Tensor:
    """Compute the logits of one view at the images' size: N x C x H x W float32."""
    size = images.shape[-2], images.shape[-1]
    scale, flip = view
    view_size = protocol.view_size(*size, scale)
    images = view_of(images, view_size, flip)
    window = protocol.window
    logits = window.logits(model, images) if window else model(images).float()
    if flip:
        logits = logits.flip(-1)
    if view_size != size:
        logits = F.interpolate(logits, size, mode="bilinear", align_corners=protocol.align_corners)
    return logits


def add_view(
    totals: dict[str, Tensor], modes: Modes, view: tuple[float, bool], scores: Tensor
) -> None:
    """Add a view's scores to the mean of each mode that has the view.

    Args:
        totals: Means so far, by mode; changed in place.
        modes: Augmentations by name of the mode.
        view: View that was predicted, (scale, mirrored).
        scores: Scores of the view, N x C x H x W.
    """
    for name, mode in modes.items():
        if view not in mode.views:
            continue
        weight = 1 / len(mode.views)
        if name in totals:
            totals[name].add_(scores, alpha=weight)
        else:
            totals[name] = scores * weight


def view_of(images: Tensor, size: tuple[int, int], flip: bool) -> Tensor:
    """Return a view of images N x 3 x H x W: resized to (height, width) pixels, mirrored."""
    if size != images.shape[-2:]:
        images = F.interpolate(images, size, mode="bilinear", align_corners=False)
    return images.flip(-1) if flip else images


@torch.inference_mode()
def predict_labels(scores: Tensor, height: int, width: int) -> Tensor:
    """Return class indices at an image's own size, with padding at the bottom and right cut off.

    Args:
        scores: Logits or probabilities, N x C x H x W.
        height: Height of the image without padding, in pixels.
        width: Width of the image without padding, in pixels.

    Returns:
        N x height x width int64; -1 where the highest score is NaN or infinite.
    """
    highest, labels = scores[..., :height, :width].max(1)
    return labels.masked_fill(~highest.isfinite(), -1)


@torch.inference_mode()
def predict_confidence(
    scores: Tensor, height: int, width: int, average: Average, classes: Tensor | None = None
) -> Tensor:
    """Return the probabilities of the predicted classes, or of given ones, at an image's own size.

    Args:
        scores: Scores N x C x H x W, averaged over the views.
        height: Height of the image without padding, in pixels.
        width: Width of the image without padding, in pixels.
        average: Kind of the scores: logits, whose softmax is taken, or probabilities.
        classes: Class indices N x height x width, int64; None for the predicted ones.

    Returns:
        N x height x width float32 in 0..1.
    """
    scores = scores[..., :height, :width].float()
    highest = scores.amax(1) if classes is None else scores.gather(1, classes[:, None])[:, 0]
    if average == "probabilities":
        return highest
    return (highest - scores.logsumexp(1)).exp()


@torch.inference_mode()
def predict_attention(attention: Model, images: Tensor, protocol: Protocol) -> Tensor:
    """Compute a network's attention maps of images without augmentation, at scale 1.

    Args:
        attention: Function that maps N x 3 x H x W to N x 1 x h x w weights, as
            `Segmentor.attention` does.
        images: Images N x 3 x H x W, normalised.
        protocol: Protocol that determines the size at which images are predicted.

    Returns:
        N x 1 x h x w float32 on the CPU.
    """
    size = protocol.view_size(images.shape[-2], images.shape[-1])
    return attention(view_of(images, size, flip=False)).float().cpu()
