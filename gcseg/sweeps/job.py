"""A job of a multirun, callable by any Hydra launcher: a process that is watched to its end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gcseg.config.plain import plain
from gcseg.errors import LEFT_EARLY, OutputError
from gcseg.runs.folder import CONFIG_FILE, RESULTS_FILE
from gcseg.runs.name import fingerprint
from gcseg.sweeps.attempt import Attempt, job_folder
from gcseg.sweeps.ledger import Job, Ledger
from gcseg.sweeps.plan import job_record, of_the_work
from gcseg.sweeps.process import JobProcess
from gcseg.system.files import atomic_write
from gcseg.system.launch import is_first_process
from gcseg.system.records import RecordError, read_yaml
from gcseg.system.signals import SIGNALS, let_go_of_terminal
from gcseg.system.terminal import announce

SECONDS_BETWEEN_POLLS = 1.0


def run_job(cfg: DictConfig, problem: str | None = None) -> float | None:
    """Run a job of a multirun in a separate process, and enter its outcome in the ledger.

    A job that is done already is not run again. If another process is running the same training,
    the job is left to that process.

    Args:
        cfg: Settings of the job.
        problem: Reason why the settings can't be run, in one line; None if they can.

    Returns:
        The mIoU, a fraction, under the first mode of test-time augmentation; for a pruned job, that
        of its last validation; None if there is neither.

    Raises:
        OutputError: The sweep's folder can't be written.
        KeyboardInterrupt: Ctrl-C; the training has saved and left.
        SystemExit: Another signal; the training has saved and left, and no handler was installed
            for the signal.
    """
    folder, working_folder = folders()
    hydra = HydraConfig.get()
    ledger = Ledger(folder / "ledger.sqlite")
    if not is_first_process():
        if problem is None:
            _run_rank(ledger, cfg, folder, working_folder)
        return None
    job = enter(ledger, cfg, int(hydra.job.num), list(hydra.overrides.task), problem)
    if problem is not None or not is_left_to_do(job, cfg.retry_failed):
        return miou(ledger, job)
    # Written before the claim, as another process may have to run the job.
    with atomic_write(job_folder(folder, job) / CONFIG_FILE) as file:
        file.write(yaml.safe_dump(plain(cfg), sort_keys=False).encode())
    if not ledger.claim(job.key, log=job_folder(folder, job) / "console.log"):
        announce(f"job {job.number} is left to the job that runs its training")
        return None
    _work(ledger, job, plain(cfg), folder, working_folder)
    while (other := ledger.take_over(job.key)) is not None:
        settings = _given(job_folder(folder, other) / CONFIG_FILE)
        _work(ledger, other, settings, folder, working_folder)
    return miou(ledger, job)


def _given(path: Path) -> Mapping[str, Any]:
    """Read the settings that a job was given.

    Raises:
        OutputError: They can't be read.
    """
    try:
        settings = read_yaml(path, within=path.parent)
    except (FileNotFoundError, RecordError) as error:
        settings = getattr(error, "strerror", None) or error
    if not isinstance(settings, Mapping):
        raise OutputError(f"{path} holds no settings ({settings})", "start the sweep again")
    return settings


def enter(
    ledger: Ledger, cfg: DictConfig, number: int, overrides: list[str], problem: str | None
) -> Job:
    """Enter a job in the ledger, as failed if its settings can't be run.

    Raises:
        OutputError: The ledger can't be written.
    """
    if problem is None:
        return ledger.add(number=number, **job_record(cfg, overrides))
    words = of_the_work(overrides)
    key = fingerprint({"overrides": sorted(words)})
    settings = {group: _read(cfg, f"{group}.name") for group in ("backbone", "head", "dataset")}
    settings |= {name: _read(cfg, name) for name in ("iters", "seed")}
    modes = _read(cfg, "tta.modes")
    settings["modes"] = [*map(str, modes)] if isinstance(modes, dict) else []
    ledger.add(key, number, overrides=words, training=key, settings=settings)
    ledger.finish(key, "failed", error=problem)
    return ledger.job(key)


def _read(cfg: DictConfig, name: str) -> Any:
    """Return a setting of a partly wrong configuration; None if the setting itself is wrong."""
    try:
        value = OmegaConf.select(cfg, name)
        return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return None


def is_left_to_do(job: Job, retry_failed: bool) -> bool:
    """Return whether a job still has to be run when its sweep is started again."""
    if job.state == "failed":
        return retry_failed
    if job.state == "done":  # unless its results were removed since
        results = "" if job.run is None else os.path.join(job.run, RESULTS_FILE)  # noqa: PTH118
        return not os.path.isfile(results)  # noqa: PTH113  # takes names of any length
    return job.state != "pruned"


def miou(ledger: Ledger, job: Job) -> float | None:
    """Return the mIoU of a job, a fraction; None if it has no score.

    Raises:
        OutputError: The ledger can't be read.
    """
    job = ledger.job(job.key)
    if job.evaluations is not None:
        return job.miou
    reports = ledger.reports().get(job.key)
    if job.state == "pruned" and reports:
        return reports[max(reports)]
    return None


def folders() -> tuple[Path, Path]:
    """Return the sweep's folder and the working folder in which the command was given."""
    hydra = HydraConfig.get()
    working_folder = Path(hydra.runtime.cwd)
    return working_folder / hydra.sweep.dir, working_folder


