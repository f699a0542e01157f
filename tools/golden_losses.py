"""Write losses and gradients of other frameworks into tests/golden/losses_FRAMEWORK.npz.

    python tools/golden_losses.py paddleseg|mmseg|smp

runs in an environment that has the framework; gcseg is not needed. Inputs are those of `inputs`,
which tests/losses/test_golden.py makes again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden"

WEIGHTS = [1.0, 0.5, 4.0, 2.0, 0.25]
"""Class weights of the losses whose names end in `_weighted`."""

Arrays = tuple[np.ndarray, np.ndarray]


def inputs(*, ignored: float = 0.2) -> Arrays:
    """Draw logits 3 x 5 x 13 x 17 and labels 3 x 13 x 17; all five classes are in each image.

    Args:
        ignored: Share of the labels that are 255.
    """
    stream = np.random.Generator(np.random.Philox(key=15))
    logits = 2 * stream.standard_normal((3, 5, 13, 17))
    labels = stream.integers(0, 5, (3, 13, 17))
    logits += 3 * (labels[:, None] == np.arange(5)[:, None, None])
    labels[stream.random(labels.shape) < ignored] = 255
    return logits.astype(np.float32), labels.astype(np.int64)


def paddleseg() -> dict[str, Arrays]:
    """Losses of PaddleSeg 2.8 on PaddlePaddle 3.3."""
    import paddle
    from paddleseg.models import losses
    from paddleseg.models.losses import focal_loss

    def measured(loss: Any) -> Arrays:
        logits, labels = (paddle.to_tensor(one) for one in inputs())
        logits.stop_gradient = False
        value = loss(logits, labels)
        value.backward()
        return value.numpy(), logits.grad.numpy()

    return {
        "focal": measured(focal_loss.MultiClassFocalLoss(num_class=5, gamma=2.0)),
        "focal_half": measured(focal_loss.MultiClassFocalLoss(num_class=5, gamma=0.5)),
        "dice": measured(losses.DiceLoss(smooth=1.0)),
        "dice_weighted": measured(losses.DiceLoss(weight=WEIGHTS, smooth=1.0)),
        "lovasz": measured(losses.LovaszSoftmaxLoss()),
    }


def _torch(loss: Callable[..., Any], *, ignored: float = 0.2) -> Arrays:
    import torch

    logits, labels = (torch.from_numpy(one) for one in inputs(ignored=ignored))
    logits.requires_grad_()
    value = loss(logits, labels)
    value.backward()
    return value.detach().numpy(), logits.grad.numpy()


def mmseg() -> dict[str, Arrays]:
    """Losses of mmsegmentation 1.2."""
    _without_mmcv_ops()
    from mmseg.models import losses
    from mmseg.models.losses.tversky_loss import TverskyLoss

    def cross_entropy(*, ignored: float = 0.2, **settings: Any) -> Arrays:
        loss = losses.CrossEntropyLoss(**settings)
        return _torch(lambda *given: loss(*given, ignore_index=255), ignored=ignored)

    return {
        "cross_entropy": cross_entropy(avg_non_ignore=True),
        "cross_entropy_counting_ignored": cross_entropy(),
        # Its class weights fail on ignored pixels.
        "cross_entropy_weighted": cross_entropy(
            ignored=0.0, avg_non_ignore=True, class_weight=WEIGHTS
        ),
        "ohem": _torch(losses.OhemCrossEntropy(thres=0.7, min_kept=10)),
        "ohem_hardest": _torch(losses.OhemCrossEntropy(thres=0.1, min_kept=200)),
        "tversky": _torch(TverskyLoss(smooth=1.0)),
        "lovasz": _torch(losses.LovaszLoss(reduction="none")),
        "lovasz_per_image": _torch(losses.LovaszLoss(per_image=True)),
    }


def smp() -> dict[str, Arrays]:
    """Losses of segmentation_models.pytorch 0.6."""
    from segmentation_models_pytorch import losses

    mode: dict[str, Any] = {"mode": "multiclass", "ignore_index": 255}
    return {
        "dice": _torch(losses.DiceLoss(**mode)),
        "dice_smooth": _torch(losses.DiceLoss(**mode, smooth=4.0)),
        "dice_weighted": _torch(losses.DiceLoss(**mode, class_weights=WEIGHTS)),
        "tversky": _torch(losses.TverskyLoss(**mode, alpha=0.3, beta=0.7)),
        "lovasz": _torch(losses.LovaszLoss(**mode)),
        "lovasz_per_image": _torch(losses.LovaszLoss(**mode, per_image=True)),
    }


def _without_mmcv_ops() -> None:
    """Let mmsegmentation import mmcv-lite, which lacks compiled layers that no loss needs."""
    from unittest import mock

    for name in ("mmcv.ops", "mmcv.ops.point_sample"):
        sys.modules[name] = mock.MagicMock()


if __name__ == "__main__":
    found = {"paddleseg": paddleseg, "mmseg": mmseg, "smp": smp}[sys.argv[1]]()
    parts = {f"{name}/{part}": value for name, both in found.items()
             for part, value in zip(("loss", "gradient"), both, strict=True)}  # fmt: skip
    np.savez_compressed(FOLDER / f"losses_{sys.argv[1]}.npz", **parts)
    for name, (value, _) in found.items():
        print(name, float(value))
