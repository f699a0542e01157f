"""Cost of a sweep's networks next to their scores: parameters, operations, time per image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcseg.report.sweep.claims import Comparison, chosen
from gcseg.report.sweep.scores import Setting, repeats
from gcseg.report.sweep.sheets import Sheet, interval
from gcseg.report.sweep.statistics import mean
from gcseg.report.sweep.tables import mode_name, of_setting
from gcseg.runs.name import fingerprint
from gcseg.runs.shapes import TIMINGS
from gcseg.runs.shown import mapping, number, shown_record
from gcseg.sweeps.ledger import ENDED
from gcseg.system.text import counted, percent

if TYPE_CHECKING:
    from gcseg.report.sweep.trainings import Training

TIMINGS_FILE = "timings.json"
"""File in a sweep's folder with the measured times of its networks."""
_NETWORK = ("backbone", "head", "auxiliary_head")
_WITHOUT = ("name", "pretrained", "freeze")
"""Settings of a part that do not change the network's cost."""
_BUSY = 1.5
"""Ratio of slow to fast passes of one network from which on the machine counts as busy."""
_MEGA, _GIGA = 1e6, 1e9


@dataclass(frozen=True)
class Cost:
    """Cost of a setting's network; None for what is not known.

    Args:
        parameters: Number of learnable parameters, with those of the auxiliary head.
        flops: Floating point operations of the forward pass of one image.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        milliseconds: Median time of a forward pass of one image.
        fastest: Time of the fastest pass, in milliseconds.
        device: Device on which the time was measured.
    """

    parameters: float | None = None
    flops: float | None = None
    height: int | None = None
    width: int | None = None
    milliseconds: float | None = None
    fastest: float | None = None
    device: str | None = None

    @property
    def size(self) -> str:
        """Height and width of the image; empty if they are not known."""
        return "" if None in (self.height, self.width) else f"{self.height} x {self.width}"


def classes_of(training: Training) -> int | None:
    """Return the number of classes that a training's network tells apart; None if unknown."""
    for job in training.jobs:
        for record in (job.evaluations or {}).values():
            if classes := len(mapping(record, "class_iou")):
                return classes
    return None


def network_key(training: Training) -> str | None:
    """Return what identifies a training's network in `timings.json`; None if it is not known.

    The memory format is part of it, as it changes the time.
    """
    classes = classes_of(training)
    if classes is None or not training.config:
        return None
    parts = {
        group: {key: value for key, value in mapping(training.config, group).items()
                if key not in _WITHOUT}
        for group in _NETWORK
    }  # fmt: skip
    channels = mapping(training.config, "dataset").get("channels", 3)
    layout = {"channels_last": True} if training.config.get("channels_last") is True else {}
    return fingerprint({**parts, "channels": channels, "classes": classes, **layout})


def read_timings(folder: Path) -> Mapping[str, Any]:
    """Return a sweep's measured times; empty if there are none or they can't be read."""
    return shown_record(folder, TIMINGS_FILE, TIMINGS)


def setting_cost(
    setting: Setting, trainings: Mapping[str, Training], timings: Mapping[str, Any]
) -> Cost:
    """Return the cost of a setting's network, measured or else as its trainings recorded it."""
    found = Cost()
    for training in of_setting(setting, trainings):
        key = network_key(training)
        measured = mapping(timings, "networks", key) if key else {}
        if measured:
            return Cost(
                number(measured, "parameters"),
                number(measured, "flops"),
                timings["height"],
                timings["width"],
                measured["milliseconds"],
                number(measured, "fastest"),
                _device(timings),
            )
        model = mapping(training.results, "model")
        if model and found == Cost():
            found = Cost(
                number(model, "parameters"),
                number(model, "flops"),
                model.get("height"),
                model.get("width"),
            )
    return found


