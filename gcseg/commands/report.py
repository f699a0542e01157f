"""python -m gcseg.report: an HTML report of a training, or of the trainings of a sweep."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from gcseg.config.command import run_command
from gcseg.config.trained import run_with_run_folder
from gcseg.system.text import say


def report(cfg: DictConfig, folder: Path) -> None:
    """Write the report of a run folder.

    Raises:
        GcsegError: A setting, the run folder or the output is wrong.
    """
    from gcseg.commands.run_report import write_report

    output = None if cfg.output is None else Path(cfg.output)
    say(f"report: {write_report(cfg, folder, output)}")


def sweep_report(cfg: DictConfig) -> None:
    """Write the report of a sweep.

    Raises:
        GcsegError: A setting, the sweep's folder or the output is wrong.
    """
    from gcseg.report.sweep.compare import read_jobs
    from gcseg.report.sweep.page import write_sweep_report

    folder = Path(cfg.sweep).expanduser()
    output = None if cfg.output is None else Path(cfg.output)
    root = None if cfg.run_root is None else Path(cfg.run_root).expanduser()
    notices: list[str] = []
    jobs = read_jobs(folder, notices)
    say(f"report: {write_sweep_report(folder, jobs, output, notices, root)}")


def main() -> None:
    """Write the report of a run or of a sweep."""
    if any(argument.startswith("sweep=") for argument in sys.argv[1:]):
        run_command("report_sweep", sweep_report)
    else:
        run_with_run_folder("report", report)
