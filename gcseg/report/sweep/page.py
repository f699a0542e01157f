"""Page of a sweep's report: its settings side by side, in one self-contained file."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from urllib.parse import quote

from gcseg.report.sweep.charts import cost_charts, curves_chart, length_charts, settings_chart
from gcseg.report.sweep.overview import overview
from gcseg.report.sweep.scores import Setting, best, modes, repeats, settings, varied
from gcseg.report.sweep.sections import add_classes, add_differences, add_extras, folded
from gcseg.report.sweep.sheets import Sheet
from gcseg.report.sweep.tables import MOST_SETTINGS, label, mode_name, of_setting
from gcseg.report.sweep.trainings import Training, read_trainings
from gcseg.runs.folder import REPORT_FILE
from gcseg.runs.shapes import MULTIRUN
from gcseg.runs.shown import mapping, number, shown_record
from gcseg.sweeps.ledger import Job
from gcseg.system.text import percent
from gcseg.visualization.html import (
    Document,
    Markup,
    command,
    details,
    facts,
    grid,
    notice,
    table,
    text,
)

_FEW = 8
"""Most lines on unfinished jobs that are not folded."""

_NOISE = (
    "Intervals of the mean are Student's, those of differences Welch's; a difference whose "
    "interval holds 0 is within the noise."
)
_COST = (
    "Parameters with those of the auxiliary head; a multiplication and an addition are two "
    "operations. Intervals are Student's, at 95 %."
)
_DIFFERENCES = (
    "Intervals are Student's over pairs of one seed, at 95 % for each comparison alone. Supported: "
    "the whole interval is where the claim says; not supported: the whole interval is where it "
    "says it is not. The last column is the number of seeds that would tell, with a probability of "
    "80 %, if the true difference and spread are the observed ones."
)
_BANDS = "Bands reach from the lowest to the highest score, and lines are their means."
_ALONE = "A setting without a line has marks for its lowest, mean and highest score."


def write_sweep_report(
    folder: Path,
    jobs: Sequence[Job],
    output: Path | None = None,
    notices: Sequence[str] = (),
    root: Path | None = None,
) -> Path:
    """Write the page that compares the runs of a sweep.

    The page names what is missing because a run is not finished, was removed or is damaged.

    Args:
        folder: Folder of the sweep.
        jobs: All jobs of the sweep, finished or not.
        output: Path of the page; report.html in the sweep's folder by default.
        notices: Notices on what is left out of the jobs.
        root: Folder that contains the run folders; None for two folders above the sweep's.

    Returns:
        Path of the page.

    Raises:
        OutputError: The page can't be written.
    """
    output = folder / REPORT_FILE if output is None else output
    rows, columns = settings(jobs), modes(jobs)
    columns = [mode for mode in columns if any(row.in_mode(mode) for row in rows)]
    trainings = read_trainings(folder, jobs, root)
    page = Document(f"Sweep {folder.absolute().name}", _subtitle(rows, jobs))
    tables = overview(folder, jobs, trainings)
    _add_scores(page, rows, columns, jobs, tables.scores, [*tables.unfinished, *notices])
    for heading, sheet, explanation, remarks in (
        ("Cost and score", tables.cost, _COST, tables.cost_notes),
        ("Differences", tables.differences, _DIFFERENCES, tables.difference_notes),
        (f"Noise of {repeats(rows)}", tables.noise, _NOISE, ()),
    ):
        if sheet is not None:
            shown = folded(_sheet(sheet), len(sheet.rows))
            page.add(heading, *map(notice, remarks), shown, note=f"{sheet.title}. {explanation}")
    if columns:
        _add_charts(page, rows, columns, trainings)
    else:
        _add_curves(page, rows, "none", trainings)
    if columns:
        add_classes(page, rows, columns[0], trainings)
        add_extras(page, rows, columns, trainings)
    add_differences(page, rows, columns, trainings)
    _add_runs(page, rows, trainings, output)
    _add_command(page, folder, jobs)
    return page.write(output)


def _subtitle(rows: Sequence[Setting], jobs: Sequence[Job]) -> str:
    """Return a line on what was varied."""
    words = []
    for name, given in varied(jobs).items():
        values = [value or "-" for value in given]
        more = f", ... ({len(values)})" if len(values) > MOST_SETTINGS else ""
        words.append(f"{name}: {', '.join(values[:MOST_SETTINGS])}{more}")
    return "; ".join(words) or (rows[0].name if rows else "")


def _add_scores(
    page: Document,
    rows: Sequence[Setting],
    columns: Sequence[str],
    jobs: Sequence[Job],
    sheet: Sheet | None,
    unfinished: Sequence[str],
) -> None:
    """Add the table of mIoU, and lines on the jobs that are missing in it."""
    states = Counter(str(job.state) for job in jobs)
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    known = {"jobs": f"{len(jobs)} ({told})" if jobs else "0", "settings": str(len(rows))}
    for mode in columns:
        winner = best(rows, mode)
        if winner is not None and len(rows) > 1:
            score = percent(fmean(winner.in_mode(mode)))
            known[f"best, {mode_name(mode)}"] = f"{label(winner)}: {score} %"
    parts: list[str] = [facts(known)]
    if not columns:
        parts.append(notice("No job has a score yet." if jobs else "The sweep has no jobs."))
    if unfinished:
        lines = Markup(f"<ul>{''.join(f'<li>{text(line)}</li>' for line in unfinished)}</ul>")
        missing = f"{len(jobs) - states['done']} of {len(jobs)} jobs are not finished."
        few = len(unfinished) <= _FEW
        parts += [
            notice(missing),
            lines if few else details("Unfinished jobs and the reasons", lines),
        ]
    parts += [] if sheet is None else [_sheet(sheet)]
    note = "" if sheet is None else f"{sheet.title}; the best of each column is bold."
    page.add("Scores", *parts, note=note)


def _add_charts(
    page: Document,
    rows: Sequence[Setting],
    columns: Sequence[str],
    trainings: Mapping[str, Training],
) -> None:
    lengths = length_charts(rows, columns)
    bars = settings_chart(rows, columns[0])
    costs = cost_charts(rows, trainings, columns[0])
    if lengths:
        page.add("Length of training", grid(*lengths), note=_about_bands(rows))
    elif bars is not None:  # all train equally long
        page.add("Settings", bars)
    if costs:
        page.add("Cost of training", grid(*costs), note=_about_bands(rows, _ALONE))
    _add_curves(page, rows, columns[0], trainings)


def _add_curves(
    page: Document, rows: Sequence[Setting], mode: str, trainings: Mapping[str, Training]
) -> None:
    chart = curves_chart(rows, trainings, mode)
    if chart is not None:
        note = f"Validations in training, without augmentation. {_about_bands(rows)}"
        page.add("Curves", chart, note=note.strip())


def _about_bands(rows: Sequence[Setting], more: str = "") -> str:
    """Return an explanation of the charts' bands; empty if no setting has several trainings."""
    several = any(len({job.training for job in row.jobs}) > 1 for row in rows)
    return f"{_BANDS} {more}".strip() if several else ""


