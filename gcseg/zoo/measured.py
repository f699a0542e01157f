"""Measured scores next to published ones: their records, and tables of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from gcseg.errors import OutputError
from gcseg.runs.modes import MODE_TITLES
from gcseg.runs.shapes import MEASUREMENT, Several, cleaned, in_words
from gcseg.system.files import locked, write_json
from gcseg.system.records import RecordError, read_json
from gcseg.system.terminal import TextConsole
from gcseg.system.text import percent
from gcseg.zoo.published import DATASET_TITLES, Record

Measurement = Mapping[str, Any]
"""One entry of experiments/results.json."""
_MOST = 10_000
"""Most entries of a file."""


def read_measurements(path: Path, odd: list[str] | None = None) -> list[Measurement]:
    """Read a list of measurements; empty if there is no file.

    Args:
        path: Path of the file.
        odd: List that receives a few words on each invalid entry, which is then left out; None to
            refuse invalid entries.

    Raises:
        OutputError: If the file exists but is not such a list; it is not changed.
    """
    wrong: list[str] = []
    try:
        content = read_json(path)
        if not isinstance(content, list):
            raise RecordError("it is not a list")
        found: list[Measurement] = cleaned(content, Several(MEASUREMENT, _MOST), wrong)
        if wrong and odd is None:
            raise RecordError(in_words(wrong))
    except FileNotFoundError:
        return []
    except RecordError as error:
        raise OutputError(
            f"{path} is damaged ({error})", "move it away, and run this again"
        ) from None
    if odd is None:
        return content
    odd += wrong
    return found


def add_measurement(path: Path, measurement: Measurement) -> None:
    """Add a measurement to a list, replacing one of the same experiment, weights and data.

    The replaced one's evaluations of other modes of test-time augmentation are kept.

    Raises:
        OutputError: If the file is damaged or can't be written.
    """
    with locked(path):
        entries = read_measurements(path)
        for index, entry in enumerate(entries):
            if _identity(entry) == _identity(measurement):
                before = entry["results"]["evaluations"]
                results = measurement["results"]
                evaluations = {**before, **results["evaluations"]}
                entries[index] = {**measurement, "results": {**results, "evaluations": evaluations}}
                break
        else:
            entries.append(measurement)
        write_json(path, entries)


def _identity(entry: Measurement) -> tuple[Any, ...]:
    return entry["experiment"], entry.get("weights"), entry.get("data")


def print_comparison(record: Record, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the measured and published mIoU, and their difference, for each mode."""
    table = Table(title=f"{record.name}, mIoU in percent", title_justify="left")
    for column in ("", "published", "measured", "difference"):
        table.add_column(column, justify="right" if column else "left")
    for mode, evaluation in evaluations.items():
        measured = evaluation["miou"]
        rows = {MODE_TITLES[mode]: record.miou.get(mode)}
        if mode in record.corrected:
            rows[f"{MODE_TITLES[mode]}, corrected"] = record.corrected[mode]
        for title, published in rows.items():
            known = published is not None and measured is not None
            difference = f"{100 * (measured - published):+.2f}" if known else ""
            table.add_row(title, percent(published), percent(measured), difference)
    TextConsole().print(table)


def published_table(records: Sequence[Record], measurements: Sequence[Measurement]) -> str:
    """Return Markdown tables of the published networks, by dataset, with their measured scores."""
    networks = [record for record in records if record.experiment is not None]
    parts = []
    for dataset, title in DATASET_TITLES.items():
        rows = [_row(record, measurements) for record in networks if record.dataset == dataset]
        header = ["`published=`", "backbone", *MODE_TITLES.values()]
        header += [f"measured: {mode}" for mode in MODE_TITLES.values()]
        parts.append(f"### {title}\n\n{_markdown(header, rows)}")
    return "\n\n".join(parts)


def _row(record: Record, measurements: Sequence[Measurement]) -> list[str]:
    """Return a published network's row of the table."""
    scores = _scores(f"published={record.experiment}", measurements)
    backbone = "{backbone}-{variant}".format(**record.architecture)
    return [
        *(f"`{record.experiment}`", backbone.replace("r", "R")),
        *(_published(record, mode) for mode in MODE_TITLES),
        *(percent(scores.get(mode)) for mode in MODE_TITLES),
    ]


def measured_table(measurements: Sequence[Measurement]) -> str:
    """Return a Markdown table of the measured trainings."""
    rows = []
    for entry in measurements:
        results = entry["results"]
        training = results.get("training")
        if training is None:
            continue
        evaluations = results["evaluations"]
        steps, seconds = training.get("iters", "?"), training.get("seconds")
        minutes = "?" if seconds is None else round(seconds / 60)
        rows.append(
            [
                *(results.get("dataset", "?"), f"`{entry.get('command', '?')}`"),
                f"{steps} steps, {minutes} minutes",
                *(percent(evaluations.get(mode, {}).get("miou")) for mode in MODE_TITLES),
            ]
        )
    return _markdown(["dataset", "command", "training", *MODE_TITLES.values()], rows)


def _scores(experiment: str, measurements: Sequence[Measurement]) -> dict[str, float]:
    """Return the newest measured mIoU of an experiment by mode."""
    scores: dict[str, float] = {}
    for entry in measurements:
        if entry["experiment"] == experiment:
            evaluations = entry["results"]["evaluations"]
            scores |= {mode: evaluation["miou"] for mode, evaluation in evaluations.items()}
    return scores


def _published(record: Record, mode: str) -> str:
    """Return a published score in percent, with its later correction in brackets."""
    published, corrected = percent(record.miou.get(mode)), record.corrected.get(mode)
    return published if corrected is None else f"{published} ({percent(corrected)})"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
