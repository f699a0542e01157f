"""Published networks beside the GCNet of the same framework, backbone, data and training."""

from __future__ import annotations

from collections.abc import Sequence

from gcseg.runs.modes import MODE_TITLES
from gcseg.zoo.published import Record


def differences(records: Sequence[Record], framework: str, network: str, mode: str) -> list[float]:
    """Return how far a network's published mIoU is above GCNet's, in points of percent.

    Args:
        records: Published checkpoints.
        framework: Framework that published both.
        network: Name of the network, as in a record.
        mode: Mode of test-time augmentation.

    Returns:
        A difference for each setting in which both have a score; corrected scores are taken where
        there are any.
    """
    gcnets = {_setting(one): one for one in records if one.network == "gcnet"}
    found = []
    for record in records:
        gcnet = gcnets.get(_setting(record))
        if (record.framework, record.network) != (framework, network) or gcnet is None:
            continue
        ours, theirs = _score(record, mode), _score(gcnet, mode)
        if ours is not None and theirs is not None:
            found.append(100 * (ours - theirs))
    return found


def matched_table(records: Sequence[Record]) -> str:
    """Return a Markdown table of the differences of all networks from GCNet."""
    names = dict.fromkeys((one.framework, one.network) for one in records if one.network)
    lines = [
        "| framework | network | score | rows | above GCNet | mean difference | from | to |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for framework, network in names:
        for mode, title in MODE_TITLES.items():
            found = differences(records, framework, network, mode)
            if network == "gcnet" or not found:
                continue
            above = sum(round(one, 2) > 0 for one in found)
            numbers = (sum(found) / len(found), min(found), max(found))
            cells = [framework, network, title, str(len(found)), str(above)]
            lines.append(f"| {' | '.join([*cells, *(f'{one:+.2f}' for one in numbers)])} |")
    return "\n".join(lines)


def _setting(record: Record) -> tuple[object, ...]:
    """Return everything but the head in which two trainings may differ."""
    architecture = record.architecture
    network = (record.framework, architecture.get("backbone"), architecture["variant"])
    return *network, record.dataset, record.crop, record.iters, record.batch_size


def _score(record: Record, mode: str) -> float | None:
    return record.corrected.get(mode, record.miou.get(mode))
