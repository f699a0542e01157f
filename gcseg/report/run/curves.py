"""Training curves in a run's report."""

from __future__ import annotations

from collections.abc import Mapping

from gcseg.runs.reading import RunFiles
from gcseg.runs.shapes import FRACTION
from gcseg.runs.shown import Curve
from gcseg.visualization.charts import MOST_POINTS, Mark, Series, line_chart
from gcseg.visualization.html import Markup, figure, grid

MOST_CLASSES = 30
"""Most classes that all get a curve; of more, those with the most extreme final IoUs do."""

_EXTREMES = 5
_FEW = 12
_STEPS = "optimizer steps"
_CLASS = "val/iou/"


def curve_parts(run: RunFiles) -> list[Markup]:
    """Return charts of the columns of metrics.csv; none if it has no values."""
    charts = [
        _losses(run.curves),
        _one(run.curves, "train/learning_rate", "learning rate"),
        _one(run.curves, "train/gradient_norm", "gradient norm", log_y=True),
        _validation(run.curves),
        _classes(run.curves),
    ]
    figures = [chart for chart in charts if chart]
    return [grid(*figures)] if figures else []


def best_validation(curves: Mapping[str, Curve]) -> tuple[int, float] | None:
    """Return step and value of the highest validation mIoU; the first of equal ones."""
    steps, values = curves.get("val/miou", ([], []))
    pairs = [(value, -step) for step, value in zip(steps, values, strict=True)
             if FRACTION.fits(value)]  # fmt: skip
    if not pairs:
        return None
    value, step = max(pairs)
    return -step, value


def _losses(curves: Mapping[str, Curve]) -> Markup:
    names = {
        "train/loss": "total",
        "train/loss_main": "main head",
        "train/loss_branches": "branches of the main head",
        "train/loss_auxiliary": "auxiliary head",
    }
    series = [Series(title, *curves[name]) for name, title in names.items() if name in curves]
    if not series:
        return Markup()
    added = {
        "train/loss_main": "the main head's loss",
        "train/loss_branches": "its branches'",
        "train/loss_auxiliary": "the weighted auxiliary head's",
    }
    parts = [words for name, words in added.items() if name in curves]
    total = f"The total is {' and '.join(parts)}. " if len(parts) > 1 else ""
    many = "A line is the mean of neighbouring steps; its band spans their lowest to highest value."
    long = max(len(one.x) for one in series) > MOST_POINTS
    caption = total + (many if long else "")
    return figure(line_chart(series, x_label=_STEPS, y_label="loss", title="loss"), caption)


def _one(curves: Mapping[str, Curve], name: str, label: str, *, log_y: bool = False) -> Markup:
    if name not in curves:
        return Markup()
    positive = [value for value in curves[name][1] if value > 0]
    if log_y and not (positive and max(positive) > 10 * min(positive)):
        log_y = False
    series = [Series("", *curves[name])]
    return figure(line_chart(series, x_label=_STEPS, y_label=label, log_y=log_y, title=label))


def _validation(curves: Mapping[str, Curve]) -> Markup:
    names = {"val/miou": "mIoU", "val/pixel_accuracy": "pixel accuracy"}
    series = [_marked(title, curves[name]) for name, title in names.items() if name in curves]
    best = best_validation(curves)
    if not series or best is None:
        return Markup()
    step, value = best
    words = f"best: {100 * value:.2f} at {step}"
    chart = line_chart(
        series, x_label=_STEPS, y_label="validation, %", percent=True,
        marks=[Mark(step, value, words)], title="mIoU and pixel accuracy in validation",
    )  # fmt: skip
    return figure(chart, f"Best mIoU in training: {100 * value:.2f} % after {step} steps.")


def _marked(name: str, curve: Curve) -> Series:
    """Return a line, with a marker for each validation if there are few."""
    return Series(name, *curve, markers=len(curve[0]) <= _FEW)


def _classes(curves: Mapping[str, Curve]) -> Markup:
    found = {name.removeprefix(_CLASS): curves[name] for name in curves if name.startswith(_CLASS)}
    caption = ""
    if len(found) > MOST_CLASSES:
        order = sorted(found, key=lambda name: -found[name][1][-1])
        found = {name: found[name] for name in (*order[:_EXTREMES], *order[-_EXTREMES:])}
        caption = (
            f"Of {len(order)} classes, the {_EXTREMES} with the highest and the {_EXTREMES} with "
            "the lowest IoU at the end."
        )
    if not found:
        return Markup()
    series = [_marked(name, curve) for name, curve in found.items()]
    title = "IoU of each class in validation"
    chart = line_chart(series, x_label=_STEPS, y_label="IoU, %", percent=True, title=title)
    return figure(chart, caption or "IoU of each class in validation.")
