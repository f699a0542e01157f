"""python -m gcseg.sweeps: list sweeps, show one while it runs, compare two settings."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from gcseg.commands.arguments import ArgumentParser, run_chosen
from gcseg.errors import ConfigError, GcsegError
from gcseg.system.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gcseg.report.sweep.sheets import Sheet
    from gcseg.sweeps.ledger import Job

_LONGEST = 60
"""Largest number of characters of a cell that says what a sweep varies."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command; exit with status 1 and one line on an error that the user can fix."""
    run_chosen(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m gcseg.sweeps",
        description="List sweeps, show the jobs of a sweep, or compare two settings.",
    )
    commands = parser.add_subparsers(required=True, metavar="{list,show,compare}")

    command = commands.add_parser("list", help="list the sweeps below a run root")
    command.add_argument("--run-root", type=Path, default=Path("runs"), help="default: runs")
    command.set_defaults(run=_list)

    command = commands.add_parser("show", help="show a sweep's jobs and scores, also while it runs")
    command.add_argument("folder", type=Path, help="folder of the sweep, such as runs/sweeps/NAME")
    command.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=10.0,
        metavar="SECONDS",
        help="repeat every SECONDS (default: 10) until all jobs have ended",
    )
    command.add_argument(
        "--classes",
        type=lambda text: text.split(","),
        metavar="NAME,NAME",
        help="show the IoU of these classes too, such as rare ones",
    )
    command.set_defaults(run=_show)

    command = commands.add_parser(
        "compare",
        help="test whether two settings differ by more than the noise of seeds",
        description="A and B are each a sweep folder, one setting of a sweep as "
        "FOLDER:'backbone=r18 iters=20000', or run folders separated by commas, with * for any "
        "name.",
    )
    command.add_argument("a", metavar="A")
    command.add_argument("b", metavar="B")
    command.add_argument("--mode", help="mode of test-time augmentation to compare, such as flip")
    command.set_defaults(run=_compare)
    return parser


def _list(given: argparse.Namespace) -> None:
    from gcseg.report.sweep.compare import LEDGER, read_jobs
    from gcseg.report.sweep.sheets import Sheet, print_sheets

    root = given.run_root / "sweeps"
    folders = [path.parent for path in root.glob(f"*/{LEDGER}")]
    if not folders:
        raise ConfigError(f"there is no sweep in {root}", "give another --run-root")
    rows: list[list[str]] = []
    lines: list[str] = []
    for changed, folder in sorted((_changed(folder / LEDGER), folder) for folder in folders):
        try:
            jobs = read_jobs(folder, lines)
        except GcsegError as error:
            lines.append(f"damaged: {error}")
            continue
        counts = Counter(job.state for job in jobs)
        others = ", ".join(
            f"{count} {state}" for state, count in counts.items() if state not in ("done", "failed")
        )
        date = time.strftime("%Y-%m-%d %H:%M", time.localtime(changed))
        numbers = [str(number) for number in (len(jobs), counts["done"], counts["failed"])]
        rows.append([str(folder), date, _of(jobs), others, *numbers])
    header = ["sweep", "changed", "of", "others", "jobs", "done", "failed"]
    print_sheets([Sheet("sweeps, the newest last", header, rows, 4)] if rows else [], lines)


def _show(given: argparse.Namespace) -> None:
    from gcseg.report.sweep.class_sheet import class_sheet
    from gcseg.report.sweep.compare import read_jobs
    from gcseg.report.sweep.overview import overview
    from gcseg.report.sweep.sheets import print_sheets
    from gcseg.report.sweep.trainings import read_trainings
    from gcseg.sweeps.ledger import ENDED
    from gcseg.system.terminal import TextConsole

    while True:
        notices: list[str] = []
        jobs = read_jobs(given.folder, notices)
        tables = overview(given.folder, jobs, read_trainings(given.folder, jobs))
        sheets = tables.sheets
        if given.classes is not None:
            sheets.append(class_sheet(jobs, given.classes))
        if given.watch is not None:
            TextConsole().clear()  # does nothing in a file
        print_sheets([_jobs(given.folder, jobs), *sheets], [*tables.lines, *notices])
        if given.watch is None or all(job.state in ENDED for job in jobs):
            return
        time.sleep(given.watch)


def _compare(given: argparse.Namespace) -> None:
    from gcseg.report.sweep.compare import compare_sides, read_side
    from gcseg.report.sweep.sheets import print_sheets

    notices: list[str] = []
    first, second = read_side(given.a, notices), read_side(given.b, notices)
    sheet, lines = compare_sides(first, second, given.mode)
    print_sheets([sheet], [*lines, *dict.fromkeys(notices)])


def _jobs(folder: Path, jobs: Sequence[Job]) -> Sheet:
    """Status of each job; reasons are printed below the tables."""
    from gcseg.report.sweep.scores import overrides, varying
    from gcseg.report.sweep.sheets import Sheet

    names = varying(jobs)
    rows = []
    for job in jobs:
        seconds = "" if job.seconds is None else f"{job.seconds:.0f} s"
        run = "" if job.run is None else Path(job.run).name
        values = [value or "-" for value in overrides(job, names).values()]
        rows.append([str(job.number), *values, job.state, seconds, run, _log(folder, job)])
    header = ["job", *names, "state", "time", "run", "log"]
    return Sheet(f"{folder}: {counted(len(jobs), 'job')}", header, rows, len(header))


def _log(folder: Path, job: Job) -> str:
    """Path of a job's console log, relative to the sweep's folder if inside."""
    if job.log is None:
        return ""
    log = Path(job.log)
    inside = log.is_relative_to(folder.absolute())
    return str(log.relative_to(folder.absolute()) if inside else log)


def _of(jobs: Sequence[Job]) -> str:
    """Describe what a sweep varies, in at most `_LONGEST` characters."""
    from gcseg.report.sweep.scores import varied

    text = ""
    for name, values in varied(jobs).items():
        text += f" {name}={','.join(value or '-' for value in values)}"
        if len(text) > _LONGEST + 1:
            break
    text = text.removeprefix(" ")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _changed(path: Path) -> float:
    """Time of a file's last change, in seconds; 0 if it can't be read."""
    try:
        time.localtime(seconds := path.stat().st_mtime)
    except (OSError, OverflowError, ValueError):
        return 0.0
    return seconds


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 86400")
    return seconds
