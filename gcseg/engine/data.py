"""The LightningDataModule: endless training batches and an evaluation split."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as L
import torch
from torch.utils.data import DataLoader

from gcseg.data.augment import TrainingPipeline
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.rare import RareClasses
from gcseg.data.samples import (
    EvaluationSamples,
    TrainingSamples,
    collate,
    one_thread,
)
from gcseg.data.sampling import StepSampler
from gcseg.errors import ConfigError
from gcseg.system.signals import leave_signals_to_parent
from gcseg.system.text import counted

if TYPE_CHECKING:
    import albumentations as A

Loader = DataLoader[dict[str, Any]]

SHARED_MEMORY = Path("/dev/shm")
"""Folder where Linux keeps the batches that loader processes hand over."""


class SegmentationData(L.LightningDataModule):
    """Serves a dataset to any number of processes.

    Args:
        evaluation: Split to score.
        evaluation_pipeline: Preprocessing of that split.
        train: Split to train on; None to evaluate only.
        train_pipeline: Augmentation of that split.
        batch_size: Images per process and forward pass in training.
        seed: Seed of order and augmentation.
        repeats: Number of times an epoch draws each image of the training split; 1 if None.
        rare: Sampler of rare classes for training; None for none.
        num_workers: Loader processes per training process.
        prefetch: Batches that each loader process prepares ahead.
        validated: Indices of the images of the evaluation split that training validates; None for
            all. Other evaluations take all.
    """

    def __init__(
        self,
        evaluation: SegmentationDataset,
        evaluation_pipeline: A.Compose,
        *,
        train: SegmentationDataset | None = None,
        train_pipeline: TrainingPipeline | None = None,
        batch_size: int = 1,
        seed: int = 0,
        repeats: npt.NDArray[np.float64] | None = None,
        rare: RareClasses | None = None,
        num_workers: int = 0,
        prefetch: int = 2,
        validated: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.evaluation = evaluation
        self.evaluation_pipeline = evaluation_pipeline
        self.train = train
        self.train_pipeline = train_pipeline
        self.batch_size = batch_size
        self.seed = seed
        self.repeats = repeats
        self.rare = rare
        self.num_workers = num_workers
        self.prefetch = prefetch
        self.validated = validated

    def train_dataloader(self) -> Loader:
        """Endless batches from the trainer's current step on.

        Raises:
            ConfigError: Shared memory is too small for the batches of the loader processes.
        """
        if self.train is None or self.train_pipeline is None or self.trainer is None:
            raise RuntimeError("this data module was made for evaluation")
        sampler = StepSampler(
            len(self.train),
            self.batch_size,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            start=self.trainer.global_step * self.trainer.accumulate_grad_batches,
            repeats=self.repeats,
        )
        samples = TrainingSamples(self.train, self.train_pipeline, self.seed, self.rare)
        if self.num_workers and SHARED_MEMORY.is_dir():
            sample = samples[sampler.key(0)]
            size = sum(value.nbytes for value in sample.values() if isinstance(value, torch.Tensor))
            free = shutil.disk_usage(SHARED_MEMORY).free
            workers = self.num_workers * self.trainer.num_devices  # on this machine
            check_shared_memory(self.batch_size * size, workers, self.prefetch, free)
        return DataLoader(
            samples, batch_sampler=sampler, collate_fn=collate, **self._loader_options()
        )

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Run the part of the training augmentation that is left to the device."""
        if "augmentation" not in batch or self.train_pipeline is None:
            return batch
        return self.train_pipeline.device(batch) if self.train_pipeline.device else batch

    def val_dataloader(self) -> Loader:
        """Each image of the evaluation split once over all processes, at its own size.

        In a training, only those that it validates.
        """
        training = self.trainer is not None and self.trainer.state.fn == "fit"
        samples = self._evaluation_samples(self.validated if training else None)
        return DataLoader(samples, batch_size=1, shuffle=False, **self._loader_options())

    def _evaluation_samples(self, only: Sequence[int] | None = None) -> EvaluationSamples:
        rank, world_size = (
            (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        )
        number = len(self.evaluation if only is None else only)
        if number < world_size:  # one without images would not join in adding up
            raise ConfigError(
                f"{self.evaluation.description} has {counted(number, 'image')} "
                f"{'to validate ' if only is not None else ''}for {world_size} processes",
                "use fewer devices" + (", or raise limit_val" if only is not None else ""),
            )
        return EvaluationSamples(self.evaluation, self.evaluation_pipeline, rank, world_size, only)

    def _loader_options(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": self.num_workers > 0,
            "prefetch_factor": self.prefetch if self.num_workers else None,
            "worker_init_fn": begin_loading,
            # A separate generator: otherwise every pass draws from the global one, and how often
            # validation ran would change the training.
            "generator": torch.Generator().manual_seed(self.seed),
        }


def begin_loading(worker: int) -> None:
    """Set up a loader process."""
    one_thread(worker)
    leave_signals_to_parent()


def check_shared_memory(batch_bytes: int, num_workers: int, prefetch: int, free: int) -> None:
    """Check that the batches which loader processes prepare ahead have room.

    A loader process that runs out of shared memory is killed by the system without a message.

    Args:
        batch_bytes: Bytes of one batch.
        num_workers: Loader processes of all devices of this machine.
        prefetch: Batches that each prepares ahead.
        free: Bytes of shared memory that are free.

    Raises:
        ConfigError: There is too little.
    """
    needed = batch_bytes * num_workers * prefetch
    if needed > free:
        raise ConfigError(
            f"{num_workers} loader processes with prefetch={prefetch} need "
            f"{needed / 2**20:.0f} MiB of shared memory, and {SHARED_MEMORY} has "
            f"{free / 2**20:.0f} MiB free",
            "start the container with a larger --shm-size, or lower num_workers or prefetch",
        )
