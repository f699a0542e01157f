"""The analysis of a run's evaluations, as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from gcseg.data.label_spaces import CITYSCAPES
from gcseg.metrics.boundary import DILATION_RATIO
from gcseg.metrics.calibration import bins, expected_calibration_error
from gcseg.metrics.conventions import cityscapes_categories, conventions
from gcseg.metrics.counts import Counts
from gcseg.metrics.scores import area_scores
from gcseg.runs.confusion import safe_name
from gcseg.runs.folder import ANALYSIS_FOLDER
from gcseg.system.files import atomic_write, locked, write_json


def analysis(
    mode: str, counts: Counts, matrix: Tensor, class_names: Sequence[str]
) -> dict[str, Any]:
    """Return an evaluation's analysis as its file holds it; scores are fractions in 0..1.

    Args:
        mode: Mode of test-time augmentation.
        counts: Counts of the whole split.
        matrix: Confusion matrix, C x C integers; rows are true classes, columns predicted ones.
        class_names: Names of the C classes.
    """
    boundary = area_scores(counts.boundaries.sum(0), class_names)
    cityscapes = tuple(class_names) == CITYSCAPES.names
    return {
        "classes": list(class_names),
        "mode": mode,
        "conventions": conventions(counts.areas, class_names),
        "categories": cityscapes_categories(matrix) if cityscapes else {},
        "boundary": {
            "miou": boundary.miou,
            "class_iou": boundary.class_iou,
            "dilation_ratio": DILATION_RATIO,
        },
        "calibration": {
            "ece": expected_calibration_error(counts.calibration),
            "bins": bins(counts.calibration),
        },
    }


def keep_analyses(
    results: Path,
    evaluations: Mapping[str, Mapping[str, Any]],
    analyses: Mapping[str, Mapping[str, Any]],
    counts: Mapping[str, Counts],
    image_names: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """Write each evaluation's analysis and image scores to files, and name them in its record.

    Args:
        results: The results.json that the records are for.
        evaluations: Records by name.
        analyses: Analyses by mode, in the order of the records.
        counts: Counts by mode, in the order of the records.
        image_names: Names of the split's images, in its order.

    Returns:
        The records, each with `analysis`: the file's path relative to the folder of results.json.

    Raises:
        OutputError: A file can't be written.
    """
    records = {}
    with locked(results):  # also held by the process that removes half-written files
        for (name, record), content, of in zip(
            evaluations.items(), analyses.values(), counts.values(), strict=True
        ):
            stem = f"{ANALYSIS_FOLDER}/{safe_name(name)}"
            with atomic_write(results.parent / f"{stem}.csv") as file:
                file.write(_table(of, content["classes"], image_names).encode(errors="replace"))
            write_json(results.parent / f"{stem}.json", {**content, "images": f"{stem}.csv"})
            records[name] = {**record, "analysis": f"{stem}.json"}
    return records


def _table(counts: Counts, class_names: Sequence[str], image_names: Sequence[str]) -> str:
    """Return the table of images: a row each, a cell empty where there is nothing to score."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    classes = [f"iou/{name}" for name in class_names]
    writer.writerow(
        ["index", "name", "miou", "pixel_accuracy", "boundary_miou", "labelled_pixels", *classes]
    )
    for index, areas, boundaries in zip(
        counts.indices.tolist(), counts.areas, counts.boundaries, strict=True
    ):
        pixels = int(areas[2].sum())
        scores = area_scores(areas, class_names)
        boundary = area_scores(boundaries, class_names)
        found: list[object] = [scores.miou, scores.pixel_accuracy, boundary.miou]
        if not pixels:
            found = ["", "", ""]
        ious = ["" if iou is None else iou for iou in scores.class_iou.values()]
        writer.writerow([index, image_names[index], *found, pixels, *ious])
    return text.getvalue()