def _work(
    ledger: Ledger, job: Job, cfg: Mapping[str, Any], folder: Path, working_folder: Path
) -> None:
    """Run a job to its end."""
    attempt = Attempt(ledger, [job], cfg, folder, working_folder)
    with forwarding(lambda _: attempt.process.stop("interrupted"), attempt.process.kill):
        while attempt.poll():
            attempt.process.wait(SECONDS_BETWEEN_POLLS)
        attempt.finish()


def _run_rank(ledger: Ledger, cfg: DictConfig, folder: Path, working_folder: Path) -> None:
    """Run a further rank of a training whose processes the launcher has started."""
    key = job_record(cfg, [])["key"]
    known = next((job for job in ledger.jobs() if job.key == key), None)
    if known is not None and not is_left_to_do(known, cfg.retry_failed):
        return
    rank = os.environ.get("SLURM_PROCID") or os.environ.get("RANK") or os.environ["LOCAL_RANK"]
    place = folder / "jobs" / f"{HydraConfig.get().job.num}-rank{rank}"
    process = JobProcess(plain(cfg), place, working_folder, {})
    with forwarding(lambda _: process.stop("interrupted"), process.kill):
        while process.poll():
            process.wait(SECONDS_BETWEEN_POLLS)
        process.result()


@contextmanager
def forwarding(stop: Callable[[int], None], kill: Callable[[], None]) -> Iterator[list[int]]:
    """Pass signals on to a job while it runs; afterwards, handle them as before.

    A handler that was installed before, as by a cluster's launcher that requeues the job, is called
    when the job has saved and left. Without such a handler, this process ends.

    Args:
        stop: Function that is called with the number of the first signal.
        kill: Function that is called at a second Ctrl-C.

    Raises:
        KeyboardInterrupt: The signal was Ctrl-C.
        SystemExit: The signal was another one, for which no handler was installed.
    """
    received: list[int] = []
    before: dict[int, Any] = {}

    def receive(number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP:
            let_go_of_terminal()
        if not received:
            stop(number)
        elif number == signal.SIGINT:
            kill()
        received.append(number)

    if threading.current_thread() is threading.main_thread():  # other threads get no signals
        for wanted in SIGNALS:
            if signal.getsignal(wanted) is not signal.SIG_IGN:
                before[wanted] = signal.signal(wanted, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in dict.fromkeys(received):
        if callable(before[number]):
            before[number](number, None)
        elif before[number] is signal.SIG_DFL:
            raise SystemExit(LEFT_EARLY)
