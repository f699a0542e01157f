"""The LightningModule: loss, optimizer and confusion matrices around a segmentation model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassConfusionMatrix

from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.inference import (
    Augmentation,
    Average,
    Fit,
    SlidingWindow,
    predict_labels,
    predict_scores,
)
from gcseg.losses import cross_entropy
from gcseg.metrics import Scores, scores
from gcseg.models import Segmentor

Optimizer = Callable[[Iterable[nn.Parameter]], tuple[torch.optim.Optimizer, LRScheduler]]

PLAIN = {"none": Augmentation()}
"""How training validates: each image once, as it is."""


class SegmentationModule(L.LightningModule):
    """Trains a model with the published loss and scores it over a split.

    Args:
        model: The network.
        class_names: Of the classes that it predicts.
        optimizer: Makes the optimizer and its scheduler from the parameters; None to evaluate.
        auxiliary_weight: Of the auxiliary head's loss.
        class_weights: Of the loss, one per class; all 1 where None.
        count_ignored: Whether ignored pixels count in the mean of the loss.
        average: What test-time augmentation averages.
        window: Sliding window for evaluation; whole images where None.
        fit: Into what evaluation resizes images; their own size where None.
        channels_last: Whether convolutions run in that memory format.
    """

    def __init__(
        self,
        model: Segmentor,
        class_names: Sequence[str],
        *,
        optimizer: Optimizer | None = None,
        auxiliary_weight: float = 0.4,
        class_weights: Sequence[float] | None = None,
        count_ignored: bool = False,
        average: Average = "logits",
        window: SlidingWindow | None = None,
        fit: Fit | None = None,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = model.to(memory_format=memory_format)  # type: ignore[call-overload]
        self.memory_format = memory_format
        self.class_names = tuple(class_names)
        self.optimizer = optimizer
        self.auxiliary_weight = auxiliary_weight
        self.count_ignored = count_ignored
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)
        self.average = average
        self.window = window
        self.fit = fit
        self.scores: dict[str, Scores] = {}
        self.set_modes(PLAIN)

    def set_modes(self, modes: Mapping[str, Augmentation]) -> None:
        """Choose the modes of test-time augmentation that the next evaluation scores."""
        self.modes = dict(modes)
        self.confusion = MetricCollection(
            {
                name: MulticlassConfusionMatrix(
                    len(self.class_names), ignore_index=IGNORE_INDEX, validate_args=False
                )
                for name in modes
            },
            compute_groups=False,  # each mode has a matrix of its own
        ).to(self.device)

    def forward(self, images: Tensor) -> Tensor:
        """Logits N x C x H x W of images N x 3 x H x W."""
        logits: Tensor = self.model(images)
        return logits

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of a batch: main plus weighted auxiliary cross entropy."""
        images = batch["image"].contiguous(memory_format=self.memory_format)
        labels = batch["label"].long()
        logits, auxiliary_logits = self.model(images, auxiliary=True)
        loss = self._cross_entropy(logits, labels)
        logged = {"train/loss_main": loss}
        if auxiliary_logits is not None:
            auxiliary_loss = self._cross_entropy(auxiliary_logits, labels)
            loss = loss + self.auxiliary_weight * auxiliary_loss
            logged["train/loss_auxiliary"] = auxiliary_loss
        self.log_dict(
            {"train/loss": loss, **logged, "train/learning_rate": self._learning_rate()},
            batch_size=len(images),
        )
        return loss

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(
            logits, labels, count_ignored=self.count_ignored, class_weights=self.class_weights
        )

    def _learning_rate(self) -> float:
        rate: float = self.trainer.optimizers[0].param_groups[0]["lr"]
        return rate

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Count one image's pixels under every mode."""
        label = batch["label"].long()
        for name, mode_scores in self._predict(batch).items():
            self.confusion[name].update(predict_labels(mode_scores, *label.shape[-2:]), label)

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Class indices, 1 x H x W, of one image under the first mode, at its own size."""
        (predicted,) = self._predict(batch).values()
        return predict_labels(predicted, int(batch["height"]), int(batch["width"]))

    def _predict(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Scores N x C x H x W of a batch by mode."""
        return predict_scores(
            self.model,
            batch["image"].contiguous(memory_format=self.memory_format),
            self.modes,
            average=self.average,
            window=self.window,
            fit=self.fit,
            align_corners=self.model.align_corners,
        )

    def on_validation_epoch_end(self) -> None:
        """Turn the confusion matrices, summed over processes, into scores."""
        for name, matrix in self.confusion.compute().items():
            self.scores[name] = scores(matrix, self.class_names)
        self.confusion.reset()
        if self.trainer.state.fn == "fit":  # the scores of an evaluation are no part of the curves
            plain = self.scores["none"]
            self.log("val/miou", plain.miou)
            self.log("val/pixel_accuracy", plain.pixel_accuracy)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer, its rate stepped once per optimizer step."""
        if self.optimizer is None:
            raise RuntimeError("this module was made for evaluation; it has no optimizer")
        optimizer, scheduler = self.optimizer(self.parameters())
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
