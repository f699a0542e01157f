"""results.json of a run, and its table."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gcseg.errors import OutputError
from gcseg.files import output_error, write_json
from gcseg.inference import Augmentation, Average, SlidingWindow
from gcseg.metrics import Scores


def read_results(path: Path) -> dict[str, Any]:
    """Read results.json; empty where there is none.

    Raises:
        OutputError: The file is there but is no JSON object; it is left as it is.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        content = error
    if not isinstance(content, dict):
        raise OutputError(f"{path} is damaged ({content})", "move it away, and run this again")
    return content


def merge_results(path: Path, update: Mapping[str, Any]) -> None:
    """Write results.json with some entries new; earlier evaluations of other names are kept.

    Raises:
        OutputError: The file can't be written.
    """
    with _alone(path):
        results = read_results(path)
        evaluations = {**results.get("evaluations", {}), **update.get("evaluations", {})}
        write_json(path, {**results, **update, "evaluations": evaluations})


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from changing a file between reading and writing it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)  # locked itself, so that no lock file remains
    except OSError as error:
        raise output_error(path, error) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def evaluation_record(
    scores: Scores,
    augmentation: Augmentation,
    *,
    average: Average,
    window: SlidingWindow | None,
    split: str,
    images: int,
    seconds: float,
    checkpoint: Path,
) -> dict[str, Any]:
    """One evaluation as results.json holds it; scores are fractions in 0..1."""
    return {
        "split": split,
        "checkpoint": checkpoint.name,
        "scales": list(augmentation.scales),
        "flip": augmentation.flip,
        "average": average,
        "window": None if window is None else asdict(window),
        "miou": scores.miou,
        "pixel_accuracy": scores.pixel_accuracy,
        "class_iou": scores.class_iou,
        "images": images,
        "seconds": round(seconds, 3),
    }


def named(
    records: Mapping[str, dict[str, Any]], differences: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Give evaluations the names that they have in results.json.

    The mode alone for what every training ends in: best checkpoint, validation split, whole
    images, the usual scales, logits averaged. Anything else is added to the name, so that no
    evaluation takes another's place.

    Args:
        records: By mode.
        differences: What else differs from the training's own evaluation.
    """
    return {
        "@".join([mode, *_unusual(mode, record), *differences]): record
        for mode, record in records.items()
    }


def _unusual(mode: str, record: Mapping[str, Any]) -> list[str]:
    parts = []
    if record["checkpoint"] != "best.ckpt":
        parts.append(Path(record["checkpoint"]).stem)
    if record["scales"] != ([0.75, 1.0, 1.25] if mode == "msflip" else [1.0]):
        parts.append(",".join(map(str, record["scales"])))
    if record["average"] != "logits":
        parts.append(record["average"])
    if record["window"] is not None:
        parts.append("slide" + "x".join(str(size) for size in record["window"].values()))
    return parts


def differences(cfg: Mapping[str, Any], trained: Mapping[str, Any], split: str) -> list[str]:
    """What sets an evaluation's settings apart from those of the training's own.

    Args:
        cfg: Plain settings of the evaluation.
        trained: Plain settings of the training.
        split: That is evaluated.
    """
    parts = []
    if split != trained["dataset"]["splits"]["val"]:
        parts.append(split)
    if cfg["dataset"]["name"] != trained["dataset"]["name"]:
        parts.append(cfg["dataset"]["name"])
    if cfg["dataset"]["pad"] != trained["dataset"]["pad"]:
        parts.append("pad{height}x{width}".format(**cfg["dataset"]["pad"]))
    if cfg["normalize"] != trained["normalize"]:
        parts.append("mean{mean}std{std}".format(**cfg["normalize"]).replace(" ", ""))
    if str(cfg["precision"]) != str(trained["precision"]):
        parts.append(str(cfg["precision"]))
    return parts


def print_table(evaluations: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Print IoU in percent: a row per class, a column per mode of test-time augmentation."""
    table = Table(title=title, title_justify="left")
    table.add_column("IoU, %")
    for mode in evaluations:
        table.add_column(mode, justify="right")
    records = list(evaluations.values())
    for name in records[0]["class_iou"]:
        table.add_row(name, *(_percent(record["class_iou"][name]) for record in records))
    table.add_section()
    table.add_row("mIoU", *(_percent(record["miou"]) for record in records), style="bold")
    table.add_row("pixel accuracy", *(_percent(record["pixel_accuracy"]) for record in records))
    Console(soft_wrap=True).print(table)


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f}"