def cost_sheet(
    rows: Sequence[Setting],
    columns: Sequence[str],
    trainings: Mapping[str, Training],
    timings: Mapping[str, Any],
    comparison: Comparison,
) -> tuple[Sheet | None, list[str]]:
    """Return a table of cost and mIoU by setting, and notes on it; None if no cost is known.

    Args:
        rows: All settings of the sweep.
        columns: Modes in their order; the first one's mIoU is shown.
        trainings: Trainings of the sweep, by fingerprint.
        timings: Contents of timings.json.
        comparison: What has been published of the settings.
    """
    costs = [setting_cost(row, trainings, timings) for row in rows]
    if all(cost == Cost() for cost in costs):
        return None, []
    sizes = Counter(cost.size for cost in costs if cost.size)
    size = sizes.most_common(1)[0][0] if sizes else ""
    published = list(dict.fromkeys(name for _, values in comparison.published for name in values))
    names = list(rows[0].values) or ["setting"]
    header = [*names, "parameters, M", "GFLOPs", "ms, median", "ms, fastest"]
    if columns:
        header += [repeats(rows), "mIoU", "95 % interval"]
    header += [f"published {name}" for name in published]
    cells = []
    for row, cost in zip(rows, costs, strict=True):
        scores = row.in_mode(columns[0]) if columns else []
        line = [value or "-" for value in row.values.values()] or [row.name]
        line += [_scaled(cost.parameters, _MEGA), _flops(cost, size)]
        line += [_time(cost.milliseconds), _time(cost.fastest)]
        if columns:
            of = mean(scores) if scores else None
            line += ["0", "", ""] if of is None else [
                str(of.count), percent(of.value), interval(of.value, of.margin)
            ]  # fmt: skip
        values = next((values for wanted, values in comparison.published
                       if chosen(rows, wanted) == [row]), {})  # fmt: skip
        line += [_published(values, name) for name in published]
        cells.append(line)
    title = f"Cost of a forward pass of one image{f' of {size} pixels' if size else ''}"
    if columns:
        title += f", and mIoU in percent, {mode_name(columns[0])}"
    notes = [_about_times(timings)] if timings else []
    if published:
        notes.append(f"published: {comparison.published_in}")
    if notes:
        title += f" ({'; '.join(notes)})"
    return Sheet(title, header, cells, len(names)), _doubts(rows, costs, timings)


def _doubts(
    rows: Sequence[Setting], costs: Sequence[Cost], timings: Mapping[str, Any]
) -> list[str]:
    """Return lines on times that an ended sweep lacks, and on a busy machine."""
    lines = []
    ended = all(job.state in ENDED for row in rows for job in row.jobs)
    missing = sum(
        cost.milliseconds is None and any(row.scores.values())
        for row, cost in zip(rows, costs, strict=True)
    )
    if missing and ended:
        lines.append(f"no time per image of {counted(missing, 'setting')}: python -m gcseg.report "
                     "sweep=FOLDER measures it")  # fmt: skip
    spread = [
        measured["high"] / measured["low"]
        for key in mapping(timings, "networks")
        if (measured := mapping(timings, "networks", key)).get("low") and measured.get("high")
    ]
    if spread and max(spread) > _BUSY:
        lines.append(
            f"times per image: passes of one network differ by a factor of {max(spread):.1f} "
            "(10th to 90th percentile), as on a busy machine, where the fastest tell more: "
            "python -m gcseg.report sweep=FOLDER timing=again measures again"
        )
    return lines


def _about_times(timings: Mapping[str, Any]) -> str:
    passes = counted(timings["passes"], "pass", "es")
    return f"ms per image of {passes}, networks in turn, {_device(timings)}"


def _device(timings: Mapping[str, Any]) -> str:
    threads = timings.get("threads")
    return str(timings["device"]) + (f", {counted(threads, 'thread')}" if threads else "")


def _flops(cost: Cost, size: str) -> str:
    """Return operations in 10^9, with the image's size if it is not that of the others."""
    text = _scaled(cost.flops, _GIGA, digits=3)
    return text if not text or cost.size in ("", size) else f"{text} ({cost.size})"


def _scaled(value: float | None, unit: float, digits: int = 2) -> str:
    return "" if value is None else f"{value / unit:.{digits}f}"


def _time(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds:.1f}" if milliseconds >= 10 else f"{milliseconds:.2f}"


def _published(values: Mapping[str, float], name: str) -> str:
    value = number(values, name)
    return "" if value is None else f"{value:g}"
