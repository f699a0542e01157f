"""python -m gcseg.report: an HTML report of a training, or of the trainings of a sweep."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from gcseg.config.command import run_command
from gcseg.config.trained import run_with_run_folder
from gcseg.errors import ConfigError
from gcseg.system.files import at_home
from gcseg.system.text import say


def report(cfg: DictConfig, folder: Path) -> None:
    """Write the report of a run folder.

    Raises:
        GcsegError: A setting, the run folder or the output is wrong.
    """
    from gcseg.commands.run_report import write_report

    output = _output(cfg)
    say(f"report: {write_report(cfg, folder, output)}")


def sweep_report(cfg: DictConfig) -> None:
    """Write the report of a sweep and its tables, after what is missing in them was measured.

    Raises:
        GcsegError: A setting, the sweep's folder or the output is wrong.
    """
    from gcseg.commands.network_times import time_networks
    from gcseg.report.sweep.compare import read_jobs
    from gcseg.report.sweep.page import write_sweep_report
    from gcseg.report.sweep.write import write_tables

    folder = at_home(cfg.sweep)
    output = _output(cfg)
    root = None if cfg.run_root is None else at_home(cfg.run_root)
    notices: list[str] = []
    jobs = read_jobs(folder, notices)
    time_networks(folder, jobs, root, cfg.timing, accelerator=cfg.accelerator, trust=cfg.trust)
    if output is None:
        write_tables(folder, jobs, root)
    report = write_sweep_report(folder, jobs, output, notices, root)
    say(*notices, error=True)
    say(f"report: {report}")


def _output(cfg: DictConfig) -> Path | None:
    """The file of `output=`, if one is given.

    Raises:
        ConfigError: It is no name of a page: the scores of a run must not be written over.
    """
    if cfg.output is None:
        return None
    path = Path(cfg.output)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"output={cfg.output} is not an .html file", "give output=NAME.html")
    return path


def main() -> None:
    """Write the report of a run or of a sweep."""
    given = {argument.partition("=")[0] for argument in sys.argv[1:]}
    if {"run", "sweep"} <= given:
        say("error: run= and sweep= write different reports: give one of them", error=True)
        sys.exit(1)
    if "sweep" in given:
        run_command("report_sweep", sweep_report)
    else:
        run_with_run_folder("report", report)
