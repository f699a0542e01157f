"""Compare the scores that a published folder claims with its confusion matrices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from gcseg.metrics.scores import scores
from gcseg.publishing.card import model_index, scores_section
from gcseg.publishing.compare import Counts
from gcseg.publishing.evaluations import Scored
from gcseg.publishing.names import CARD, boundary
from gcseg.runs.folder import CONFIG_FILE, RESULTS_FILE
from gcseg.runs.shapes import RESULTS, checked
from gcseg.system.records import RecordError, parse_json, parse_yaml, read_text
from gcseg.system.text import shown

_ROUNDED = 1e-9
"""Largest difference of a score that is summed in another order."""
_LARGEST_CARD = 2**20
_LARGEST_SETTINGS = 2**18


def card_fault(folder: Path, evaluations: Mapping[str, Scored]) -> tuple[str | None, bool]:
    """Compare the scores in a model card's metadata and table with results.json.

    Args:
        folder: The published folder.
        evaluations: The published evaluations by name.

    Returns:
        What is wrong, in words, or None; and whether the section of scores is as it was written.

    Raises:
        FileNotFoundError: There is no model card.
    """
    within = boundary(folder)
    try:
        text = read_text(folder / CARD, _LARGEST_CARD, within=within).replace("\r\n", "\n")
    except RecordError as error:
        return f"can't be read: {error}", False
    try:
        results = read_results(folder)
        settings = parse_yaml(read_text(folder / CONFIG_FILE, _LARGEST_SETTINGS, within=within))
        meant = model_index(results, evaluations, str(settings["dataset"]["name"]))
        section = "\n\n".join(scores_section(results, evaluations))
    except (OSError, RecordError, LookupError, TypeError, AttributeError):
        return f"{RESULTS_FILE} or {CONFIG_FILE} does not show which scores it may claim", False
    if _metadata(text).get("model-index") != meant:
        return f"its metadata claims other scores than {RESULTS_FILE}", False
    there = _sections(text, section.partition("\n")[0])
    rows = [row for one in there for row in _rows(one)]
    if rows and rows != _rows(section):
        return f"its table of scores is not that of {RESULTS_FILE}", False
    return None, there == [section]


def read_results(folder: Path) -> dict[str, Any]:
    """Read results.json of a published folder.

    Raises:
        FileNotFoundError: It is missing.
        RecordError: It is damaged.
    """
    text = read_text(folder / RESULTS_FILE, within=boundary(folder))
    results: dict[str, Any] = checked(parse_json(text), RESULTS)
    return results


def other_scores(record: Mapping[str, Any], counts: Counts, classes: Sequence[str]) -> list[str]:
    """Name the scores of a record that are not those of a confusion matrix.

    Args:
        record: Record of an evaluation in results.json.
        counts: Confusion matrix.
        classes: Names of the C classes.

    Returns:
        A line for each score; empty if all are those of the matrix.
    """
    lines = []
    for name, value in asdict(scores(torch.from_numpy(counts), classes)).items():
        claimed = record.get(name)
        if not isinstance(value, dict):
            pairs = [(name, claimed, value)]
        elif isinstance(claimed, Mapping) and claimed.keys() == value.keys():
            pairs = [(f"{name} of {shown(one)}", claimed[one], value[one]) for one in value]
        else:
            lines.append(f"{name} is not of the network's classes")
            continue
        lines += [f"{what} {_number(one)} instead of {_number(other)}"
                  for what, one, other in pairs if not _equal(one, other)]  # fmt: skip
    return lines


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _ROUNDED


def _number(score: float | None) -> str:
    return "unknown" if score is None else f"{100 * score:.8g} %"


def _metadata(text: str) -> Mapping[str, Any]:
    """Return the metadata of a model card; empty if it has none that can be read."""
    found = re.match(r"---\n(.*?)\n---\s", text, re.DOTALL)
    try:
        metadata = parse_yaml(found[1]) if found else None
    except RecordError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _sections(text: str, heading: str) -> list[str]:
    """Return the sections of a Markdown text that have a heading."""
    parts = re.split(r"^(?=##? )", text, flags=re.MULTILINE)
    return [part.rstrip() for part in parts if part.partition("\n")[0].rstrip() == heading]


def _rows(section: str) -> list[str]:
    """Return the rows of the tables in a Markdown section."""
    return [line.strip() for line in section.splitlines() if line.lstrip().startswith("|")]
