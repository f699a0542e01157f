"""The display of a sweep's running jobs: a table on a terminal, lines in a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.live import Live
from rich.table import Table

from gcseg.sweeps.ledger import Job
from gcseg.sweeps.process import Progress
from gcseg.system.terminal import TextConsole
from gcseg.system.text import clock, percent

_STYLES = {"running": "bold", "done": "green", "failed": "red", "interrupted": "yellow"}


class SweepTable:
    """A table with a row per job on a terminal, or else a line for each change of a job's state.

    Args:
        known: Jobs whose current states are not reported.
        console: Console to write to; None for one on stderr.
    """

    def __init__(self, known: Sequence[Job] = (), console: TextConsole | None = None) -> None:
        self._console = console or TextConsole(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False)
        self._states = {job.key: str(job.state) for job in known}

    def __enter__(self) -> SweepTable:
        """Start the live table on a terminal."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the live table and leave its last state on the terminal."""
        self._live.stop()

    def show(self, jobs: Sequence[Job], progress: Mapping[str, Progress]) -> None:
        """Update the table.

        Args:
            jobs: All jobs of the sweep.
            progress: Progress of the running jobs, by key.
        """
        if self._console.is_terminal:
            self._live.update(sweep_table(jobs, progress), refresh=True)
            return
        changed: dict[object, list[tuple[Job, list[str]]]] = {}
        for job, own in zip(jobs, _own(jobs), strict=True):
            if self._states.get(job.key, "pending") != job.state:
                shared = job.state == "running" and job.log is not None
                changed.setdefault(job.log if shared else job.number, []).append((job, own))
            self._states[job.key] = job.state
        for together in changed.values():
            words = [_named(together), _told(together[0][0])]
            if len(together) > 1:
                words[-1] += " (one training)"
            self._console.print("  ".join(words))


def sweep_table(jobs: Sequence[Job], progress: Mapping[str, Progress]) -> Table:
    """Return a row per job: number, varied settings, state, step, time left, mIoU in percent."""
    table = Table("job", "settings", "state", "step", "left", "mIoU, %")
    for column in table.columns[3:]:
        column.justify = "right"
    for job, label in zip(jobs, varying(jobs), strict=True):
        here = progress.get(job.key, Progress())
        miou = here.miou if job.miou is None else job.miou
        table.add_row(
            str(job.number),
            label,
            job.state,
            _step(job, here),
            "" if here.seconds_left is None else clock(here.seconds_left),
            percent(miou),
            style=_STYLES.get(job.state),
        )
    return table


def _step(job: Job, here: Progress) -> str:
    """Return the step of a running job, or that at which a finished one stopped early."""
    if job.stopped_at is not None:
        return f"stopped at {job.stopped_at}/{job.settings['iters']}"
    return f"{here.step}/{here.iters}" if here.step is not None else ""


def varying(jobs: Sequence[Job]) -> list[str]:
    """Return, for each job, the overrides that not all jobs have."""
    return [" ".join(own) for own in _own(jobs)]


def _own(jobs: Sequence[Job]) -> list[list[str]]:
    common = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    return [[one for one in job.overrides if one not in common] for job in jobs]


def _named(together: Sequence[tuple[Job, Sequence[str]]]) -> str:
    """Return the numbers of jobs, with the overrides that they vary."""
    values: dict[str, dict[str, None]] = {}
    for _, own in together:
        for word in own:
            name, _, value = word.partition("=")
            values.setdefault(name, {})[value] = None
    numbers = ", ".join(str(job.number) for job, _ in together)
    varied = " ".join(f"{name}={','.join(of)}" for name, of in values.items())
    return f"job{'s' if len(together) > 1 else ''} {numbers}" + (f"  {varied}" if varied else "")


def _told(job: Job) -> str:
    """Return a job's state in words."""
    early = ""
    if job.stopped_at is not None:
        early = f", stopped early at step {job.stopped_at} of {job.settings['iters']}"
    if job.miou is not None:
        return f"{job.state}, mIoU {100 * job.miou:.2f} %{early}"
    return f"{job.state}: {job.error}" if job.error else job.state
