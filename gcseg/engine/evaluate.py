"""Score a network over a split under modes of test-time augmentation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as L

from gcseg.engine.data import SegmentationData
from gcseg.engine.module import SegmentationModule
from gcseg.engine.results import evaluation_record
from gcseg.inference import Augmentation


def evaluate(
    trainer: L.Trainer,
    module: SegmentationModule,
    data: SegmentationData,
    modes: Mapping[str, Augmentation],
    *,
    split: str,
    checkpoint: Path,
) -> dict[str, dict[str, Any]]:
    """Score the module's weights; every process gets the scores of the whole split.

    Args:
        trainer: Runs the evaluation.
        module: Holds the weights.
        data: Serves the split.
        modes: Of test-time augmentation, by name.
        split: The split's name, for the record.
        checkpoint: Where the weights come from, for the record.

    Returns:
        A record for results.json by mode. Modes that share predictions are timed together.

    Raises:
        DataError: An image or label is wrong.
    """
    module.set_modes(modes)
    start = time.monotonic()
    trainer.validate(module, data, verbose=False)
    seconds = time.monotonic() - start
    return {
        name: evaluation_record(
            module.scores[name],
            mode,
            average=module.average,
            window=module.window,
            fit=module.fit,
            split=split,
            images=len(data.evaluation),
            seconds=seconds,
            memory=module.memory,
            checkpoint=checkpoint,
        )
        for name, mode in modes.items()
    }
