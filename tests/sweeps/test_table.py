import csv
import io
import os
from dataclasses import replace

import pytest

from gcseg.errors import OutputError
from gcseg.report.sweep.sheets import unfinished
from gcseg.sweeps.ledger import Job
from gcseg.sweeps.outcome import report_progress, report_to_sweep
from gcseg.sweeps.process import Progress
from gcseg.sweeps.table import SweepTable, sweep_table
from gcseg.system.terminal import TextConsole


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
    shown = text(jobs, {"1": Progress(step=3, iters=9, seconds_left=100.2, miou=0.125)})
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


def test_a_job_that_stopped_early():
    early = {"evaluations": {"flip": {"miou": 0.5, "stopped_at": 4}}}
    settings = {"modes": ["flip"], "iters": 9}
    jobs = [
        Job("0", 0, (), "t", settings, "running"),
        Job("0", 0, (), "t", settings, "done", **early),
    ]
    console = TextConsole(file=io.StringIO(), width=200)
    with SweepTable(console=console) as table:
        for one in jobs:
            table.show([one], {})
    assert console.file.getvalue().splitlines()[-1] == (
        "job 0  done, mIoU 50.00 %, stopped early at step 4 of 9"
    )
    assert "stopped at 4/9" in text(jobs[1:])
    done = replace(jobs[1], settings={**settings, "backbone": "r18", "head": "gc", "dataset": "a",
                                      "seed": 0})  # fmt: skip
    assert unfinished([done]) == ["stopped early: job 0: at step 4 of 9"]


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


def test_a_training_reports_how_far_it_is(train, tmp_path, monkeypatch):
    reports = []
    monkeypatch.setattr("gcseg.sweeps.outcome.write_json", lambda _, told: reports.append(told))
    job = tmp_path / "sweeps" / "s" / "jobs" / "0" / "outcome.json"
    outcome = train(GCSEG_JOB_OUTCOME=str(job), GCSEG_JOB_PROCESS=str(os.getpid()))
    (folder,) = (tmp_path / "runs").glob("*-gc-*")
    assert outcome.status == 0
    assert {told["run"] for told in reports} == {str(folder)}
    assert list(reports[-1]["evaluations"]) == ["none"], "the scores come last"
    progress = [told["progress"] for told in reports if "progress" in told]
    with (folder / "metrics.csv").open(newline="") as file:
        curve = [float(row["val/miou"]) for row in csv.DictReader(file) if row.get("val/miou")]
    assert [one["step"] for one in progress] == sorted(one["step"] for one in progress)
    assert progress[-1] == {"step": 3, "iters": 3, "seconds_left": 0, "miou": curve[-1]}


def test_a_report_that_cannot_be_written_keeps_no_training(tmp_path, monkeypatch):
    monkeypatch.setenv("GCSEG_JOB_OUTCOME", str(tmp_path))  # a folder
    monkeypatch.setenv("GCSEG_JOB_PROCESS", str(os.getpid()))
    report_progress(tmp_path, {"step": 1, "iters": 2})
    with pytest.raises(OutputError, match=r"can't be written"):
        report_to_sweep(tmp_path)
