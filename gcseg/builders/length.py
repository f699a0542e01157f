"""The length of a training that is given in epochs, and the two steps of a quick try.

Both are turned into the settings of any other training before anything reads these, so that names,
sweeps and interruptions know steps alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from gcseg.errors import ConfigError
from gcseg.system.launch import hide_ddp_warnings

if TYPE_CHECKING:
    from gcseg.data.datasets import SegmentationDataset

QUICK_STEPS = 2
QUICK_IMAGES = 2
QUICK_FOLDER = "quick"
"""Folder in `run_root` with the run folders of quick tries."""


def in_steps(cfg: DictConfig, given: Iterable[str]) -> bool:
    """Replace `epochs` by `iters`, and the length of a quick try by two steps.

    Args:
        cfg: Checked settings of a training; changed in place.
        given: Overrides of the command line.

    Returns:
        Whether anything was changed.

    Raises:
        ConfigError: Both `epochs` and `iters` are given.
        DataError: The training split can't be read.
    """
    changed = cfg.epochs is not None
    choose_length(cfg, given)
    if cfg.epochs is not None:
        cfg.iters = _steps(cfg)
        cfg.epochs = None
    if cfg.quick and cfg.iters > QUICK_STEPS:
        cfg.iters = QUICK_STEPS
        if isinstance(OmegaConf.select(cfg, "optim.warmup_iters"), int):
            cfg.optim.warmup_iters = min(cfg.optim.warmup_iters, QUICK_STEPS)
        changed = True
    return changed


def choose_length(cfg: DictConfig, given: Iterable[str]) -> None:
    """Remove `epochs` of a file where an override gives `iters`.

    Args:
        cfg: Settings of a training, composed with the overrides; changed in place.
        given: The overrides.

    Raises:
        ConfigError: The overrides give both `epochs` and `iters`.
    """
    named = {one.lstrip("+").partition("=")[0] for one in given}
    if cfg.epochs is None or "iters" not in named:
        return
    if "epochs" in named:
        raise ConfigError(
            f"epochs={cfg.epochs} and iters={cfg.iters}", "give one of the two lengths"
        )
    cfg.epochs = None


def _steps(cfg: DictConfig) -> int:
    """Return the steps in which the images of `cfg.epochs` are drawn."""
    hide_ddp_warnings(cfg.devices, cfg.num_nodes)
    from gcseg.builders import data as build_data

    images = len(build_data.dataset(cfg, cfg.dataset.splits.train).with_labels())
    drawn = Fraction(str(cfg.epochs)) * images  # exact: 0.7 x 10 images are 7
    return max(math.ceil(drawn / int(cfg.batch_size)), 1)


def run_root(cfg: DictConfig) -> Path:
    """Folder of the run folders; a quick try has another one, which no other training looks in."""
    root = Path(cfg.run_root)
    return root / QUICK_FOLDER if cfg.quick else root


def part_of(cfg: DictConfig, split: SegmentationDataset, processes: int) -> SegmentationDataset:
    """Return the split, or in a quick try its first images.

    Args:
        cfg: Settings of a training.
        split: The split.
        processes: Number of processes, each of which needs an image.
    """
    return split.first(max(QUICK_IMAGES, processes)) if cfg.quick else split
