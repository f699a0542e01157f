"""Tables in a sweep's report: IoU by class, boundaries, calibration, differing settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from gcseg.report.sweep.scores import Setting
from gcseg.report.sweep.trainings import Training
from gcseg.runs.modes import SHORT_MODE_TITLES
from gcseg.runs.shown import number

if TYPE_CHECKING:
    from collections.abc import Collection

MOST_SETTINGS = 12
"""Most settings side by side in a table or a chart; more can't be told apart."""

_LONGEST_VALUE = 18
"""Most characters of a setting's value in a legend or header."""

_FOLLOWS = ("seed", "seeds", "run_root", "retry_failed", "job_timeout", "timing", "comparison",
            "fresh", "num_workers",
            "dataset.root", "dataset.fold", "dataset.cache_folder", "dataset.iters",
            "dataset.batch_size",
            "published.checkpoint", "protocol.mean", "protocol.std", "protocol.average",
            "protocol.scales", "tta.scales", "tta.modes")  # fmt: skip
"""Settings that are not listed: they are about places and execution, vary within a setting, or act
only through other settings, which are listed."""


@dataclass(frozen=True)
class Ious:
    """IoU by class and setting: the mean over seeds or folds, a fraction.

    Args:
        classes: Names of the classes, one per row.
        settings: The settings, one per column.
        values: IoU by class, then by setting; None where a setting has no IoU of the class.
    """

    classes: Sequence[str]
    settings: Sequence[Setting]
    values: Sequence[Sequence[float | None]]

    @property
    def spread(self) -> list[float]:
        """The difference of the highest and the lowest IoU, by class."""
        known = [[value for value in row if value is not None] for row in self.values]
        return [max(row) - min(row) if row else 0.0 for row in known]


def chosen(settings: Sequence[Setting], mode: str, most: int = MOST_SETTINGS) -> list[Setting]:
    """Return the `most` best settings of a mode, in the given order."""
    means = {id(one): fmean(one.in_mode(mode)) for one in settings if one.in_mode(mode)}
    best = sorted(settings, key=lambda one: -means.get(id(one), -1.0))[:most]
    kept = {id(one) for one in best}
    return [one for one in settings if id(one) in kept]


def class_ious(
    settings: Sequence[Setting], trainings: Mapping[str, Training], mode: str
) -> Ious | None:
    """Return the IoU by class of those settings that have it; None if none has."""
    columns: list[tuple[Setting, dict[str, float]]] = []
    classes: dict[str, None] = {}
    for setting in settings:
        found: dict[str, list[float]] = {}
        for record in records(setting, trainings, mode):
            by_class = record.get("class_iou")
            if not isinstance(by_class, Mapping):
                continue
            for name in by_class:
                classes[name] = None
                value = number(by_class, name)
                if value is not None:
                    found.setdefault(name, []).append(value)
        if found:
            columns.append((setting, {name: fmean(values) for name, values in found.items()}))
    if not columns:
        return None
    values = [[means.get(name) for _, means in columns] for name in classes]
    return Ious(list(classes), [setting for setting, _ in columns], values)


def by_spread(ious: Ious) -> Ious:
    """Sort the classes by how far apart the settings are, the furthest first."""
    spread = ious.spread
    order = sorted(range(len(ious.classes)), key=lambda row: -spread[row])
    classes = [ious.classes[row] for row in order]
    return Ious(classes, ious.settings, [ious.values[row] for row in order])


def extras(
    settings: Sequence[Setting], trainings: Mapping[str, Training], modes: Sequence[str]
) -> list[tuple[Setting, str, dict[str, list[float]]]]:
    """Return mIoU, boundary mIoU and ECE by setting and mode.

    Only trainings that have one of the latter two are included.
    """
    rows = []
    for mode in modes:
        for setting in settings:
            found: dict[str, list[float]] = {"miou": [], "boundary_miou": [], "ece": []}
            for record in records(setting, trainings, mode):
                for key, values in found.items():
                    value = number(record, key)
                    if value is not None:
                        values.append(value)
            if found["boundary_miou"] or found["ece"]:
                rows.append((setting, mode, found))
    return rows


def records(
    setting: Setting, trainings: Mapping[str, Training], mode: str
) -> Iterator[Mapping[str, Any]]:
    """Yield the existing evaluation records of a setting's trainings in a mode."""
    for training in of_setting(setting, trainings):
        if record := training.evaluation(mode):
            yield record


def of_setting(setting: Setting, trainings: Mapping[str, Training]) -> list[Training]:
    """Return the trainings of a setting, one for each seed and fold."""
    return [trainings[key] for key in dict.fromkeys(job.training for job in setting.jobs)]


def differences(
    settings: Sequence[Setting], trainings: Mapping[str, Training]
) -> list[tuple[str, list[Any]]]:
    """Return the entries in which settings differ: overrides first, then others of the configs.

    Returns:
        Names, each with its values by setting; None where a setting has no such value.
    """
    rows: dict[str, list[Any]] = {}
    for name in settings[0].values if settings else ():
        rows[name] = [setting.values[name] or None for setting in settings]
    tables = [_config(setting, trainings) for setting in settings]
    for name in dict.fromkeys(name for table in tables if table for name in table):
        # A setting without config does not count as different.
        values = [_comparable(table.get(name)) for table in tables if table is not None]
        if len(set(values)) > 1 and not _within(name, _FOLLOWS):
            rows[name] = [None if table is None else table.get(name) for table in tables]
    for group in settings[0].values if settings else ():
        if rows.get(f"{group}.name") == rows[group]:  # backbone=r50 repeats backbone.name
            del rows[f"{group}.name"]
    return list(rows.items())


def label(setting: Setting, names: Collection[str] | None = None) -> str:
    """Return a short label of a setting, with names for values that are unclear alone.

    Args:
        setting: The setting.
        names: Names of the values to include; None for all.
    """
    words = []
    for name, value in setting.values.items():
        if names is None or name in names:
            telling = (
                value and not _is_number(value) and value.lower() not in ("true", "false", "null")
            )
            words.append(value if telling else f"{name.rpartition('.')[2]} {value or '-'}")
    return ", ".join(words) or setting.name


def short_label(setting: Setting, names: Collection[str] | None = None) -> str:
    """Return a label for a legend or header; long values, such as folders, keep their end."""
    values = {
        name: value if len(value) <= _LONGEST_VALUE else f"…{value[1 - _LONGEST_VALUE :]}"
        for name, value in setting.values.items()
    }
    return label(replace(setting, values=values), names)


def mode_name(mode: str) -> str:
    """Return the title of a mode of test-time augmentation in tables."""
    return SHORT_MODE_TITLES.get(mode, mode)


def _config(setting: Setting, trainings: Mapping[str, Training]) -> dict[str, Any] | None:
    """Return the flat config of a setting's first training that has one; None if none has."""
    for training in of_setting(setting, trainings):
        if training.config:
            return dict(_flat(training.config))
    return None


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _comparable(value: Any) -> str:
    """Return a hashable form of a value; equal for 1 and 1.0, but not for 1 and true."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return repr(float(value) if whole else value)


def _within(name: str, parents: Collection[str]) -> bool:
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
