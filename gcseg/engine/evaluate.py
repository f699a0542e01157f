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
        trainer: Runs the evaluation.
        module: Holds the weights.
        data: Serves the split.
        modes: Of test-time augmentation, by name.
        split: The split's name, for the record.
        checkpoint: Where the weights come from, for the record.
        analyse: Whether the module then has counts of each image, boundaries and confidences.

    Returns:
        A record for results.json by mode. Modes that share predictions are timed together.

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
    """Which pictures are scored, as results.json holds it.

    Args:
        data: Serves them.
    """
    names = [pair.name for pair in data.evaluation.pairs]
    return {"images": len(names), "pictures": pictures_digest(names)}


def save_evaluations(
    results: Path,
    evaluations: Mapping[str, Mapping[str, Any]],
    module: SegmentationModule,
    data: SegmentationData,
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Keep what `evaluate` found: confusion matrices, analyses where made, and records.

    What is of other pictures than the record there gets another name, and that is said.

    Args:
        results: The results.json.
        evaluations: The records by the names that they have there, in the order of the modes.
        module: Was evaluated.
        data: Served the split.

    Returns:
        The records by the names that they are kept under, and the analyses by the same names.

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
