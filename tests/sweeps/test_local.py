"""Sweeps on this machine; their jobs are stubs, see stub.py."""

import json
import os
import signal
import subprocess
import sys

import pytest

from gcseg.sweeps import local, outcome, process
from tests.sweeps.commands import (
    begin,
    is_alive,
    jobs,
    notes,
    states,
    stubs_path,
    sweep_folder,
    use_stubs,
    wait_until,
)


@pytest.fixture
def sweep(run, monkeypatch, tmp_path):
    """Run a sweep of stubs: `sweep("seed=0,1", STUB={"1": "crash"})`."""
    use_stubs(monkeypatch)
    monkeypatch.setattr(local, "SECONDS_BETWEEN_POLLS", 0.02)

    def sweep(*overrides: str, stub: dict | None = None, accelerator: str = "cpu", **options):
        options = {"PYTHONPATH": stubs_path(), "STUB": json.dumps(stub or {}), **options}
        return run("train", "-m", f"accelerator={accelerator}", *overrides, **options)

    return sweep


def order(cwd, event="start"):
    return [note["seed"] for note in notes(cwd, event)]


def test_every_job_is_a_process_with_its_own_files(sweep, tmp_path):
    outcome = sweep("seed=0,1", "iters=5,6")
    assert outcome.status == 0, outcome.err
    folder = sweep_folder(tmp_path)
    assert folder.name.startswith("iters-seed-")
    assert states(tmp_path) == ["done"] * 4
    assert len({note["pid"] for note in notes(tmp_path)} | {os.getpid()}) == 5
    for number, job in enumerate(jobs(tmp_path)):
        files = {path.name for path in (folder / "jobs" / str(number)).iterdir()}
        assert files == {"config.yaml", "console.log", "outcome.json"}
        assert job.number == number and job.settings["modes"] == ["none"]
        assert (job.settings["seed"], job.settings["iters"]) == (number // 2, 5 + number % 2)
        assert f"seed={number // 2}" in job.overrides and "accelerator=cpu" in job.overrides
        assert job.run == str(tmp_path / "runs" / f"stub-{5 + number % 2}-{number // 2}")
        assert job.miou == job.settings["seed"] / 10 + 0.04
        assert job.seconds > 0 and job.error is None
    lines = [line for line in outcome.err.splitlines() if line.startswith("job ")]
    assert lines[:2] == [
        "job 0  seed=0 iters=5  running",
        "job 0  seed=0 iters=5  done, mIoU 4.00 %",
    ]
    assert len(lines) == 8
    assert (folder / "sweep.csv").is_file() and (folder / "sweep.txt").is_file()


def test_modes_share_a_process(sweep, tmp_path):
    outcome = sweep("tta=none,flip,msflip", "seed=0,1")
    assert outcome.status == 0, outcome.err
    assert [note["modes"] for note in notes(tmp_path)] == [["none", "flip", "msflip"]] * 2
    for job in jobs(tmp_path):
        (mode,) = job.settings["modes"]
        assert list(job.evaluations) == [mode] and f"tta={mode}" in job.overrides
        assert job.miou == round(job.settings["seed"] / 10 + len(mode) / 100, 3)
    assert len({job.training for job in jobs(tmp_path)}) == 2


@pytest.mark.slow
def test_modes_that_differ_in_more_run_one_after_the_other(sweep, tmp_path):
    outcome = sweep("tta=msflip,flip", "tta.average=logits,probabilities", "hydra.launcher.jobs=4")
    assert outcome.status == 0, outcome.err
    assert [note["modes"] for note in notes(tmp_path)] == [["msflip", "flip"]] * 2
    (first, second), (end, _) = notes(tmp_path), notes(tmp_path, "end")
    assert first["at"] < end["at"] < second["at"], "they are in one run folder"


def test_the_same_command_again(sweep, tmp_path):
    """Only what is not done is run, whatever the order of the arguments."""
    first = sweep("seed=0,1", "iters=5", stub={"1": "crash"})
    assert first.status == 1
    assert order(tmp_path) == [0, 1]
    again = sweep("iters=5", "seed=0,1", "hydra.launcher.jobs=2")
    assert again.status == 0, again.err
    assert order(tmp_path) == [0, 1, 1]
    assert states(tmp_path) == ["done", "done"]
    (tmp_path / "runs" / "stub-5-0" / "results.json").unlink()
    assert sweep("iters=5", "seed=0,1").status == 0
    assert order(tmp_path) == [0, 1, 1, 0], "what that made was removed, and the other is done"


def test_failed_jobs_can_be_left(sweep, tmp_path):
    assert sweep("seed=0", stub={"0": "error"}).status == 1
    again = sweep("seed=0", "retry_failed=false")
    assert again.status == 1, "it is still failed"
    assert order(tmp_path) == [0]
    assert "the loss is NaN" in again.out + again.err


FAILURES = {
    "crash": "ValueError: the weather is bad",
    "error": "the loss is NaN: lower optim.lr",
    "kill": "killed by SIGKILL",
    "realtime": f"killed by signal {signal.SIGRTMIN + 1}",
    "ours": "iters=0: give more",
    "quiet": "ended without scores",
}


def test_failed_jobs_do_not_end_the_others(sweep, tmp_path):
    count = len(FAILURES)
    outcome = sweep(
        "iters=5",
        f"seed=range({count + 2})",
        "hydra.launcher.jobs=2",
        stub={str(seed): failure for seed, failure in enumerate(FAILURES, 1)},
    )
    assert outcome.status == 1
    assert states(tmp_path) == ["done", *["failed"] * count, "done"]
    for failed, error in zip(jobs(tmp_path)[1:-1], FAILURES.values(), strict=True):
        assert failed.error == error
        assert failed.log and failed.run and failed.evaluations is None
        assert error in outcome.out and f"seed={failed.settings['seed']}" in outcome.out
        assert f"failed: {error}" in outcome.err
    assert outcome.err.splitlines()[-1] == f"error: {count} of {count + 2} jobs failed, see above"


def test_settings_that_cant_be_run_are_a_failed_job(sweep, tmp_path):
    outcome = sweep("dataset.crop.height=5000,64", "iters=5")
    assert outcome.status == 1
    assert states(tmp_path) == ["failed", "done"]
    assert jobs(tmp_path)[0].error.startswith("dataset.crop.height=5000: give a whole number of")
    again = sweep("dataset.crop.height=5000,64", "iters=5")
    assert again.status == 1 and len(notes(tmp_path)) == 1


def test_a_mistake_in_all_jobs_costs_one_line(sweep, tmp_path):
    outcome = sweep("seed=0,1", "backbone=r99")
    assert "backbone=r99 does not exist" in outcome.error
    assert not notes(tmp_path)


def test_jobs_at_once(sweep, tmp_path):
    stub = dict.fromkeys("012", "slow")
    assert sweep("seed=0,1,2", "hydra.launcher.jobs=2", stub=stub).status == 0
    starts, ends = notes(tmp_path), notes(tmp_path, "end")
    assert starts[1]["at"] < ends[0]["at"] < starts[2]["at"]


@pytest.mark.parametrize("jobs", ["0", "1.5", "true", "all"])
def test_a_wrong_number_of_jobs(jobs, sweep, tmp_path):
    error = sweep("seed=0,1", f"hydra.launcher.jobs={jobs}").error
    assert error.lower() == f"hydra.launcher.jobs={jobs}: give a whole number, 1 or more"
    assert not notes(tmp_path)


def test_each_job_has_gpus_of_its_own(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "visible_gpus", lambda: ["3", "5", "GPU-7"])
    outcome = sweep(
        *("devices=1,2", "seed=0,1", "hydra.launcher.jobs=9"),
        accelerator="auto",
        stub=dict.fromkeys("01", "slow"),
    )
    assert outcome.status == 0, outcome.err
    starts = notes(tmp_path)
    devices = [len(note["gpus"].split(",")) for note in starts]
    assert sorted(devices) == [1, 1, 2, 2]
    in_use: set[str] = set()
    for note in sorted(notes(tmp_path) + notes(tmp_path, "end"), key=lambda note: note["at"]):
        if note["event"] == "start":
            own = set(note["gpus"].split(","))
            assert not own & in_use and own <= {"3", "5", "GPU-7"}
            in_use |= own
        else:
            (start,) = [one for one in starts if one["pid"] == note["pid"]]
            in_use -= set(start["gpus"].split(","))


def test_more_gpus_than_there_are(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "visible_gpus", lambda: ["0", "1"])
    outcome = sweep("devices=1,3", accelerator="auto")
    assert outcome.error == "devices=3, but there are 2 GPUs: give at most 2"
    assert not notes(tmp_path)


@pytest.mark.parametrize(
    ("settings", "gpus", "need"),
    [
        ({"accelerator": "cpu", "devices": 4}, ["0"], 0),
        ({"accelerator": "auto", "devices": 4}, [], 0),
        ({"accelerator": "auto", "devices": "auto"}, ["0", "1"], 2),
        ({"accelerator": "gpu", "devices": 1}, ["0", "1"], 1),
    ],
)
def test_gpus_needed(settings, gpus, need):
    assert local.gpus_needed({"num_nodes": 1, **settings}, gpus) == need


def test_several_machines_are_a_clusters(sweep, tmp_path):
    assert sweep("seed=0,1", "num_nodes=2").error.startswith("num_nodes=2 in a multirun on this ")


def test_a_job_that_takes_too_long(sweep, tmp_path):
    outcome = sweep("seed=0", "job_timeout=0.03", stub={"0": "wait"})
    assert outcome.status == 1
    (job,) = jobs(tmp_path)
    assert job.state == "failed" and job.error.endswith("minutes: raise job_timeout")
    assert notes(tmp_path, "left"), "it could save"


def test_a_deaf_job_is_killed(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "SECONDS_TO_LEAVE", 0.2)
    assert sweep("seed=0", "job_timeout=0.03", stub={"0": "deaf"}).status == 1
    assert states(tmp_path) == ["failed"]
    assert not is_alive(notes(tmp_path)[0]["pid"])


WRONG = {
    "job_timeout=0": "job_timeout=0: give a number above 0, or null",
    "job_timeout=1,2": "job_timeout=1,2 in a multirun: give one for all jobs",
    "retry_failed=2": "retry_failed=2: give true or false",
    "timing=none,again": "timing=none,again in a multirun: give one for all jobs",
    "timing=never": "timing=never: use one of missing, again, none",
    "+comparison.baseline=a,b": "+comparison.baseline=a,b in a multirun: give one for all jobs",
    "comparison={claims: {a: {setting: b, than: c}}}": "comparison.claims.a.is is not set: "
    "give comparison.claims.a.is=...",
    "run_root=a,b": "run_root=a,b in a multirun: give one for all jobs",
    "fresh=true": "fresh=true in a multirun, whose jobs could not be resumed: "
    "give run_root= another folder",
    "fresh=true,false": "fresh=true,false in a multirun, whose jobs could not be resumed: "
    "give run_root= another folder",
}


@pytest.mark.parametrize("word", WRONG)
def test_what_is_one_for_all_jobs(word, sweep, tmp_path):
    assert sweep("seed=0,1", word).error == WRONG[word]
    assert list(tmp_path.iterdir()) == []


def test_what_a_job_starts_is_no_job_of_the_sweep(tmp_path):
    """As a training by hand, in a shell that a job has started."""
    program = (
        "import subprocess, sys; from gcseg.sweeps.outcome import *; leave_with_sweep();"
        "print(in_sweep(), flush=True);"
        "sys.argv[1:] and subprocess.run([sys.executable, '-c', sys.argv[1]])"
    )
    job = subprocess.Popen(
        [sys.executable, "-c", program, program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, outcome.VARIABLE: str(tmp_path / "outcome.json")},
    )  # fmt: skip
    assert [job.stdout.readline(), job.stdout.readline()] == ["True\n", "False\n"]
    job.communicate(timeout=30)


@pytest.mark.parametrize(
    ("number", "status"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 75)],
)
def test_stopped(number, status, sweep, data, tmp_path):
    """The trainings save and leave; the same command goes on."""
    environment = {"STUB": '{"0": "wait"}', "GCSEG_DATA": str(data)}
    first = begin("seed=0,1,2", "hydra.launcher.jobs=2", cwd=tmp_path, **environment)
    wait_until(lambda: notes(tmp_path, "end") and states(tmp_path)[2] == "done")
    first.send_signal(number)
    _, error = first.communicate(timeout=60)
    assert first.returncode == status, error
    assert states(tmp_path) == ["interrupted", "done", "done"]
    assert order(tmp_path, "left") == [0]
    assert "1 of 3 jobs left: the same command runs" in error
    assert sweep("seed=0,1,2").status == 0
    assert states(tmp_path) == ["done"] * 3
    assert order(tmp_path)[3:] == [0]


