"""Score a network over a split under modes of test-time augmentation, and keep the scores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as L

from gcseg.engine.data import SegmentationData
from gcseg.engine.module import SegmentationModule
from gcseg.inference.protocol import Augmentation
from gcseg.runs.analysis import analysis, keep_analyses
from gcseg.runs.confusion import keep_confusion
from gcseg.runs.evaluation_names import apart
from gcseg.runs.name import pictures_digest
from gcseg.runs.results import evaluation_record, merge_results, read_results
from gcseg.system.text import say


def evaluate(
    trainer: L.Trainer,
    module: SegmentationModule,
    data: SegmentationData,
    modes: Mapping[str, Augmentation],
    *,
    split: str,
    checkpoint: Path,
    analyse: bool = False,
) -> dict[str, dict[str, Any]]:
    """Score the module's weights; every process gets the scores of the whole split.

    Args:
        trainer: Trainer that runs the evaluation.
        module: Module with the weights.
        data: Data module of the split.
        modes: Augmentations by name of the mode.
        split: Name of the split, for the record.
        checkpoint: Source of the weights, for the record.
        analyse: Whether to keep counts per image, boundaries and confidences in the module, too.

    Returns:
        Records for results.json by mode. Modes that share predictions are timed together.

    Raises:
        DataError: An image or label is wrong.
    """
    module.set_modes(modes, analyse=analyse)
    start = time.monotonic()
    trainer.validate(module, data, verbose=False)
    seconds = time.monotonic() - start
    return {
        name: evaluation_record(
            module.scores[name],
            mode,
            module.protocol,
            split=split,
            **pictures_record(data),
            seconds=seconds,
            memory=module.memory,
            checkpoint=checkpoint,
        )
        for name, mode in modes.items()
    }


def pictures_record(data: SegmentationData) -> dict[str, Any]:
    """Identify the scored pictures as results.json does.

    Args:
        data: Data module of the pictures.
    """
    names = [pair.name for pair in data.evaluation.pairs]
    return {"images": len(names), "pictures": pictures_digest(names)}


def save_evaluations(
    results: Path,
    evaluations: Mapping[str, Mapping[str, Any]],
    module: SegmentationModule,
    data: SegmentationData,
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Save the results of `evaluate`: confusion matrices, analyses if made, and records.

    Scores of other pictures than those of an existing record get another name, with a message.

    Args:
        results: Path of results.json.
        evaluations: Records by their names in that file, in the order of the modes.
        module: The evaluated module.
        data: Data module of the split.

    Returns:
        The records by the names that they are saved under, and the analyses by the same names.

    Raises:
        OutputError: A file can't be written.
    """
    names = apart(evaluations, read_results(results))
    if moved := {name: other for name, other in names.items() if other != name}:
        say(
            f"the pictures scored ({len(data.evaluation)}) are not those of {', '.join(moved)} in "
            f"{results}: kept as {', '.join(moved.values())}"
        )
    evaluations = {names[name]: record for name, record in evaluations.items()}
    records = keep_confusion(results, evaluations, module.matrices, module.class_names)
    analyses = {
        name: analysis(mode, module.counts[mode], module.matrices[mode], module.class_names)
        for name, mode in zip(records, module.counts, strict=False)
    }
    if analyses:
        for name, found in analyses.items():
            records[name] |= {
                "boundary_miou": found["boundary"]["miou"],
                "ece": found["calibration"]["ece"],
            }
        pictures = [pair.name for pair in data.evaluation.pairs]
        records = keep_analyses(results, records, analyses, module.counts, pictures)
    merge_results(results, {"evaluations": records})
    return records, analyses
