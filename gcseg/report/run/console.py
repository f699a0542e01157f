"""What `gcseg.eval explain=true` prints: the same predictions, counted in other ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from gcseg.system.terminal import TextConsole


def print_explanations(analyses: Mapping[str, Mapping[str, Any]]) -> None:
    """Print mIoU under each convention with its reason, boundary IoU and calibration.

    Args:
        analyses: As `gcseg.runs.analysis.analysis` makes them, by name; at least one.
    """
    console = TextConsole()
    first = next(iter(analyses.values()))
    table = Table(title="the same predictions under each convention", title_justify="left")
    table.add_column("mIoU, %")
    for name in analyses:
        table.add_column(name, justify="right")
    for convention in first["conventions"]:
        found = [analysis["conventions"][convention]["miou"] for analysis in analyses.values()]
        table.add_row(convention, *map(_percent, found))
    if first["categories"]:
        table.add_section()
        for category in first["categories"]:
            found = [analysis["categories"][category] for analysis in analyses.values()]
            table.add_row(f"category {category}", *map(_percent, found))
    table.add_section()
    for title, group, key in (
        ("boundary IoU", "boundary", "miou"),
        ("expected calibration error", "calibration", "ece"),
    ):
        table.add_row(title, *(_percent(analysis[group][key]) for analysis in analyses.values()))
    console.print(table)
    for convention, entry in first["conventions"].items():
        console.print(f"{convention}: {entry['reason']}")


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f}"
