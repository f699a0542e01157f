"""results.json of a run, and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from gcseg.errors import OutputError
from gcseg.inference.predict import Augmentation, Average, Fit, SlidingWindow
from gcseg.metrics.scores import Scores
from gcseg.runs.shapes import Each, Entries, checked
from gcseg.system.files import locked, write_json
from gcseg.system.records import RecordError, read_json
from gcseg.system.terminal import TextConsole

SCORED = ("checkpoint", "images", "miou", "pixel_accuracy", "class_iou")
"""By which two records are known to be of the same predictions."""

ANALYSED = ("boundary_miou", "ece", "analysis")
"""What an analysis adds to a record."""


def read_results(path: Path) -> dict[str, Any]:
    """Read results.json to go on with it, as it is; empty where there is none.

    Raises:
        OutputError: The file is there but holds no results; it is left as it is.
    """
    try:
        content: dict[str, Any] = read_json(path)
        checked(content, Entries({"evaluations": Each(Entries({}))}))
    except FileNotFoundError:
        return {}
    except RecordError as error:
        raise OutputError(
            f"{path} is damaged ({error})", "move it away, and run this again"
        ) from None
    return content


def merge_results(path: Path, update: Mapping[str, Any]) -> None:
    """Write results.json with some entries new; earlier evaluations of other names are kept.

    So is the analysis of one that is made again without, where it came to the same.

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
    """What the analysis of the same scores says in an earlier record; empty where there is none."""
    if not isinstance(before, Mapping) or "analysis" in record:
        return {}
    same = all(before.get(key) == record.get(key) for key in SCORED)
    return {key: before[key] for key in ANALYSED if key in before} if same else {}


def evaluation_record(
    scores: Scores,
    augmentation: Augmentation,
    *,
    average: Average,
    window: SlidingWindow | None,
    fit: Fit | None,
    split: str,
    images: int,
    seconds: float,
    memory: Sequence[str],
    checkpoint: Path,
) -> dict[str, Any]:
    """One evaluation as results.json holds it; scores are fractions in 0..1.

    `memory` says what was done otherwise where memory ran out, see `gcseg.inference.memory_ladder`.
    """
    return {
        "split": split,
        "checkpoint": checkpoint.name,
        "scales": list(augmentation.scales),
        "flip": augmentation.flip,
        "average": average,
        "window": None if window is None else asdict(window),
        "fit": None if fit is None else asdict(fit),
        "miou": scores.miou,
        "pixel_accuracy": scores.pixel_accuracy,
        "class_iou": scores.class_iou,
        "images": images,
        "seconds": round(seconds, 3),
        "memory": list(memory),
    }


def named(
    records: Mapping[str, dict[str, Any]],
    cfg: Mapping[str, Any],
    trained: Mapping[str, Any],
    *,
    split: str,
    checkpoint: str = "best",
) -> dict[str, dict[str, Any]]:
    """Give evaluations the names that they have in results.json.

    The mode alone for what the training itself ends in: its best checkpoint and validation split
    under its protocol. Anything else is added to the name, so that no evaluation takes another's
    place.

    Args:
        records: By mode.
        cfg: Plain settings of the evaluation.
        trained: Plain settings of the training, as far as they are known.
        split: That was evaluated.
        checkpoint: Of the training that was evaluated, as its file is named without suffix.
    """
    parts = _differences(cfg, {**cfg, "precision": 32, **trained}, split)
    if "dataset" not in trained:  # another framework's file, which may be for any
        parts.insert(0, cfg["dataset"]["name"])
    trained = {**cfg, **trained}
    if checkpoint != "best":
        parts.insert(0, checkpoint)
    return {
        "@".join([mode, *_unusual(mode, record, cfg, trained), *parts]): record
        for mode, record in records.items()
    }


def _unusual(
    mode: str, record: Mapping[str, Any], cfg: Mapping[str, Any], trained: Mapping[str, Any]
) -> list[str]:
    """What sets one mode apart from that of the training's protocol."""
    parts = []
    if record["scales"] != (trained["protocol"]["scales"] if mode == "msflip" else [1.0]):
        parts.append(",".join(map(str, record["scales"])))
    if record["average"] != trained["protocol"]["average"]:
        parts.append(record["average"])
    if record["flip"] and mode not in ("flip", "msflip"):
        parts.append("flip")
    if mode in ("flip", "msflip") and not record["flip"]:
        parts.append("noflip")
    if cfg["inference"] != trained["inference"]:
        window = record["window"]
        parts.append("slide" + "x".join(map(str, window.values())) if window else "whole")
    return parts


def _differences(cfg: Mapping[str, Any], trained: Mapping[str, Any], split: str) -> list[str]:
    """What sets an evaluation's settings apart from those of the training's own."""
    dataset, usual = cfg["dataset"], trained["dataset"]
    parts = []
    for group in ("backbone", "head"):
        parts += _changed(group, cfg[group], trained[group])
    if dataset["name"] == usual["name"]:
        parts += _changed("reader", dataset["reader"], usual["reader"])
    if split != usual["splits"]["val"]:
        parts.append(split)
    if dataset["name"] != usual["name"]:
        parts.append(dataset["name"])
    resize = cfg["protocol"]["resize"]
    changed = resize != trained["protocol"]["resize"]
    if resize == "pad" and (changed or dataset["pad"] != usual["pad"]):
        parts.append("pad{height}x{width}".format(**dataset["pad"]))
    sizes = dataset.get("fit") or {}
    if resize == "fit" and (changed or sizes != (usual.get("fit") or {})):
        parts.append("fit{long}x{short}".format(**sizes) if sizes.get("long") else "native")
    if cfg["normalize"] != trained["normalize"]:
        parts.append("mean{mean}std{std}".format(**cfg["normalize"]).replace(" ", ""))
    averaged = (trained.get("ema") or {}).get("decay") is not None
    if averaged and cfg.get("weights") == "raw":
        parts.append("raw")
    if str(cfg["precision"]) != str(trained["precision"]):
        parts.append(str(cfg["precision"]))
    return parts


def _changed(group: str, settings: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    """Settings that differ, but for those that scores do not depend on."""
    return [
        f"{group}.{key}={value}"
        for key, value in settings.items()
        if key not in ("name", "pretrained", "dropout") and value != usual.get(key, value)
    ]


def print_table(evaluations: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Print IoU in percent: a row per class, a column per mode of test-time augmentation.

    Below it, what was done otherwise where memory ran out.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("IoU, %")
    for mode in evaluations:
        table.add_column(mode, justify="right")
    records = list(evaluations.values())
    for name in records[0]["class_iou"]:
        table.add_row(name, *(_percent(record["class_iou"][name]) for record in records))
    table.add_section()
    for name, key, style in (("mIoU", "miou", "bold"), ("pixel accuracy", "pixel_accuracy", None)):
        cells = [_percent(record[key], absent="not defined") for record in records]
        table.add_row(name, *cells, style=style)
    console = TextConsole()
    console.print(table)
    for done in dict.fromkeys(done for record in records for done in record["memory"]):
        console.print(f"memory ran out: {done}")


def _percent(fraction: float | None, absent: str = "-") -> str:
    return absent if fraction is None else f"{100 * fraction:.2f}"
