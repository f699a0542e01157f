"""Comparison with published scores in a run's report."""

from __future__ import annotations

from collections.abc import Sequence

from gcseg.runs.modes import MODE_TITLES
from gcseg.runs.reading import RunFiles
from gcseg.runs.shown import mapping, number
from gcseg.system.text import percent
from gcseg.visualization.html import command, table
from gcseg.zoo import catalogue
from gcseg.zoo.published import IMAGES, Record

_HEADER = ["published checkpoint", "mode", "published", "corrected", "measured here", "difference"]


def published_parts(run: RunFiles) -> list[str]:
    """Return a table of the run's scores and published ones; or a line on why there is none."""
    dataset = str(run.results.get("dataset") or mapping(run.config, "dataset").get("name") or "")
    known = [one for one in catalogue.records() if one.kind == "network"]
    there = [one for one in known if one.dataset == dataset]
    if not there:
        datasets = ", ".join(dict.fromkeys(one.dataset for one in known))
        return [
            f"Nothing is published for {dataset or 'this dataset'}: "
            f"there are networks for {datasets} only."
        ]
    head = run.results.get("head")
    there = [one for one in there if one.head == head] or [one for one in there if one.head == "gc"]
    records, selection = _chosen(run, there)
    rows = [row for record in records for row in _rows(run, record, whole=record is records[0])]
    bold = {(place, _HEADER.index("difference")) for place, row in enumerate(rows) if row[-1]}
    parts: list[str] = [table(_HEADER, rows, bold=bold, texts=2), selection]
    parts += _reservations(run, records[0])
    if records[0].experiment:
        line = f"python -m gcseg.eval published={records[0].experiment} dataset.root=..."
        parts += ["To score the published weights:", command(line)]
    return parts


def _rows(run: RunFiles, record: Record, *, whole: bool) -> list[list[str]]:
    """Return a row for each mode in which a checkpoint has published scores.

    Args:
        run: The run, for its own scores.
        record: The published checkpoint.
        whole: Whether modes that only the run has get a row too.
    """
    measured = {one.name: number(one.record, "miou") for one in run.main}
    rows = []
    for mode, title in MODE_TITLES.items():
        published, corrected = record.miou.get(mode), record.corrected.get(mode)
        own = measured.get(mode)
        if published is None and (own is None or not whole):
            continue
        aim = published if corrected is None else corrected
        difference = None if own is None or aim is None else own - aim
        cells = [percent(published), percent(corrected), percent(own)]
        rows.append([record.name, title, *cells, percent(difference, sign="+")])
    return rows


def _chosen(run: RunFiles, records: Sequence[Record]) -> tuple[list[Record], str]:
    """Return the most comparable records, the run's own first, and the basis of the choice."""
    own = mapping(run.config, "published").get("checkpoint")
    backbone = run.results.get("backbone") or mapping(run.config, "backbone").get("name")
    framework = mapping(run.config, "protocol").get("name")
    same = [one for one in records if one.architecture.get("backbone") == backbone]
    wanted = {
        "dataset": list(records),
        "dataset and framework": [one for one in records if one.framework == framework],
        "dataset and backbone": same,
        "dataset, backbone and framework": [one for one in same if one.framework == framework],
    }
    words, chosen = [(words, found) for words, found in wanted.items() if found][-1]
    chosen = [one for one in records if one.name == own] + [
        one for one in chosen if one.name != own
    ]
    text = f"mIoU in percent; published checkpoints of the same {words}"
    if own is not None and chosen[0].name == own:
        text += ", that of this run's recipe first"
    if any(one.corrected for one in chosen):
        text += "; corrected: published again after an error in the measurement was fixed"
    return chosen, f"{text}. The difference is from the corrected score, if there is one."


def _reservations(run: RunFiles, record: Record) -> list[str]:
    """Return the limits of the comparison."""
    said = []
    head = run.results.get("head")
    if head not in (None, record.head):
        said.append(f"the head here is {head}, the published networks have {record.head}")
    images = {int(count) for one in run.main if (count := number(one.record, "images")) is not None}
    theirs = IMAGES.get(record.dataset)
    if theirs is not None and images - {theirs}:
        counts = " or ".join(map(str, sorted(images)))
        said.append(f"measured on {counts} images, published on {theirs}")
    return [f"Note: {'; '.join(said)}."] if said else []
