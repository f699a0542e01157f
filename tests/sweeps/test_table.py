import csv
import io
import re

import pytest

from gcseg.sweeps.ledger import Job
from gcseg.sweeps.process import Progress
from gcseg.sweeps.table import SweepTable, sweep_table
from gcseg.system.terminal import TextConsole

VALIDATED = re.compile(r"step 2/3  validation  mIoU \d+\.\d\d % \(best \d+\.\d\d %\)$")


def job(number, state="pending", **more):
    overrides = (f"seed={number}", "iters=9", "tta.scales=[a,b]" if number else "tta=flip")
    settings = {"modes": ["flip", "none"]}
    return Job(str(number), number, overrides, "t", settings, state, **more)


DONE = {"evaluations": {"none": {"miou": 0.25}, "flip": {"miou": 0.5}}}


def text(jobs, progress=None):
    console = TextConsole(file=io.StringIO(), width=100)
    console.print(sweep_table(jobs, progress or {}))
    return console.file.getvalue()


def test_a_row_per_job():
    jobs = [job(0, "done", **DONE), job(1, "running"), job(2, "failed", error="bad luck")]
    shown = text(jobs, {"1": Progress(step=3, iters=9, left="0:01:40", miou=0.125)})
    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in shown.splitlines()[3:-1]]
    assert rows == [
        ["0", "seed=0 tta=flip", "done", "", "", "50.00"],
        ["1", "seed=1 tta.scales=[a,b]", "running", "3/9", "0:01:40", "12.50"],
        ["2", "seed=2 tta.scales=[a,b]", "failed", "", "", ""],
    ]


def test_a_line_for_each_change_in_a_log():
    console = TextConsole(file=io.StringIO(), width=200)
    with SweepTable(console=console) as table:
        table.show([job(0), job(1)], {})
        table.show([job(0, "running"), job(1)], {"0": Progress(step=1, iters=9)})
        table.show([job(0, "running"), job(1)], {"0": Progress(step=2, iters=9)})
        table.show([job(0, "done", **DONE), job(1, "failed", error="bad luck")], {})
    assert console.file.getvalue().splitlines() == [
        "job 0  seed=0 tta=flip  running",
        "job 0  seed=0 tta=flip  done, mIoU 50.00 %",
        "job 1  seed=1 tta.scales=[a,b]  failed: bad luck",
    ]


def test_jobs_that_share_a_process_start_in_one_line():
    console = TextConsole(file=io.StringIO(), width=200)
    words = [("seed=0", "tta=none"), ("seed=0", "tta=flip"), ("seed=1", "tta=none")]
    jobs = [
        Job(str(number), number, of, "t", {"modes": ["none"]}, "running", log=log)
        for number, (of, log) in enumerate(zip(words, ("a.log", "a.log", "b.log"), strict=True))
    ]
    with SweepTable(console=console) as table:
        table.show(jobs, {})
        table.show(jobs, {})
    assert console.file.getvalue().splitlines() == [
        "jobs 0, 1  seed=0 tta=none,flip  running (one training)",
        "job 2  seed=1 tta=none  running",
    ]


def test_a_terminal_keeps_the_last_table():
    console = TextConsole(file=io.StringIO(), width=100, force_terminal=True)
    with SweepTable(console=console) as table:
        table.show([job(0), job(1)], {})
        table.show([job(0, "done", **DONE), job(1)], {})
    assert "50.00" in console.file.getvalue() and "pending" in console.file.getvalue()


def test_it_follows_what_a_training_prints(training):
    lines = training.outcome.out.splitlines()
    shown = Progress().after(
        "\n".join(lines[: lines.index(next(filter(VALIDATED.match, lines))) + 1])
    )
    assert (shown.step, shown.iters) == (2, 3)
    last = shown.after("\n".join(lines))
    with (training.folder / "metrics.csv").open(newline="") as file:
        curve = [row["val/miou"] for row in csv.DictReader(file) if row.get("val/miou")]
    assert (last.step, last.iters, last.left) == (3, 3, "0:00:00")
    assert last.miou == pytest.approx(float(curve[-1]), abs=5e-5)
    assert last.after("") == last
