"""Charts in a sweep's report: scores against length and cost of training, and curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from gcseg.report.sweep.scores import Setting
from gcseg.report.sweep.tables import MOST_SETTINGS, chosen, mode_name, of_setting, short_label
from gcseg.report.sweep.trainings import Training
from gcseg.runs.shown import number
from gcseg.visualization.charts import Series, bar_chart, line_chart
from gcseg.visualization.html import Markup, figure

_MOST_MODES = 4
"""Most modes that get a chart each."""

_ALIKE = 1.02
"""Ratio of costs below which they differ by chance only and make no useful axis."""

_Place = Callable[[Setting], float | None]
"""Function that returns a setting's place on the horizontal axis; None if it is not known."""


@dataclass(frozen=True)
class _Line:
    """Settings that differ only in the length of training."""

    name: str
    settings: Sequence[Setting]


def length_charts(settings: Sequence[Setting], modes: Sequence[str]) -> list[Markup]:
    """Draw mIoU against iterations, a chart for each mode; none if all train equally long.

    Args:
        settings: All settings of the sweep.
        modes: Modes of test-time augmentation that have scores.
    """
    scored = [one for one in settings if any(map(one.in_mode, modes))]
    if len({_iters(one) for one in scored}) < 2:
        return []
    charts = []
    for mode in modes[:_MOST_MODES]:
        if series := _against(settings, mode, _iters):
            chart = _scatter(series, "iterations", f"mIoU against iterations, {mode_name(mode)}")
            charts.append(figure(chart, f"{mode_name(mode)}{_best_of(settings, mode)}"))
    return charts


def settings_chart(settings: Sequence[Setting], mode: str) -> Markup | None:
    """Draw a bar for each setting, or for the best of many; None for a single setting."""
    scored = [one for one in settings if one.in_mode(mode)]
    if len(scored) < 2:
        return None
    shown = chosen(scored, mode)
    bars = {mode_name(mode): [fmean(one.in_mode(mode)) for one in shown]}
    chart = bar_chart(
        [short_label(one) for one in shown], bars, x_label="mIoU, %", title="mIoU of the settings"
    )
    more = f"; the best {len(shown)} of {len(scored)} settings" if len(scored) > len(shown) else ""
    return figure(chart, f"{mode_name(mode)}{more}")


def cost_charts(
    settings: Sequence[Setting], trainings: Mapping[str, Training], mode: str
) -> list[Markup]:
    """Draw mIoU against the time and the operations of training, as far as they are known."""

    def hours(setting: Setting) -> float | None:
        return _mean([training.hours for training in of_setting(setting, trainings)])

    def petaflop(setting: Setting) -> float | None:
        return _mean([training.petaflop for training in of_setting(setting, trainings)])

    devices = {one.device for one in trainings.values() if one.hours is not None}
    kind = devices.pop() if len(devices) == 1 else None
    charts = []
    for place, axis, what in (
        (hours, f"training, {kind or 'device'} hours", "training time times devices"),
        (petaflop, "training, PFLOP", "operations of a training step x images seen"),
    ):
        series = _against(settings, mode, place)
        places = [at for one in series for at in one.x]
        if places and max(places) > _ALIKE * min(places):
            chart = _scatter(series, axis, f"mIoU against {axis}, {mode_name(mode)}")
            caption = f"{mode_name(mode)}; {what}{_best_of(settings, mode)}"
            charts.append(figure(chart, caption))
    return charts


def curves_chart(
    settings: Sequence[Setting], trainings: Mapping[str, Training], mode: str
) -> Markup | None:
    """Draw validation mIoU over the steps of training, in one colour for each setting.

    Args:
        settings: All settings of the sweep; if they are too many, the best in `mode` are drawn.
        trainings: All trainings of the sweep.
        mode: Mode by whose scores the best settings are chosen.

    Returns:
        The chart; None if no training has a validation.
    """
    series = []
    seen = set()
    for setting in chosen(settings, mode):
        runs = of_setting(setting, trainings)
        key = tuple(sorted(run.jobs[0].training for run in runs))
        if key in seen:  # settings that differ only in evaluation share their curves
            continue
        seen.add(key)
        if curves := [curve for run in runs if (curve := run.curve())]:
            series.append(_mean_curve(short_label(setting), curves))
    if not series:
        return None
    chart = line_chart(
        series, x_label="optimizer steps", y_label="validation mIoU, %", percent=True,
        title="validation mIoU over the steps of training",
    )  # fmt: skip
    words = f"{series[0].name}" if len(series) == 1 else ""
    if len(settings) > MOST_SETTINGS:
        words = f"the best {MOST_SETTINGS} of {len(settings)} settings"
    return figure(chart, words)


def _mean_curve(name: str, curves: Sequence[Mapping[int, float]]) -> Series:
    """Return the mean of curves over seeds, with a band from the lowest to the highest."""
    steps = sorted({step for curve in curves for step in curve})
    values = [[curve[step] for curve in curves if step in curve] for step in steps]
    band = len(curves) > 1
    return Series(
        name,
        [float(step) for step in steps],
        [fmean(one) for one in values],
        [min(one) for one in values] if band else None,
        [max(one) for one in values] if band else None,
    )


def _against(settings: Sequence[Setting], mode: str, place: _Place) -> list[Series]:
    """Return lines of mIoU with bands over seeds, without settings that have no place."""
    series = []
    for line in _lines(settings, mode):
        places = [(place(setting), setting.in_mode(mode)) for setting in line.settings]
        points = sorted((x, scores) for x, scores in places if x is not None and scores)
        if not points:
            continue
        x = [at for at, _ in points]
        y = [fmean(scores) for _, scores in points]
        low = [min(scores) for _, scores in points]
        high = [max(scores) for _, scores in points]
        if low == high:
            series.append(Series(line.name, x, y, markers=True))
        elif len(points) == 1:  # the band of one point would be invisible: a vertical line
            series.append(Series(line.name, x * 3, [*low, *y, *high], markers=True))
        else:
            series.append(Series(line.name, x, y, low, high, markers=True))
    return series


def _lines(settings: Sequence[Setting], mode: str) -> list[_Line]:
    """Return a line for each combination of other settings than the length; of many, the best."""
    groups: dict[tuple[str, ...], list[Setting]] = {}
    for setting in settings:
        if setting.in_mode(mode):
            values = tuple(setting.values[name] for name in _beside_length(setting))
            groups.setdefault(values, []).append(setting)
    lines = [
        _Line(short_label(group[0], names) if (names := _beside_length(group[0])) else "", group)
        for group in groups.values()
    ]
    best = sorted(lines, key=lambda one: -max(fmean(s.in_mode(mode)) for s in one.settings))
    kept = {id(one) for one in best[:MOST_SETTINGS]}
    return [one for one in lines if id(one) in kept]


def _best_of(settings: Sequence[Setting], mode: str) -> str:
    """Return a note on lines that are left out."""
    lines = {
        tuple(one.values[name] for name in _beside_length(one))
        for one in settings
        if one.in_mode(mode)
    }
    return f"; the best {MOST_SETTINGS} of {len(lines)}" if len(lines) > MOST_SETTINGS else ""


def _beside_length(setting: Setting) -> list[str]:
    """Return what distinguishes a setting other than the length of training."""
    return [name for name in setting.values if name != "iters"]


def _scatter(series: Sequence[Series], x_label: str, title: str) -> Markup:
    return line_chart(series, x_label=x_label, y_label="mIoU, %", percent=True, title=title)


def _iters(setting: Setting) -> float | None:
    return number(setting.jobs[0].settings, "iters")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
