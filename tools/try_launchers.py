"""Sweeps of tiny trainings through clusters' launchers and a search, each checked.

    python tools/try_launchers.py slurm   a cluster of this machine alone, as root; slurm-wlm, munge
    python tools/try_launchers.py ray     one that Ray starts here
    python tools/try_launchers.py search  optuna, with trainings that are given up

Each needs the extra of its name (search: optuna). Ends with status 0 if all is as it should be.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from one_node_slurm import one_node_slurm

from gcseg.sweeps.ledger import Job, Ledger

REPOSITORY = Path(__file__).resolve().parent.parent
TINY = (
    *("backbone._target_=tests.tiny.backbone", "head.channels=16", "accelerator=cpu"),
    *("dataset.crop.height=64", "dataset.crop.width=64", "batch_size=2", "num_workers=0"),
    *("dataset.reader.train=6", "dataset.reader.val=3"),
    *("dataset.reader.height=64", "dataset.reader.width=96", "log_every=1"),
)
SHORT = ("iters=3", "val_every=2")
LONG = ("iters=200", "val_every=10")
FOUR = ("seed=0,1", "tta=none,flip")
SECONDS = 1200.0
"""Seconds to wait for anything."""


class Trial:
    """Commands in an empty folder, with a line for each thing that is checked.

    Args:
        folder: Folder for the runs.
        environment: Environment variables of the commands.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {
            **environment,
            "GCSEG_DATA": str(folder / "data"),
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
        }
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line with the seconds since the last one."""
        now = time.monotonic()
        print(f"{now - self._start:6.1f} s  {text}", flush=True)
        self._start = now

    def command(self, *command: str) -> str:
        """Run a command to its end; a failure ends the trial."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, timeout=SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode:
            print(done.stdout)
            raise SystemExit(f"failed with status {done.returncode}: {' '.join(command)}")
        return done.stdout

    def start(self, root: str, *overrides: str) -> subprocess.Popen[bytes]:
        """Start a multirun."""
        with (self.folder / f"{root}.log").open("ab") as log:
            return subprocess.Popen(
                self.multirun(root, *overrides), cwd=self.folder, env=self.environment,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def multirun(self, root: str, *overrides: str) -> list[str]:
        """Return the command `python -m gcseg.train -m` with its arguments."""
        return [
            *(sys.executable, "-m", "gcseg.train", "-m", *TINY, f"run_root={root}"), *overrides
        ]  # fmt: skip

    def sweep(self, root: str, *overrides: str) -> list[Job]:
        """Run a multirun to its end, and return its jobs, which are also in sweep.csv."""
        self.command(*self.multirun(root, *overrides))
        jobs = self.jobs(root)
        (table,) = (self.folder / root / "sweeps").glob("*/sweep.csv")
        with table.open(newline="") as file:
            states = {int(row["number"]): row["state"] for row in csv.DictReader(file)}
        self.check("sweep.csv", states == {job.number: job.state for job in jobs}, states)
        return jobs

    def jobs(self, root: str) -> list[Job]:
        """Return the jobs in the ledger of the only sweep below a run root."""
        ledgers = list((self.folder / root / "sweeps").glob("*/ledger.sqlite"))
        return Ledger(ledgers[0]).jobs() if ledgers else []

    def check(self, what: str, right: bool, found: object) -> None:
        """End the trial if a check fails."""
        if not right:
            raise SystemExit(f"wrong: {what}: {found}; the files are in {self.folder}")

    def all_done(self, jobs: list[Job], count: int, trainings: int) -> None:
        """Check that each job is done and none was trained twice."""
        states = [job.state for job in jobs]
        self.check("states", states == ["done"] * count, [(job.state, job.error) for job in jobs])
        runs = {job.run for job in jobs}
        self.check("run folders", len(runs) == trainings, runs)

    def wait_until(self, what: str, happens: Callable[[], bool]) -> None:
        """Wait for a condition; a timeout ends the trial."""
        end = time.monotonic() + SECONDS
        while not happens():
            self.check(f"waited for {what}", time.monotonic() < end, "nothing")
            time.sleep(0.5)
        self.say(what)


def try_slurm(trial: Trial) -> None:
    """Try sweeps through submitit, a warning of the queue, and a training as a batch script."""
    launcher = ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1")
    jobs = trial.sweep("four", *launcher, *SHORT, *FOUR)
    trial.all_done(jobs, 4, 2)
    trial.say("four jobs")
    jobs = trial.sweep("two", *launcher, *SHORT, "devices=2", "seed=0,1")
    trial.all_done(jobs, 2, 2)
    trial.say("two jobs of two processes each")

    sweep = trial.start("requeued", *launcher, *LONG, "seed=3")
    try:
        first = trial.folder / "requeued"
        trial.wait_until("training", lambda: bool(list(first.glob("*-s3-*/checkpoints/last.ckpt"))))
        trial.command("scancel", "--signal=USR2", _newest_job(trial))
        trial.wait_until(
            "saved and left", lambda: "interrupted" in [job.state for job in trial.jobs("requeued")]
        )
        status = sweep.wait(SECONDS)
        trial.check("status", status == 0, status)
    finally:
        sweep.kill()
    jobs = trial.jobs("requeued")
    trial.all_done(jobs, 1, 1)
    trial.check("went on", _went_on(Path(str(jobs[0].log)), Path(str(jobs[0].run))), jobs[0])
    trial.say("a job that the queue warned was put in it again, and went on")

    overrides = [*TINY, *LONG, "run_root=batch", "seed=5"]
    trial.command(
        "sbatch", "--ntasks-per-node=2", "--cpus-per-task=1", "--output=batch.log",
        str(REPOSITORY / "tools" / "train.sbatch"), *overrides,
    )  # fmt: skip
    job = _newest_job(trial)
    runs = trial.folder / "batch"
    trial.wait_until("training", lambda: bool(list(runs.glob("*/checkpoints/last.ckpt"))))
    trial.command("scancel", "--signal=USR1", job)
    trial.wait_until("put in the queue again", lambda: "Restarts=1" in _shown(trial, job))
    trial.wait_until("its end", lambda: "JobState=COMPLETED" in _shown(trial, job))
    (run,) = runs.iterdir()
    trial.check("went on", _went_on(trial.folder / "batch.log", run), trial.folder / "batch.log")
    trial.say("a batch script that the queue warned went on")


def _newest_job(trial: Trial) -> str:
    jobs = trial.command("squeue", "--noheader", "--format=%F").split()
    return max(jobs, key=int)


def _shown(trial: Trial, job: str) -> str:
    return trial.command("scontrol", "-o", "show", "job", job)


def _went_on(log: Path, run: Path) -> bool:
    """Return whether a training was interrupted and in the end had done each step once."""
    left = re.search(r"stopped by SIG\w+ after step (\d+)", log.read_text())
    with (run / "metrics.csv").open(newline="") as file:
        steps = [row["step"] for row in csv.DictReader(file) if row["train/loss"]]
    whole = len(steps) == len(set(steps)) and (run / "results.json").is_file()
    return left is not None and int(left[1]) > 0 and whole


def try_ray(trial: Trial) -> None:
    """Try a sweep on a cluster that Ray starts, and the same again."""
    options = ("hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2", *SHORT, *FOUR)
    jobs = trial.sweep("four", *options)
    trial.all_done(jobs, 4, 2)
    trial.say("four jobs")
    trial.check("again", trial.sweep("four", *options) == jobs, trial.jobs("four"))
    trial.say("the same again, which finds all done")


def try_search(trial: Trial) -> None:
    """Try a search for the learning rate, with a pruner, and the same again."""
    options = (
        *("hydra/sweeper=search", "hydra.sweeper.n_trials=6", "prune=median"),
        *("prune.n_startup_trials=2", "optim.lr=tag(log,interval(1e-9,0.1))"),
        *("iters=300", "val_every=10"),
    )
    jobs = trial.sweep("search", *options)
    states = [job.state for job in jobs]
    trial.check("states", set(states) == {"done", "pruned"}, [(j.state, j.error) for j in jobs])
    trial.say(f"six jobs: {', '.join(states)}")
    trial.check("again", trial.sweep("search", *options) == jobs, trial.jobs("search"))
    trial.say("the same again, which draws the same and finds all done")


def main() -> None:
    """Run the trial that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["slurm", "ray", "search"])
    what = parser.parse_args().what
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    folder = Path(tempfile.mkdtemp(prefix=f"gcseg-{what}-"))
    folder.chmod(0o755)  # other users read SLURM's folder
    if what == "slurm":
        with one_node_slurm(folder / "slurm") as environment:
            try_slurm(Trial(folder, environment))
    else:
        (try_ray if what == "ray" else try_search)(Trial(folder, environment))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
