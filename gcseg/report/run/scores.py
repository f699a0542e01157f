"""Scores in a run's report: overall, by class, and confusions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gcseg.runs.confusion import Confusion
from gcseg.runs.reading import Evaluation, RunFiles
from gcseg.runs.shown import mapping, number
from gcseg.system.text import percent
from gcseg.visualization.charts import bar_chart, heatmap
from gcseg.visualization.html import Markup, details, figure, grid, notice, one_line, table

_ROWS = 40
"""Most bars in a chart; more classes go into further charts next to it."""

_OPEN_ROWS = 30
"""Most rows of a table of classes that is not folded."""

_MOST_CONFUSIONS = 12


def score_parts(run: RunFiles) -> list[str]:
    """Return a table of all evaluations."""
    if not run.evaluations:
        line = f"python -m gcseg.eval {run.argument('checkpoint')}"
        return [notice(f"There is no evaluation yet: {line}")]
    rows, bold = [], set()
    best = max(number(one.record, "miou") or 0.0 for one in run.evaluations)
    for place, one in enumerate(run.evaluations):
        record = one.record
        images, seconds = number(record, "images"), number(record, "seconds")
        bold |= {(place, 1)} if number(record, "miou") == best else set()
        rows.append(
            [
                one.title,
                percent(number(record, "miou")),
                percent(number(record, "mean_f1")),
                percent(number(record, "pixel_accuracy")),
                percent(number(record, "boundary_miou")),
                percent(number(record, "ece")),
                "" if images is None else f"{images:.0f}",
                f"{seconds / images:.2f}" if images and seconds is not None else "",
                str(record.get("split", "")),
                str(record.get("checkpoint", "")),
                _augmentation(one),
            ]
        )
    header = ["evaluation", "mIoU", "mean F1", "pixel accuracy", "boundary mIoU", "ECE"]
    header += ["images", "seconds per image", "split", "checkpoint", "scales"]
    parts: list[str] = [table(header, rows, bold=bold)]
    done = [str(line) for one in run.evaluations for line in one.record.get("memory") or ()]
    parts += [f"Memory ran out: {line}." for line in dict.fromkeys(done)]
    times = (
        "Seconds cover reading, prediction and counting, with "
        "boundaries and calibration if measured."
    )
    if len(run.main) > 1:
        times += " Modes that were evaluated together share predictions and time."
    parts.append(times)
    return parts


def class_parts(run: RunFiles) -> list[str]:
    """Return bars and a table of each class's IoU in the evaluation shown in detail."""
    shown = run.shown
    if shown is None:
        return []
    ious = {name: number(value) for name, value in mapping(shown.record, "class_iou").items()}
    if not ious:
        return [notice("results.json has no IoU of the classes.")]
    boundary = {
        name: number(value)
        for name, value in mapping(shown.analysis, "boundary", "class_iou").items()
    }
    order = sorted(ious, key=lambda name: -1.0 if ious[name] is None else -(ious[name] or 0.0) - 2)
    blocks = -(-len(order) // _ROWS)
    size = -(-len(order) // blocks)
    charts = []
    for start in range(0, len(order), size):
        names = order[start : start + size]
        bars = {"IoU": [ious[name] for name in names]}
        if boundary:
            bars["boundary IoU"] = [boundary.get(name) for name in names]
        title = f"IoU of classes {start + 1} to {start + len(names)}"
        charts.append(figure(bar_chart(names, bars, x_label="IoU, %", title=title)))
    body = _class_table(run, shown, list(ious), boundary)
    if len(ious) > _OPEN_ROWS:
        body = details(f"table of {len(ious)} classes", body)
    return [f"Bars: {shown.title}, highest first.", grid(*charts), body]


def confusion_parts(run: RunFiles) -> list[str]:
    """Return the confusion matrix of the evaluation shown in detail, and its worst entries."""
    shown = run.shown
    if shown is None or shown.confusion is None:
        line = f"python -m gcseg.eval {run.argument('checkpoint')}"
        return [notice(f"There is no confusion matrix; this makes one: {line}")]
    confusion = shown.confusion
    chart = figure(
        heatmap(confusion.counts, confusion.names),
        f"{shown.title}: rows are true classes, in percent of their pixels. Blue is right, red is "
        "wrong; colours of small shares are strengthened.",
    )
    return [grid(chart, _confusions(confusion))]


def _confusions(confusion: Confusion) -> Markup:
    """Return the most frequent confusions, by pixels."""
    wrong = confusion.counts.copy()
    np.fill_diagonal(wrong, 0)
    total, sums = int(wrong.sum()), confusion.counts.sum(1)
    rows = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CONFUSIONS].tolist():
        true, predicted = divmod(place, len(confusion.names))
        pixels = int(wrong[true, predicted])
        if pixels:
            of_class, of_wrong = 100 * pixels / int(sums[true]), 100 * pixels / total
            names = [one_line(confusion.names[index]) for index in (true, predicted)]
            rows.append([*names, f"{of_class:.1f}", f"{of_wrong:.1f}"])
    if not rows:
        return notice("No pixel is predicted wrong.")
    first = rows[0]
    words = (
        f"The most frequent confusion: {first[2]} % of {first[0]} is taken for {first[1]}, "
        f"which is {first[3]} % of all wrong pixels."
    )
    header = ["true", "taken for", "% of true", "% of wrong"]
    return Markup(f"<div>{notice(words)}{table(header, rows, texts=2)}</div>")


def _class_table(
    run: RunFiles, shown: Evaluation, names: Sequence[str], boundary: dict[str, float | None]
) -> Markup:
    evaluations = [one for one in run.main if one.record.get("split") == shown.record.get("split")]
    evaluations = evaluations or [shown]
    header = ["class", *(f"IoU {one.title}" for one in evaluations)]
    confusion = shown.confusion
    if boundary:
        header.append("boundary IoU")
    if confusion is not None:
        header += ["F1", "precision", "recall", "% of pixels"]
    rows = []
    for name in names:
        row = [name]
        row += [_cell(number(one.record, "class_iou", name)) for one in evaluations]
        if boundary:
            row.append(_cell(boundary.get(name)))
        if confusion is not None:
            row += _counts(confusion, name)
        rows.append(row)
    mean = ["mean"]
    mean += [_cell(number(one.record, "miou")) for one in evaluations]
    if boundary:
        mean.append(_cell(number(shown.analysis, "boundary", "miou")))
    rows.append(mean)
    bold = {(len(rows) - 1, column) for column in range(len(mean))}
    return table(header, rows, bold=bold)


def _counts(confusion: Confusion, name: str) -> list[str]:
    """Return F1, precision, recall and share of the labelled pixels, in percent.

    They are as `gcseg.metrics.scores.area_scores` has them, also for runs whose results.json is
    older than these scores.
    """
    if name not in confusion.names:
        return ["", "", "", ""]
    place = list(confusion.names).index(name)
    right = int(confusion.counts[place, place])
    labelled = int(confusion.counts[place].sum())
    predicted = int(confusion.counts[:, place].sum())
    share = f"{100 * labelled / max(1, int(confusion.counts.sum())):.2f}"
    if not labelled + predicted:
        return [_cell(None), _cell(None), _cell(None), share]
    f1 = 2 * right / (labelled + predicted)
    precision, recall = right / max(1, predicted), right / max(1, labelled)
    return [_cell(f1), _cell(precision), _cell(recall), share]


def _cell(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.2f}"


def _augmentation(evaluation: Evaluation) -> str:
    scales = evaluation.record.get("scales")
    scales = scales if isinstance(scales, list) else []
    return ", ".join(map(str, scales)) + (" and flip" if evaluation.record.get("flip") else "")
