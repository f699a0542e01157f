"""Tables of a sweep's scores, as text, Markdown or terminal output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.styled import Styled
from rich.table import Table

from gcseg.report.sweep.scores import (
    Setting,
    best,
    compare,
    overrides,
    repeats,
    varying,
)
from gcseg.report.sweep.statistics import mean
from gcseg.runs.modes import SHORT_MODE_TITLES
from gcseg.sweeps.ledger import Job
from gcseg.system.terminal import TextConsole
from gcseg.system.text import percent, printable

_NUMBERS_NAMED = 8
"""Most jobs of one note that are named by their numbers."""


@dataclass(frozen=True)
class Sheet:
    """A table to print or write: cells are texts; `bold` has the (row, column) of bold cells."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int  # number of first columns that hold text
    bold: frozenset[tuple[int, int]] = frozenset()


def print_sheets(sheets: Iterable[Sheet], lines: Iterable[str] = ()) -> None:
    """Print tables in their full width, and lines below them."""
    console = TextConsole()
    for sheet in sheets:
        table = Table(title=sheet.title, title_justify="left")
        for place, name in enumerate(sheet.header):
            justify = "left" if place < sheet.texts else "right"
            table.add_column(name, no_wrap=True, justify=justify)  # type: ignore[arg-type]
        for row, cells in enumerate(sheet.rows):
            table.add_row(
                *(
                    Styled(cell, "bold") if (row, column) in sheet.bold else cell
                    for column, cell in enumerate(cells)
                )
            )
        wide = console.options.update(width=10_000)  # long lines are better than cut numbers
        console.width = max(console.width, console.measure(table, options=wide).maximum)
        console.print(table)
    for line in lines:
        console.print(line)


def scores_sheet(rows: Sequence[Setting], columns: Sequence[str]) -> Sheet | None:
    """Return a row per setting and a column per mode, the best of each column in bold.

    None if there are no settings or no modes.
    """
    if not rows or not columns:
        return None
    names = list(rows[0].values)
    winners = {mode: best(rows, mode) for mode in columns}
    bold = {
        (row, len(names or [""]) + column)
        for row, setting in enumerate(rows)
        for column, mode in enumerate(columns)
        if setting is winners[mode] and len(rows) > 1
    }
    several = any(len(setting.in_mode(mode)) > 1 for setting in rows for mode in columns)
    return Sheet(
        "mIoU in percent"
        + (f", mean ± standard deviation over {repeats(rows)}" if several else ""),
        [*(names or ["setting"]), *(SHORT_MODE_TITLES.get(mode, mode) for mode in columns)],
        [[*_named(setting), *(_cell(setting, mode) for mode in columns)] for setting in rows],
        len(names or [""]),
        frozenset(bold),
    )


def noise_sheet(rows: Sequence[Setting], columns: Sequence[str]) -> Sheet | None:
    """Return a row per mode and setting: its mean's interval, and its difference from the best.

    None if no setting has several scores.
    """
    if not any(len(setting.in_mode(mode)) > 1 for setting in rows for mode in columns):
        return None
    names = list(rows[0].values) or ["setting"]
    header = ["mode", *names, repeats(rows), "mean", "sd", "95 % interval"]
    if len(rows) > 1:
        header += ["to the best", "95 % interval", "which is"]
    lines = []
    for mode in columns:
        winner = best(rows, mode)
        for setting in rows:
            if not setting.in_mode(mode) or winner is None:
                continue
            of = mean(setting.in_mode(mode))
            line = [
                SHORT_MODE_TITLES.get(mode, mode),
                *_named(setting),
                str(of.count),
                percent(of.value),
            ]
            line.append("" if of.deviation is None else percent(of.deviation))
            line.append(interval(of.value, of.margin))
            if len(rows) > 1:
                line += _to_the_best(setting, winner, mode)
            lines.append(line)
    return Sheet(f"mIoU in percent over {repeats(rows)}", header, lines, 1 + len(names))


def interval(value: float, margin: float | None, sign: str = "") -> str:
    """Return the interval around a fraction, in percent; empty if there is none."""
    if margin is None:
        return ""
    return f"{percent(value - margin, sign=sign)} to {percent(value + margin, sign=sign)}"


def _to_the_best(setting: Setting, winner: Setting, mode: str) -> list[str]:
    if setting is winner:
        return ["", "", "the best"]
    change = compare(winner, setting, mode)
    unknown = "unknown: one training" if change.margin is None else "unknown: equal scores"
    verdict = {True: "within the noise", False: "more than noise", None: unknown}
    return [
        percent(change.value, sign="+"),
        interval(change.value, change.margin, "+"),
        verdict[change.in_the_noise],
    ]


def _named(setting: Setting) -> list[str]:
    return [value or "-" for value in setting.values.values()] or [setting.name]


def _cell(setting: Setting, mode: str) -> str:
    """Return a mean with a note on missing scores, or the reason why there is none."""
    scores, jobs = setting.in_mode(mode), setting.expected(mode)
    if not scores:
        missing = next((job for job in jobs if job.state != "done"), None)
        return missing.state if missing else "no score" if jobs else ""
    of = mean(scores)
    text = percent(of.value)
    if of.deviation is not None:
        text += f" ± {percent(of.deviation)}"
    wanted = len({job.training for job in jobs})
    return text if wanted == of.count else f"{text} ({of.count} of {wanted})"


def unfinished(jobs: Sequence[Job]) -> list[str]:
    """Return lines on jobs without result and on those that stopped early.

    A line has the jobs' state, the reason and their log.
    """
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        if job.state != "done":
            groups.setdefault((job.state, job.error or ""), []).append(job)
        elif job.stopped_at is not None:
            at = f"at step {job.stopped_at} of {job.settings['iters']}"
            groups.setdefault(("stopped early", at), []).append(job)
    names = varying(jobs)
    lines = []
    for (state, error), group in groups.items():
        if len(group) == 1:
            values = " ".join(f"{k}={v}" for k, v in overrides(group[0], names).items() if v)
            who = f"job {group[0].number}" + (f" ({values})" if values else "")
        else:
            numbers = ", ".join(str(job.number) for job in group[:_NUMBERS_NAMED])
            more = ", ..." if len(group) > _NUMBERS_NAMED else ""
            who = f"{len(group)} jobs ({numbers}{more})"
        line = f"{state}: {who}" + (f": {error}" if error else "")
        log = next((job.log for job in group if job.log is not None), None)
        lines.append(line + (f"; log: {log}" if log is not None and state != "pending" else ""))
    return lines


def markdown(sheet: Sheet) -> str:
    """Return a table in Markdown with aligned columns."""
    cells = [[_escaped(cell) for cell in line] for line in [sheet.header, *sheet.rows]]
    for row, column in sheet.bold:
        cells[row + 1][column] = f"**{cells[row + 1][column]}**"
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    rule = [
        "-" * width if place < sheet.texts else "-" * (width - 1) + ":"
        for place, width in enumerate(widths)
    ]
    lines = []
    for line in [cells[0], rule, *cells[1:]]:
        padded = [
            cell.ljust(width) if place < sheet.texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(padded)} |")
    return "\n".join(lines)


def _escaped(cell: str) -> str:
    return printable(" ".join(cell.replace("|", "\\|").split()))
