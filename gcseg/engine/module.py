"""The LightningModule: loss, optimizer and confusion matrices around a segmentation model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytorch_lightning as L
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassConfusionMatrix

from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.engine.monitor import Monitor
from gcseg.errors import ConfigError, WeightsError
from gcseg.inference.memory_ladder import MemoryLadder, report
from gcseg.inference.protocol import Augmentation, Protocol
from gcseg.losses import CrossEntropy, loss_of
from gcseg.metrics.counts import Analysis, Counts, merged
from gcseg.metrics.scores import Scores, scores
from gcseg.models import Segmentor

Optimizer = Callable[[Segmentor], tuple[torch.optim.Optimizer, LRScheduler]]

PLAIN = {"none": Augmentation()}
"""Mode in which training validates: each image once, without augmentation."""


class Tally(NamedTuple):
    """Pixels counted in an evaluation.

    Args:
        ignored: Number of ignored pixels in the labels.
        outside: Number of class indices that no class has, in the labels and in each mode's
            predictions.
        not_finite: Number of pixels whose scores are NaN or infinite, for each mode.
    """

    ignored: int
    outside: int
    not_finite: int


class SegmentationModule(L.LightningModule):
    """Trains a model with a loss and scores it over a split.

    Args:
        model: The network; to be trained, a `Segmentor`.
        class_names: Names of the classes that it predicts.
        optimizer: Makes the optimizer and its scheduler for the network; None to evaluate.
        loss: Loss of each head, which maps logits N x C x H x W and labels N x H x W to a scalar;
            cross entropy if None.
        auxiliary_weight: Weight of the auxiliary head's loss.
        protocol: Evaluation protocol; `Protocol()` if None.
        monitor: Score that the validations of a training log in any case; `Monitor()` if None. The
            validation loss is computed only if it is that.
        channels_last: Whether convolutions run in channels-last memory format.
    """

    def __init__(
        self,
        model: nn.Module,
        class_names: Sequence[str],
        *,
        optimizer: Optimizer | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        auxiliary_weight: float = 0.4,
        protocol: Protocol | None = None,
        monitor: Monitor | None = None,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = model.to(memory_format=memory_format)  # type: ignore[call-overload]
        self.memory_format = memory_format
        self.class_names = tuple(class_names)
        self.optimizer = optimizer
        self.loss = loss or CrossEntropy()
        self.auxiliary_weight = auxiliary_weight
        self._tally: Tensor
        self.register_buffer("_tally", torch.zeros(3, dtype=torch.int64), persistent=False)
        self.protocol = protocol or Protocol()
        self.monitor = monitor or Monitor()
        self.scores: dict[str, Scores] = {}
        self.memory: list[str] = []
        self.ignored = 0
        self.matrices: dict[str, Tensor] = {}
        self.counts: dict[str, Counts] = {}
        self._passes: list[Tensor] = []
        self._losses: list[Tensor] = []
        self.set_modes(PLAIN)

    def set_modes(self, modes: Mapping[str, Augmentation], *, analyse: bool = False) -> None:
        """Choose the modes of test-time augmentation that the next evaluation scores.

        Args:
            modes: Augmentations by name.
            analyse: Whether to keep counts per image, boundaries and confidences, too.
        """
        self.modes = dict(modes)
        self.matrices = {}
        self.counts = {}
        self.analyses = {n: Analysis(len(self.class_names)) for n in modes} if analyse else {}
        self.ladder = MemoryLadder()
        self.confusion = MetricCollection(
            {
                name: MulticlassConfusionMatrix(
                    len(self.class_names), ignore_index=IGNORE_INDEX, validate_args=False
                )
                for name in modes
            },
            compute_groups=False,  # each mode has its own matrix
        ).to(self.device)

    def forward(self, images: Tensor) -> Tensor:
        """Logits N x C x H x W of images N x 3 x H x W."""
        logits: Tensor = self.model(images)
        return logits

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of a batch: the main head's and its branches', plus, weighted, the auxiliary head's.

        Each is of logits upsampled to the size of the labels, as in PaddleSeg and mmsegmentation.
        Where several processes share a batch, see `gcseg.losses`.
        """
        images = batch["image"].contiguous(memory_format=self.memory_format)
        labels = batch["label"].long()
        logits, auxiliary_logits, *branches = self.model(images, auxiliary=True, coarse=True)
        loss = self._loss_of(logits, labels)
        logged = {"train/loss_main": loss}
        if branches:
            of_branches = torch.stack([self._loss_of(branch, labels) for branch in branches]).sum()
            loss = loss + of_branches
            logged["train/loss_branches"] = of_branches
        if auxiliary_logits is not None:
            auxiliary_loss = self._loss_of(auxiliary_logits, labels)
            loss = loss + self.auxiliary_weight * auxiliary_loss
            logged["train/loss_auxiliary"] = auxiliary_loss
        self._log_losses({"train/loss": loss, **logged}, batch_idx, len(images))
        return loss

    def _loss_of(self, logits: Tensor, labels: Tensor) -> Tensor:
        align_corners = bool(getattr(self.model, "align_corners", False))
        return loss_of(self.loss, logits, labels, align_corners=align_corners)

    def _log_losses(self, losses: dict[str, Tensor], batch_idx: int, images: int) -> None:
        """Log the losses of a step at its last pass: the mean over its passes and processes."""
        passes = self.trainer.accumulate_grad_batches
        if batch_idx % passes == 0:
            self._passes.clear()
        self._passes.append(torch.stack(list(losses.values())).detach())
        if (batch_idx + 1) % passes:
            return
        means = self.trainer.strategy.reduce(torch.stack(self._passes).mean(0))
        self.log_dict(
            {**dict(zip(losses, means, strict=True)), **self._learning_rates()}, batch_size=images
        )

    def _learning_rates(self) -> dict[str, float]:
        """Return the learning rate of the heads, and of parts of the backbone with another one."""
        first, *others = self.trainer.optimizers[0].param_groups
        rates = {f"train/learning_rate/{group.get('name')}": group["lr"] for group in others}
        return {"train/learning_rate": first["lr"], **rates}

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Count one image's pixels under every mode.

        Returns:
            Class indices by mode, 1 x H x W, at the image's own size.
        """
        label = batch["label"].long()
        height, width = label.shape[-2:]
        if self.trainer.state.fn == "fit" and self.monitor.is_loss:
            confidences: dict[str, Tensor] | None = None
            found = self._predict_with_loss(batch, label)
        else:
            confidences = {} if self.analyses else None
            found = self._predict(batch, height, width, confidences)
        # Looking for errors before the last image would mean waiting for the device.
        predictions = {name: labels.clamp(min=0) for name, labels in found.items()}
        ignored = label == IGNORE_INDEX
        self._tally[0] += ignored.sum()
        self._tally[1] += self._outside(label.masked_fill(ignored, 0))
        for name, predicted in predictions.items():
            self._tally[1] += self._outside(predicted)
            self._tally[2] += (found[name] < 0).sum()
            self.confusion[name].update(predicted, label)
            if confidences is not None:
                self.analyses[name].update(
                    int(batch["index"]), predicted[0], label[0], confidences[name][0]
                )
        return predictions

    def _predict_with_loss(self, batch: dict[str, Any], label: Tensor) -> dict[str, Tensor]:
        """Predict an image, and add up the cross entropy of its labelled pixels.

        Args:
            batch: The image.
            label: Class indices 1 x H x W, int64.

        Returns:
            Class indices by mode, 1 x H x W.
        """
        counted = (label >= 0) & (label < len(self.class_names))
        probabilities: dict[str, Tensor] = {}
        found = self._predict(
            batch, label.shape[-2], label.shape[-1], probabilities, label.where(counted, 0)
        )
        # A probability that float32 rounds to 0 counts as its smallest number.
        smallest = torch.finfo(torch.float32).tiny
        losses = -probabilities["none"].clamp(min=smallest).log()
        self._losses.append(torch.stack([losses.where(counted, 0).sum(), counted.sum()]))
        return found

    def _validation_loss(self) -> float:
        """Mean cross entropy of the labelled pixels of all processes; NaN without any."""
        own = torch.stack(self._losses).cpu().double().sum(0)
        self._losses.clear()
        if self.trainer.world_size > 1:
            own = self.trainer.strategy.reduce(own.to(self.device), reduce_op="sum")
        total, count = own.tolist()
        return total / count if count else math.nan

    def _outside(self, indices: Tensor) -> Tensor:
        """Count the class indices that no class has, without waiting for the device."""
        return ((indices < 0) | (indices >= len(self.class_names))).sum()

    def tally(self) -> Tally:
        """Counts of the evaluation so far, over all processes."""
        return Tally(*self.trainer.strategy.reduce(self._tally.clone(), reduce_op="sum").tolist())

    def _end_tally(self) -> int:
        """Check that all scores of an evaluation are finite and all indices are those of classes.

        Returns:
            Number of ignored pixels.

        Raises:
            WeightsError: Some scores are NaN or infinite, and would be counted as a class.
            ConfigError: Some indices are of no class, and would be counted as other classes.
        """
        met = self.tally()
        self._tally.zero_()
        if met.not_finite:
            raise WeightsError(
                f"the network gives NaN or infinity on {met.not_finite:,} pixels",
                "use a checkpoint from before it diverged, or precision=32; in training, lower "
                "optim.lr",
            )
        if met.outside:
            raise ConfigError(
                f"{met.outside:,} class indices of labels or predictions are outside 0 to "
                f"{len(self.class_names) - 1}",
                "give the network one output channel per class",
            )
        return met.ignored

    def _predict(
        self,
        batch: dict[str, Any],
        height: int,
        width: int,
        confidences: dict[str, Tensor] | None = None,
        classes: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Class indices N x height x width of a batch by mode, its padding cut off.

        Their probabilities, or those of `classes`, are put into `confidences`, if it is given.
        """
        return self.ladder.labels(
            self.model,
            batch["image"].contiguous(memory_format=self.memory_format),
            self.modes,
            self.protocol,
            height=height,
            width=width,
            confidences=confidences,
            classes=classes,
        )

    def on_validation_epoch_start(self) -> None:
        """Forget the losses of an interrupted validation."""
        self._losses.clear()

    def on_validation_epoch_end(self) -> None:
        """Turn the confusion matrices, summed over processes, into scores; report on memory.

        Raises:
            WeightsError: Scores are NaN or infinite.
            ConfigError: A label or a prediction is of no class.
        """
        self.ignored = self._end_tally()
        count = len(self.class_names)
        matrices = self.confusion.compute()  # which sorts the names
        for name in self.modes:
            matrix = matrices[name]
            self.matrices[name] = matrix.cpu().reshape(count, count)  # flat if there is one class
            self.scores[name] = scores(self.matrices[name], self.class_names)
        self.confusion.reset()
        if self.trainer.state.fn == "fit":  # scores of an evaluation are not part of the curves
            plain = self.scores["none"]
            ious = {f"val/iou/{name}": iou for name, iou in plain.class_iou.items()}
            self.log_dict(
                {
                    "val/miou": _or_nan(plain.miou),
                    "val/mean_f1": _or_nan(plain.mean_f1),
                    "val/pixel_accuracy": _or_nan(plain.pixel_accuracy),
                    **{name: iou for name, iou in ious.items() if iou is not None},
                    self.monitor.key: self._monitored(plain),
                }
            )
        else:
            for name, analysis in self.analyses.items():
                self.counts[name] = merged(self._of_all_processes(analysis.counts))
            images = torch.tensor(self.ladder.images, device=self.device)
            self.memory = report(self.trainer.strategy.reduce(images, reduce_op="sum").tolist())

    def _monitored(self, plain: Scores) -> float:
        """Value of the monitored score; NaN if it is not defined."""
        if self.monitor.is_loss:
            return self._validation_loss()
        return _or_nan(plain.by_name()[self.monitor.name])

    def _of_all_processes(self, own: Counts) -> list[Counts]:
        if self.trainer.world_size == 1:
            return [own]
        gathered: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(gathered, own)
        return gathered

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Create the optimizer and a schedule that advances once per optimizer step."""
        if self.optimizer is None:
            raise RuntimeError("this module was made for evaluation; it has no optimizer")
        optimizer, scheduler = self.optimizer(self.model)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def _or_nan(score: float | None) -> float:
    """Score by which a checkpoint is chosen; NaN, below all others, where it is undefined."""
    return math.nan if score is None else score
