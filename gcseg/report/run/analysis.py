"""Analysis in a run's report: boundaries, calibration and scoring conventions."""

from __future__ import annotations

from typing import Any

from gcseg.runs.reading import Evaluation, RunFiles
from gcseg.runs.shown import mapping, number
from gcseg.system.text import percent
from gcseg.visualization.charts import reliability_chart
from gcseg.visualization.html import Markup, definitions, figure, grid, notice, table

_SURE = 0.02
"""Largest distance of confidence and accuracy at which a network counts as calibrated."""


def boundary_parts(run: RunFiles) -> list[str]:
    """Return boundary IoU next to mIoU."""
    rows = []
    for one in _analysed(run):
        miou, boundary = number(one.record, "miou"), number(one.analysis, "boundary", "miou")
        if miou is not None and boundary is not None:
            difference = f"{100 * (boundary - miou):+.2f}"
            rows.append([one.title, percent(miou), percent(boundary), difference])
    if not rows:
        return [missing(run, "boundary IoU")]
    shown = run.shown
    ratio = number(shown.analysis, "boundary", "dilation_ratio") if shown else None
    near = "a fixed distance" if ratio is None else f"{100 * ratio:g} % of the image's diagonal"
    return [
        f"Boundary IoU compares only the pixels of truth and prediction that lie within {near} of "
        "their segments' outlines (Cheng et al., CVPR 2021). The insides of large segments "
        "dominate mIoU. If mIoU is high and boundary IoU is low, the network finds the classes "
        "but not their outlines.",
        table(["evaluation", "mIoU", "boundary mIoU", "difference"], rows),
    ]


def calibration_parts(run: RunFiles) -> list[str]:
    """Return the reliability diagram of the evaluation shown in detail, and every ECE."""
    rows = [
        [one.title, percent(ece)]
        for one in _analysed(run)
        if (ece := number(one.analysis, "calibration", "ece")) is not None
    ]
    shown = run.shown
    bins = _bins(shown) if shown else []
    if not rows or shown is None or not bins:
        return [missing(run, "calibration")]
    caption = (
        f"{shown.title}. Above: accuracy of the predictions at each confidence; on the dashed "
        "line, accuracy equals confidence. Below: how many pixels have that confidence."
    )
    chart = figure(reliability_chart(bins), caption)
    words = (
        "The expected calibration error (ECE) is the mean distance of confidence and accuracy, "
        f"weighted by pixels. {_interpretation(bins)}"
    )
    summary = Markup(f"<div><p>{words}</p>{table(['evaluation', 'ECE, %'], rows)}</div>")
    return [grid(chart, summary)]


def convention_parts(run: RunFiles) -> list[str]:
    """Return scores of the same predictions under each framework's convention.

    For Cityscapes, also those of its categories.
    """
    analysed = [one for one in _analysed(run) if mapping(one.analysis, "conventions")]
    if not analysed:
        return [missing(run, "other frameworks' conventions")]
    conventions = mapping(analysed[0].analysis, "conventions")
    rows = [
        [
            name,
            *(percent(number(one.analysis, "conventions", name, "miou")) for one in analysed),
        ]
        for name in conventions
    ]
    header = ["convention", *(f"mIoU {one.title}" for one in analysed)]
    reasons = {name: str(mapping(conventions, name).get("reason", "")) for name in conventions}
    parts: list[str] = [table(header, rows), definitions(reasons)]
    if categories := mapping(analysed[0].analysis, "categories"):
        cells = [
            [name, *(percent(number(one.analysis, "categories", name)) for one in analysed)]
            for name in categories
        ]
        header = ["Cityscapes category", *(f"IoU {one.title}" for one in analysed)]
        parts.append(table(header, cells))
    return parts


def missing(run: RunFiles, what: str) -> Markup:
    """Return a notice on what an evaluation without analysis lacks, and how to add it."""
    return notice(
        f"This run has no analysis for {what}. To add it: "
        f"python -m gcseg.eval {run.argument('checkpoint')} explain=true, "
        f"then python -m gcseg.report {run.argument('run')}"
    )


def _analysed(run: RunFiles) -> list[Evaluation]:
    return [one for one in run.evaluations if one.analysis is not None]


def _bins(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the bins that have all their values."""
    found = mapping(evaluation.analysis, "calibration").get("bins")
    bins = []
    for one in found if isinstance(found, list) else []:
        values = {
            key: number(one, key) for key in ("lower", "upper", "pixels", "confidence", "accuracy")
        }
        if None not in (values["lower"], values["upper"], values["pixels"]):
            bins.append(values)
    return bins


def _interpretation(bins: list[dict[str, Any]]) -> str:
    """Return in words whether the network is overconfident."""
    full = [one for one in bins if None not in (one["confidence"], one["accuracy"])]
    total = sum(one["pixels"] for one in full)
    if not total:
        return ""
    sure, right = (
        sum(one["pixels"] * one[key] for one in full) / total for key in ("confidence", "accuracy")
    )
    means = f"on average {100 * sure:.1f} % sure and {100 * right:.1f} % right"
    distance = sum(one["pixels"] * abs(one["confidence"] - one["accuracy"]) for one in full)
    if distance / total <= _SURE:
        return f"The network is {means}: its confidence matches its accuracy."
    if abs(sure - right) <= _SURE:
        return f"The network is {means}, but its confidence is wrong in places: see the chart."
    if sure > right:
        return f"The network is {means}: overconfident, its probabilities are too high."
    return f"The network is {means}: underconfident, its probabilities are too low."
