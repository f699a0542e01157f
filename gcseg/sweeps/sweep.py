"""A multirun from the command that starts it: its folder is held, and it is summed up."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from gcseg.engine.lock import hold
from gcseg.errors import GcsegError
from gcseg.sweeps.ledger import Ledger
from gcseg.terminal import announce

_begun: list[tuple[Path, ExitStack]] = []
"""The sweep of this process, from its start to its end."""


class SweepCallback(Callback):
    """Begins a sweep when Hydra begins a multirun.

    Its end is not Hydra's to tell, which says nothing when a sweep is interrupted.
    """

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Take the sweep's folder, and count jobs as interrupted that a killed sweep has left.

        Raises:
            SystemExit: Another process runs the sweep, or the folder can't be written.
        """
        try:
            _begin(Path(config.hydra.sweep.dir).absolute())
        except GcsegError as error:  # which Hydra would turn into a warning
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None


def _begin(folder: Path) -> None:
    held = ExitStack()
    held.enter_context(hold(folder, remedy="wait for its end, or give another command or run_root"))
    try:
        Ledger(folder / "ledger.sqlite").settle()
    except BaseException:
        held.close()
        raise
    _begun.append((folder, held))


def end() -> None:
    """Sum up the sweep that this process has begun, whatever it came to.

    Raises:
        SystemExit: Jobs have failed; a line for each is printed.
    """
    if not _begun:
        return
    folder, held = _begun.pop()
    with held:
        from gcseg.sweeps.summary import write_summary

        jobs = Ledger(folder / "ledger.sqlite").jobs()
        if not jobs:  # nothing could be composed: nothing stays
            for name in ("ledger.sqlite", "multirun.yaml"):
                (folder / name).unlink(missing_ok=True)
            return
        write_summary(folder, jobs)
        announce(f"sweep: {folder}")
        left = [job for job in jobs if job.state in ("pending", "running", "interrupted")]
        failed = [job for job in jobs if job.state == "failed"]
        if left:
            again = f", and tries the {len(failed)} failed ones again" if failed else ""
            announce(
                f"{len(left)} of {len(jobs)} jobs are left: the same command goes on with them"
                + again
            )
        # A search that has no score at all to choose from ends in an exception of its own.
        if failed and (sys.exc_info()[0] is None or len(failed) == len(jobs)):
            print(f"error: {len(failed)} of {len(jobs)} jobs failed, see above", file=sys.stderr)
            sys.exit(1)
