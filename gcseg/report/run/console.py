"""Output of `gcseg.eval explain=true`: scores of the same predictions under other conventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from gcseg.system.terminal import TextConsole
from gcseg.system.text import percent


def print_explanations(analyses: Mapping[str, Mapping[str, Any]]) -> None:
    """Print mIoU under each convention with its reason, boundary IoU and calibration.

    Args:
        analyses: Analyses from `gcseg.runs.analysis.analysis`, by name; at least one.
    """
    console = TextConsole()
    first = next(iter(analyses.values()))
    table = Table(title="the same predictions under each convention", title_justify="left")
    table.add_column("mIoU, %")
    for name in analyses:
        table.add_column(name, justify="right")
    for convention in first["conventions"]:
        found = [analysis["conventions"][convention]["miou"] for analysis in analyses.values()]
        table.add_row(convention, *(percent(one, "-") for one in found))
    if first["categories"]:
        table.add_section()
        for category in first["categories"]:
            found = [analysis["categories"][category] for analysis in analyses.values()]
            table.add_row(f"category {category}", *(percent(one, "-") for one in found))
    table.add_section()
    for title, group, key in (
        ("boundary IoU", "boundary", "miou"),
        ("expected calibration error", "calibration", "ece"),
    ):
        table.add_row(
            title, *(percent(analysis[group][key], "-") for analysis in analyses.values())
        )
    console.print(table)
    for convention, entry in first["conventions"].items():
        console.print(f"{convention}: {entry['reason']}")
