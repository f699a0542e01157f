"""Start and end of a multirun: its folder is locked, and its results are summed up."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from gcseg.config.checks import check_one
from gcseg.config.plain import plain
from gcseg.config.sweep_name import BOOKKEEPING_KEYS, is_bookkeeping
from gcseg.errors import ConfigError, GcsegError
from gcseg.runs.folder import REPORT_FILE
from gcseg.runs.lock import hold
from gcseg.sweeps.ledger import ENDED, Job, Ledger
from gcseg.system.links import refuse_links
from gcseg.system.terminal import announce
from gcseg.system.text import counted, say

_GONE_ON_WITH = ("multirun.yaml", "ledger.sqlite", "jobs", "slurm")
"""Files of a sweep's folder that are opened to continue a sweep; other files are replaced."""

_begun: list[tuple[Path, Path, str, ExitStack]] = []
"""Folder, run root, `timing` and lock of this process's sweep, from its start to its end."""


class SweepCallback(Callback):
    """Callback that begins a sweep when Hydra begins a multirun.

    Hydra calls nothing when a sweep is interrupted, so the end of a sweep is not handled here.
    """

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Lock the sweep's folder, and mark jobs that a killed sweep has left as interrupted.

        Raises:
            SystemExit: Another process runs the sweep, the folder can't be written, or a setting
                that all jobs share is wrong.
        """
        quiet_search(config)
        try:
            _check(config)
            root = Path(config.run_root).absolute()
            _begin(Path(config.hydra.sweep.dir).absolute(), root, config.timing)
        except GcsegError as error:  # Hydra would turn it into a warning
            say(f"error: {error}", error=True)
            raise SystemExit(1) from None


def _check(config: DictConfig) -> None:
    """Check the settings that all jobs must share, before any job is run.

    Raises:
        ConfigError: Such a setting varies, or its value is wrong.
    """
    given = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    varied = {one.key_or_group: one.input_line for one in given if one.is_sweep_override()}
    params = OmegaConf.select(config, "hydra.sweeper.params") or {}
    varied |= {name: f"{name}={value}" for name, value in params.items()}
    if config.fresh or "fresh" in varied:
        raise ConfigError(
            f"{varied.get('fresh', 'fresh=true')} in a multirun, whose jobs could not be resumed",
            "give run_root= another folder",
        )
    for name, line in varied.items():
        if is_bookkeeping(name):
            raise ConfigError(f"{line} in a multirun", "give one for all jobs")
    for name in BOOKKEEPING_KEYS:
        value = config[name]
        check_one(name, plain(value) if isinstance(value, DictConfig) else value)


def quiet_search(config: DictConfig) -> None:
    """Silence those messages of an optuna search that repeat the table of jobs."""
    name = str(config.hydra.sweeper._target_)
    if not name.rpartition(".")[2].startswith("Optuna"):
        return
    with suppress(ImportError):  # reported when the sweeper is created
        import optuna

        optuna.logging.set_verbosity(logging.WARNING)
    log = logging.getLogger(f"{name.rpartition('.')[0].rpartition('.')[0]}._impl")
    log.addFilter(lambda record: "must be float-castable" not in record.getMessage())


def _begin(folder: Path, root: Path, timing: str) -> None:
    refuse_links(folder, _GONE_ON_WITH)
    held = ExitStack()
    held.enter_context(
        hold(folder, remedy=("wait until it ends, or give another command or run_root"))
    )
    try:
        Ledger(folder / "ledger.sqlite").settle()
    except BaseException:
        held.close()
        raise
    _begun.append((folder, root, timing, held))


def end(summarise: Callable[[Path, Sequence[Job], Path, str], None]) -> None:
    """Sum up the sweep that this process has begun, whatever its outcome.

    Args:
        summarise: Function that writes the summary of a sweep, given its folder, all its jobs,
            their run root, and the setting `timing`; that is `none` if jobs are left.

    Raises:
        SystemExit: Jobs have failed; a line for each is printed.
    """
    if not _begun:
        return
    folder, root, timing, held = _begun.pop()
    with held:
        jobs = Ledger(folder / "ledger.sqlite").jobs()
        if not jobs:  # no configuration could be composed: leave no files
            for name in ("ledger.sqlite", "multirun.yaml"):
                (folder / name).unlink(missing_ok=True)
            return
        left = [job for job in jobs if job.state not in ENDED]
        summarise(folder, jobs, root, "none" if left else timing)
        announce(f"sweep: {folder}, to look at: {folder / REPORT_FILE}")
        failed = [job for job in jobs if job.state == "failed"]
        if left:
            again = f", and tries {counted(len(failed), 'failed one')} again" if failed else ""
            announce(
                f"{len(left)} of {counted(len(jobs), 'job')} left: the same command runs "
                f"them{again}"
            )
        # A search without any score to choose from ends in another exception already.
        if failed and (sys.exc_info()[0] is None or len(failed) == len(jobs)):
            say(f"error: {len(failed)} of {len(jobs)} jobs failed, see above", error=True)
            sys.exit(1)
