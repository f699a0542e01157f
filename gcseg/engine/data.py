"""The LightningDataModule: endless training batches and an evaluation split."""

from __future__ import annotations

from typing import Any

import albumentations as A
import cv2
import pytorch_lightning as L
import torch
from torch.utils.data import DataLoader

from gcseg.data.datasets import SegmentationDataset
from gcseg.data.sampling import EvaluationSamples, StepSampler, TrainingSamples

Loader = DataLoader[dict[str, Any]]


class SegmentationData(L.LightningDataModule):
    """Serves a dataset to any number of processes.

    Args:
        evaluation: The split that is scored.
        evaluation_pipeline: Its preprocessing.
        train: The split that is trained on; None to evaluate only.
        train_pipeline: Its augmentation.
        batch_size: Images per process and forward pass in training.
        seed: Of order and augmentation.
        num_workers: Loader processes per training process.
    """

    def __init__(
        self,
        evaluation: SegmentationDataset,
        evaluation_pipeline: A.Compose,
        *,
        train: SegmentationDataset | None = None,
        train_pipeline: A.Compose | None = None,
        batch_size: int = 1,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.evaluation = evaluation
        self.evaluation_pipeline = evaluation_pipeline
        self.train = train
        self.train_pipeline = train_pipeline
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers

    def train_dataloader(self) -> Loader:
        """Batches from the trainer's current step on, without an end."""
        if self.train is None or self.train_pipeline is None or self.trainer is None:
            raise RuntimeError("this data module was made for evaluation")
        sampler = StepSampler(
            len(self.train),
            self.batch_size,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            start=self.trainer.global_step * self.trainer.accumulate_grad_batches,
        )
        samples = TrainingSamples(self.train, self.train_pipeline, self.seed)
        return DataLoader(samples, batch_sampler=sampler, **self._loader_options())

    def val_dataloader(self) -> Loader:
        """Each image of the evaluation split once over all processes, at its own size."""
        return self._evaluation_loader()

    def predict_dataloader(self) -> Loader:
        """The same images, whether or not they have labels."""
        return self._evaluation_loader()

    def _evaluation_loader(self) -> Loader:
        rank, world_size = (
            (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        )
        samples = EvaluationSamples(self.evaluation, self.evaluation_pipeline, rank, world_size)
        return DataLoader(samples, batch_size=1, shuffle=False, **self._loader_options())

    def _loader_options(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": self.num_workers > 0,
            "worker_init_fn": _one_thread,
            # A generator of its own: otherwise every pass draws from the global one, and how
            # often validation ran would change the training.
            "generator": torch.Generator().manual_seed(self.seed),
        }


def _one_thread(_worker: int) -> None:
    """Keep a worker to one core: the loader's parallelism is its number of workers."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
