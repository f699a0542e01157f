"""Reading, writing and printing results.json of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from gcseg.errors import OutputError
from gcseg.inference.protocol import Augmentation, Protocol
from gcseg.metrics.scores import Scores
from gcseg.runs.shapes import Each, Entries, checked
from gcseg.system.files import locked, write_json
from gcseg.system.records import RecordError, read_json
from gcseg.system.terminal import TextConsole
from gcseg.system.text import percent

SCORED = ("checkpoint", "images", "miou", "pixel_accuracy", "class_iou")
"""Entries that are equal in two records of the same predictions."""

ANALYSED = ("boundary_miou", "ece", "analysis")
"""Entries that an analysis adds to a record."""


def read_results(path: Path) -> dict[str, Any]:
    """Read results.json in order to extend it; empty if there is none.

    Raises:
        OutputError: The file exists but holds no results; it is not changed.
    """
    try:
        content: dict[str, Any] = read_json(path, within=path.parent)
        checked(content, Entries({"evaluations": Each(Entries({}))}))
    except FileNotFoundError:
        return {}
    except RecordError as error:
        raise OutputError(
            f"{path} is damaged ({error})", "move it away, and run this again"
        ) from None
    return content


def merge_results(path: Path, update: Mapping[str, Any]) -> None:
    """Write new entries into results.json, and keep earlier evaluations of other names.

    The analysis of an evaluation is kept too when it is repeated without one, with the same scores.

    Raises:
        OutputError: The file can't be written.
    """
    with locked(path):
        results = read_results(path)
        before = results.get("evaluations", {})
        new = update.get("evaluations", {})
        kept = {
            name: {**_analysed(before.get(name), record), **record} for name, record in new.items()
        }
        evaluations = {**before, **kept}
        write_json(path, {**results, **update, "evaluations": evaluations})


def _analysed(before: object, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the analysis entries of an earlier record of the same scores; empty if none."""
    if not isinstance(before, Mapping) or "analysis" in record:
        return {}
    same = all(before.get(key) == record.get(key) for key in SCORED)
    return {key: before[key] for key in ANALYSED if key in before} if same else {}


def evaluation_record(
    scores: Scores,
    augmentation: Augmentation,
    protocol: Protocol,
    *,
    split: str,
    images: int,
    pictures: str,
    seconds: float,
    memory: Sequence[str],
    checkpoint: Path,
) -> dict[str, Any]:
    """Return the record of an evaluation for results.json; scores are fractions in 0..1.

    `pictures` is the digest of the pictures, see `gcseg.runs.name.pictures_digest`. `memory` lists
    what was changed where memory ran out, see `gcseg.inference.memory_ladder`.
    """
    return {
        "split": split,
        "checkpoint": checkpoint.name,
        "scales": list(augmentation.scales),
        "flip": augmentation.flip,
        "average": protocol.average,
        "window": None if protocol.window is None else asdict(protocol.window),
        "fit": None if protocol.resize is None else asdict(protocol.resize),
        **asdict(scores),
        "images": images,
        "pictures": pictures,
        "seconds": round(seconds, 3),
        "memory": list(memory),
    }


MEANS = {
    "mIoU": "miou",
    "mean F1": "mean_f1",
    "mean precision": "mean_precision",
    "mean recall": "mean_recall",
    "pixel accuracy": "pixel_accuracy",
}
"""Entries of a record that are single scores of all classes, by title."""


def print_table(evaluations: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Print scores in percent, a row for each class.

    One mode of test-time augmentation has its IoU, F1, precision and recall; of several the IoUs
    stand next to each other, and the other scores are means. Lines below the table list what was
    changed where memory ran out.
    """
    table = Table(title=title, title_justify="left")
    records = list(evaluations.values())
    if len(records) == 1:
        ((mode, record),) = evaluations.items()
        _add_all_scores(table, mode, record)
    else:
        _add_ious(table, evaluations)
    console = TextConsole()
    console.print(table)
    for done in dict.fromkeys(done for record in records for done in record["memory"]):
        console.print(f"memory ran out: {done}")


def _add_all_scores(table: Table, mode: str, record: Mapping[str, Any]) -> None:
    table.add_column(f"{mode}, %")
    for score in ("IoU", "F1", "precision", "recall"):
        table.add_column(score, justify="right")
    parts = [record[key] for key in ("class_iou", "class_f1", "class_precision", "class_recall")]
    for name in record["class_iou"]:
        table.add_row(name, *(percent(part[name], "-") for part in parts))
    table.add_section()
    means = [record[key] for key in ("miou", "mean_f1", "mean_precision", "mean_recall")]
    table.add_row("mean (mIoU)", *(percent(mean, "not defined") for mean in means), style="bold")
    table.add_row("pixel accuracy", percent(record["pixel_accuracy"], "not defined"))


def _add_ious(table: Table, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
    table.add_column("IoU, %")
    for mode in evaluations:
        table.add_column(mode, justify="right")
    records = list(evaluations.values())
    for name in records[0]["class_iou"]:
        table.add_row(name, *(percent(record["class_iou"][name], "-") for record in records))
    table.add_section()
    for title, key in MEANS.items():
        cells = [percent(record[key], "not defined") for record in records]
        table.add_row(title, *cells, style="bold" if key == "miou" else None)