def _add_runs(
    page: Document, rows: Sequence[Setting], trainings: Mapping[str, Training], output: Path
) -> None:
    """Add a row for each training, with a link to its report."""
    names = list(rows[0].values) if rows else []
    cells = []
    seen = set()
    for setting in rows:
        for training in of_setting(setting, trainings):
            if id(training) in seen:  # listed already with another evaluation
                continue
            seen.add(id(training))
            remarks = [*training.lost, *(job.error for job in training.jobs)]
            parameters = number(training.results, "model", "parameters")
            cells.append([
                *(value or "-" for value in setting.values.values()),
                training.seed,
                *([training.fold] if "folds" in repeats(rows) else []),
                training.state,
                _link(training, output),
                "; ".join(dict.fromkeys(remark for remark in remarks if remark)),
                "" if parameters is None else f"{parameters / 1e6:.2f}",
                _rounded(training.hours),
                _rounded(training.petaflop),
            ])  # fmt: skip
    if cells:
        folds = ["fold"] if "folds" in repeats(rows) else []
        header = [*names, "seed", *folds, "state", "run", "remark"]
        header += ["parameters, M", "device hours", "PFLOP"]
        lost = sum(bool(training.lost) for training in trainings.values())
        page.add(
            "Runs",
            notice(f"{lost} runs have missing or damaged files: see the remarks.") if lost else "",
            folded(table(header, cells, texts=len(names) + 4 + len(folds)), len(cells)),
            note="Links lead to the reports of the runs that have one. Device hours and PFLOP "
            "are those of training.",
        )


def _add_command(page: Document, folder: Path, jobs: Sequence[Job]) -> None:
    words = _words(folder)
    if words is not None:
        page.add("Command", command(shlex.join(["python", "-m", "gcseg.train", "-m", *words])))
    elif jobs:
        shared = set.intersection(*(set(job.overrides) for job in jobs))
        common = [one for one in jobs[0].overrides if one in shared]
        page.add(
            "Command",
            f"The sweep's multirun.yaml can't be read. All jobs have: {' '.join(common) or '-'}",
        )


def _words(folder: Path) -> list[str] | None:
    """Return the command line's overrides from Hydra's record; None if there is none."""
    odd: list[str] = []
    given = mapping(shown_record(folder, "multirun.yaml", MULTIRUN, odd), "hydra", "overrides")
    if odd or not {"task", "hydra"} <= given.keys():
        return None
    hydra = [one for one in given["hydra"] if not one.startswith("hydra.mode=")]
    return [*given["task"], *hydra]


def _link(training: Training, output: Path) -> str:
    """Return a run's name, with a link to its report if there is one."""
    if training.folder is None:
        return "-"
    page = training.folder / REPORT_FILE
    if not page.is_file():
        return training.folder.name
    # Not resolved: a browser follows the folders of the address, not the targets of links.
    there = os.path.relpath(page.absolute(), output.parent.absolute())
    return Markup(f'<a href="{quote(os.fsencode(there))}">{text(training.folder.name)}</a>')


def _rounded(cost: float | None) -> str:
    """Return a cost with three digits, or with all those before the point."""
    if cost is None:
        return ""
    return f"{cost:.0f}" if cost >= 1000 else f"{cost:.3g}"


def _sheet(sheet: Sheet) -> Markup:
    return table(sheet.header, sheet.rows, bold=sheet.bold, texts=sheet.texts)
