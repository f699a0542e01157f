"""The contents of a run folder, read leniently: missing or damaged files become notices."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gcseg.errors import OutputError
from gcseg.runs.confusion import Confusion, read_confusion
from gcseg.runs.folder import CONFIG_FILE, ENVIRONMENT_FILE, RESULTS_FILE
from gcseg.runs.modes import MODE_TITLES
from gcseg.runs.shapes import ANALYSIS, ANYTHING, ENVIRONMENT, MOST_CLASSES, RESULTS
from gcseg.runs.shown import Curve, mapping, parsed, shown_curves, shown_record, shown_text
from gcseg.system.records import LARGEST_YAML
from gcseg.system.text import as_override


@dataclass
class Evaluation:
    """One entry of results.json.

    Args:
        name: Name of the entry: a mode of test-time augmentation, and after "@" what is unusual.
        record: Values of the entry.
        analysis: Contents of its analysis file; None if there is none.
        confusion: Confusion matrix from its file; None if there is none.
    """

    name: str
    record: Mapping[str, Any]
    analysis: Mapping[str, Any] | None = None
    confusion: Confusion | None = None

    @property
    def title(self) -> str:
        """The title in tables."""
        mode, *more = self.name.split("@")
        return ", ".join([MODE_TITLES.get(mode, mode), *more])


@dataclass
class RunFiles:
    """A run folder's files.

    Args:
        folder: The run folder.
        config: Contents of config.yaml; empty if it can't be read.
        config_text: Text of config.yaml.
        environment: Contents of environment.json; empty if it can't be read.
        results: Contents of results.json; empty if it can't be read.
        evaluations: Evaluations of results.json, those of the training's own protocol first.
        curves: Columns of metrics.csv, by name.
        notices: Notices on files that are missing or damaged.
    """

    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    config_text: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    evaluations: Sequence[Evaluation] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    @property
    def place(self) -> Path:
        """The run folder as commands given here name it."""
        path, here = self.folder.resolve(), Path.cwd()
        return path.relative_to(here) if path.is_relative_to(here) else self.folder

    def argument(self, key: str) -> str:
        """Return a command's setting with the run folder as its value, ready to paste."""
        return shlex.quote(as_override(key, self.place))

    @property
    def main(self) -> list[Evaluation]:
        """The evaluations under the training's own protocol: those whose names are modes alone."""
        return [one for one in self.evaluations if "@" not in one.name]

    @property
    def shown(self) -> Evaluation | None:
        """The evaluation shown in detail: the first one with an analysis, or else the first."""
        analysed = [one for one in self.evaluations if one.analysis is not None]
        return next(iter([*analysed, *self.evaluations]), None)


def read_run(folder: Path) -> RunFiles:
    """Read the files of a run folder; what is missing or damaged becomes a notice.

    Raises:
        OutputError: There is no such folder.
    """
    if not os.path.isdir(folder):  # noqa: PTH112  # takes names of any length
        raise OutputError(f"{folder} is not a run folder", "give runs/<name>")
    run = RunFiles(folder)
    run.config_text = shown_text(folder, CONFIG_FILE, run.notices, LARGEST_YAML) or ""
    run.config = parsed(CONFIG_FILE, run.config_text, ANYTHING, run.notices)
    run.environment = shown_record(folder, ENVIRONMENT_FILE, ENVIRONMENT, run.notices)
    run.results = shown_record(folder, RESULTS_FILE, RESULTS, run.notices)
    run.evaluations = _evaluations(run)
    run.curves = shown_curves(folder, run.notices)
    return run


def _evaluations(run: RunFiles) -> list[Evaluation]:
    found = []
    analyses: dict[str, Mapping[str, Any] | None] = {}  # each file is read once
    confusions: dict[str, Confusion | None] = {}
    for name, record in mapping(run.results, "evaluations").items():
        one = Evaluation(name, record)
        if path := record.get("analysis"):
            key = os.path.realpath(run.folder / path)
            if key not in analyses:
                analyses[key] = shown_record(run.folder, path, ANALYSIS, run.notices) or None
            one.analysis = analyses[key]
        if path := record.get("confusion"):
            key = os.path.realpath(run.folder / path)
            if key not in confusions:
                confusions[key] = _confusion(run, path)
            one.confusion = confusions[key]
        found.append(one)
    order = list(MODE_TITLES)
    usual = {one.name: order.index(one.name) for one in found if one.name in order}
    return sorted(found, key=lambda one: ("@" in one.name, usual.get(one.name, len(order))))


def _confusion(run: RunFiles, path: str) -> Confusion | None:
    content = shown_text(run.folder, path, run.notices)
    if content is None:
        return None
    found = read_confusion(content)
    if found is None:
        run.notices.append(
            f"{path} is damaged: it is not a table with as many rows "
            f"as columns, at most {MOST_CLASSES}."
        )
    return found
