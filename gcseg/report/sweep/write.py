"""Output of a sweep at its end: sweep.csv with all values, sweep.txt, a plot, a page."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gcseg.errors import GcsegError
from gcseg.report.sweep.costs import read_timings, setting_cost
from gcseg.report.sweep.overview import Overview, overview
from gcseg.report.sweep.page import write_sweep_report
from gcseg.report.sweep.plot import write_plot
from gcseg.report.sweep.scores import (
    job_modes,
    modes,
    overrides,
    settings,
    varying,
)
from gcseg.report.sweep.sheets import markdown, print_sheets
from gcseg.report.sweep.trainings import Training, read_trainings
from gcseg.runs.shown import mapping, miou
from gcseg.sweeps.ledger import Job
from gcseg.system.files import atomic_write
from gcseg.system.terminal import announce
from gcseg.system.text import printable


def write_summary(folder: Path, jobs: Sequence[Job], root: Path | None = None) -> None:
    """Write sweep.csv, sweep.txt, the plot and report.html, then print the tables of a sweep.

    Args:
        folder: Folder of the sweep.
        jobs: All jobs of the sweep, finished or not.
        root: Folder that contains the run folders; None for two folders above the sweep's.

    Raises:
        OutputError: The folder can't be written.
    """
    tables = write_tables(folder, jobs, root)
    write_plot(folder, settings(jobs), modes(jobs))
    try:
        write_sweep_report(folder, jobs, None, (), root)
    except (OSError, GcsegError) as error:
        announce(f"no report of the sweep: {error}")
    try:
        print_sheets(tables.sheets, tables.lines)
    except (BrokenPipeError, SystemExit):  # a closed pipe, as with head; rich would exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_tables(folder: Path, jobs: Sequence[Job], root: Path | None = None) -> Overview:
    """Write sweep.csv and sweep.txt, and return the tables.

    Args:
        folder: Folder of the sweep.
        jobs: All jobs of the sweep, finished or not.
        root: Folder that contains the run folders; None for two folders above the sweep's.

    Raises:
        OutputError: The folder can't be written.
    """
    trainings = read_trainings(folder, jobs, root)
    tables = overview(folder, jobs, trainings)
    with atomic_write(folder / "sweep.csv") as file:
        file.write(_csv(folder, jobs, trainings).encode())
    with atomic_write(folder / "sweep.txt") as file:
        text = [f"{printable(sheet.title)}\n\n{markdown(sheet)}" for sheet in tables.sheets]
        text.append("\n".join(map(printable, tables.lines)))
        file.write(("\n\n".join(text).strip() + "\n").encode())
    return tables


def _csv(folder: Path, jobs: Sequence[Job], trainings: Mapping[str, Training]) -> str:
    """Return the text of sweep.csv: a row per job and mode, scores as unrounded fractions."""
    names = varying(jobs)
    timings = read_timings(folder)
    costs = {job.key: setting_cost(row, trainings, timings)
             for row in settings(jobs) for job in row.jobs}  # fmt: skip
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")

    def write(cells: Sequence[Any]) -> None:
        writer.writerow([printable(cell) if isinstance(cell, str) else cell for cell in cells])

    write(
        ["number", *names, "state", "run", "mode", "miou", "mean_f1", "pixel_accuracy",
         "training_seconds", "evaluation_seconds", "images_per_second", "parameters", "flops",
         "height", "width", "milliseconds", "fastest_milliseconds", "device", "error"]
    )  # fmt: skip
    for job in jobs:
        training = mapping(trainings[job.training].results, "training")
        cost = costs[job.key]
        for mode in job_modes(job) or [""]:
            record = (job.evaluations or {}).get(mode, {})
            write(
                [job.number, *overrides(job, names).values(), job.state, job.run, mode,
                 miou(record), record.get("mean_f1"), record.get("pixel_accuracy"),
                 training.get("seconds"), record.get("seconds"),
                 training.get("images_per_second"), cost.parameters, cost.flops, cost.height,
                 cost.width, cost.milliseconds, cost.fastest, cost.device, job.error]
            )  # fmt: skip
    return file.getvalue()