@pytest.mark.parametrize("group", [pytest.param(False, marks=pytest.mark.slow), True])
def test_killed(group, sweep, data, tmp_path):
    """No job is left behind, and the same command goes on with what was interrupted."""
    environment = {"STUB": '{"0": "wait"}', "GCSEG_DATA": str(data)}
    first = begin("seed=0,1", cwd=tmp_path, **environment)
    wait_until(lambda: notes(tmp_path))
    (job,) = notes(tmp_path)
    (os.killpg if group else os.kill)(first.pid, signal.SIGKILL)
    first.communicate()
    wait_until(lambda: not is_alive(job["pid"]))
    assert order(tmp_path, "left") == [0], "it could save"
    assert states(tmp_path) == ["running", "pending"], "nobody could say otherwise"
    assert sweep("seed=0,1").status == 0
    assert states(tmp_path) == ["done"] * 2
    assert order(tmp_path) == [0, 0, 1]


def test_one_sweep_at_a_time(sweep, tmp_path):
    first = begin("seed=0,1", cwd=tmp_path, STUB='{"0": "wait"}')
    try:
        wait_until(lambda: notes(tmp_path))
        second = sweep("seed=0,1")
        assert f"is in use by process {first.pid} on " in second.error
        assert second.error.endswith("wait until it ends, or give another command or run_root")
        assert len(notes(tmp_path)) == 1
    finally:
        first.terminate()
        first.communicate()


def test_validations_reach_the_ledger(sweep, tmp_path):
    assert sweep("seed=0,1", "tta=none,flip").status == 0
    from gcseg.sweeps.ledger import Ledger

    reports = Ledger(sweep_folder(tmp_path) / "ledger.sqlite").reports()
    assert reports == {
        job.key: {2: round(job.settings["seed"] / 10 + 0.05, 2)} for job in jobs(tmp_path)
    }


@pytest.mark.slow
def test_a_sweep_from_a_file(sweep, tmp_path):
    outcome = sweep("sweep=backbone_iters_tta", "dataset=scenes")
    assert outcome.status == 0, outcome.err
    assert len(notes(tmp_path)) == 4 and states(tmp_path) == ["done"] * 12
    assert sweep_folder(tmp_path).name.startswith("backbone_iters_tta-")
    chosen = {(job.settings["backbone"], job.settings["iters"]) for job in jobs(tmp_path)}
    assert chosen == {(b, i) for b in ("r50", "r101") for i in (40000, 80000)}
