"""Output of a sweep at its end: sweep.csv with all values, sweep.txt, a plot, a page."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gcseg.errors import GcsegError, OutputError
from gcseg.report.sweep.page import write_sweep_report
from gcseg.report.sweep.plot import write_plot
from gcseg.report.sweep.scores import (
    job_modes,
    modes,
    overrides,
    settings,
    varying,
)
from gcseg.report.sweep.sheets import markdown, print_sheets, summary
from gcseg.report.sweep.trainings import find_run
from gcseg.runs.folder import RESULTS_FILE
from gcseg.runs.shapes import RESULTS
from gcseg.runs.shown import mapping, miou, shown_record
from gcseg.sweeps.ledger import Job
from gcseg.system.files import atomic_write
from gcseg.system.terminal import announce
from gcseg.system.text import printable


def write_summary(folder: Path, jobs: Sequence[Job], root: Path | None = None) -> None:
    """Write sweep.csv, sweep.txt, the plot and report.html, then print the table of a sweep.

    Args:
        folder: Folder of the sweep.
        jobs: All jobs of the sweep, finished or not.
        root: Folder that contains the run folders; None for two folders above the sweep's.

    Raises:
        OutputError: The folder can't be written.
    """
    sheets, lines = summary(jobs)
    with atomic_write(folder / "sweep.csv") as file:
        file.write(_csv(folder, jobs, root).encode())
    with atomic_write(folder / "sweep.txt") as file:
        text = [f"{printable(sheet.title)}\n\n{markdown(sheet)}" for sheet in sheets]
        file.write(("\n\n".join([*text, "\n".join(map(printable, lines))]).strip() + "\n").encode())
    write_plot(folder, settings(jobs), modes(jobs))
    try:
        write_sweep_report(folder, jobs, None, (), root)
    except (OSError, GcsegError) as error:
        announce(f"no report of the sweep: {error}")
    try:
        print_sheets(sheets, lines)
    except (BrokenPipeError, SystemExit):  # a closed pipe, as with head; rich would exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _csv(folder: Path, jobs: Sequence[Job], root: Path | None) -> str:
    """Return the text of sweep.csv: a row per job and mode, scores as unrounded fractions."""
    names = varying(jobs)
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")

    def write(cells: Sequence[Any]) -> None:
        writer.writerow([printable(cell) if isinstance(cell, str) else cell for cell in cells])

    write(
        ["number", *names, "state", "run", "mode", "miou", "mean_f1", "pixel_accuracy",
         "training_seconds", "evaluation_seconds", "images_per_second", "error"]
    )  # fmt: skip
    trainings: dict[str | None, Mapping[str, Any]] = {}
    for job in jobs:
        if job.run not in trainings:
            trainings[job.run] = {} if job.run is None else _training(job.run, folder, root)
        training = trainings[job.run]
        for mode in job_modes(job) or [""]:
            record = (job.evaluations or {}).get(mode, {})
            write(
                [job.number, *overrides(job, names).values(), job.state, job.run, mode,
                 miou(record), record.get("mean_f1"), record.get("pixel_accuracy"),
                 training.get("seconds"), record.get("seconds"),
                 training.get("images_per_second"), job.error]
            )  # fmt: skip
    return file.getvalue()


def _training(run: str, folder: Path, root: Path | None) -> Mapping[str, Any]:
    """Return the training's time from its run folder; empty if that is gone or damaged."""
    try:
        found = find_run(run, folder, root)
    except OutputError:
        return {}
    return mapping(shown_record(found, RESULTS_FILE, RESULTS), "training")
