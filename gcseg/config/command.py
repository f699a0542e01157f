"""Run a command: compose its configuration with Hydra, check it, print errors in one line.

Nothing heavy is imported here, so that --help and --cfg job are fast.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import (
    HydraException,
)
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from gcseg.config.checks import SettingError, check, expand_home, take_whole_numbers
from gcseg.config.command_line import (
    as_hydra_reads,
    asks_for_information,
    options_first,
)
from gcseg.config.compose import register_resolvers, source_folder
from gcseg.config.messages import ONE_LINE, errors_in_one_line, explain, full_errors
from gcseg.config.options import check_options
from gcseg.config.published_rows import GROUP, LIST_OF_ROWS
from gcseg.config.quicker import quicker_hydra
from gcseg.config.resolved import run_resolved
from gcseg.errors import ConfigError, GcsegError, OutputError
from gcseg.system.text import counted, say

ALIASES = {"hydra/sweeper=optuna": "hydra/sweeper=search"}
"""Options replaced by gcseg's: the plugin's own minimizes, and ends when the first job fails."""


class Multirun(NamedTuple):
    """Handling of the jobs of a multirun, each of which is a process and has a ledger entry.

    Args:
        run_job: Function that takes a job's configuration and its problem, if any, and returns the
            job's mIoU if it has one.
        end: Callback for the end of all jobs, whatever the reason.
        begin_process: Callback in a process with resolved settings, before they are read.
    """

    run_job: Callable[[DictConfig, str | None], float | None]
    end: Callable[[], None]
    begin_process: Callable[[], None]


def run_command(
    config_name: str,
    task: Callable[[DictConfig], object],
    *,
    prepare: Callable[[list[str]], object] | None = None,
    multirun: Multirun | None = None,
    in_file: Callable[[SettingError], str | None] | None = None,
    complete: Callable[[DictConfig, list[str]], bool] | None = None,
) -> None:
    """Run a command: compose `conf/<config_name>.yaml` with the command line and call the task.

    Ends the process with status 1 and one line on a mistake that the user can mend.

    Args:
        config_name: The command's primary configuration.
        task: Function that runs the command with the composed and checked configuration.
        prepare: Callback that gets the command line before anything is composed.
        multirun: Handling of the jobs of a multirun; they run here, one after the other, if None.
            With it, already resolved settings can be given by `--resolved FILE`.
        in_file: Function that gives the cause of an error whose setting is of a file that the
            command line names, such as a checkpoint; None for any other setting.
        complete: Function that replaces checked settings by others which depend on the data, given
            the overrides too, and returns whether it changed any; None for none.
    """
    arguments = [as_hydra_reads(argument) for argument in sys.argv[1:]]
    sys.argv[1:] = options_first(arguments)
    if multirun is not None and sys.argv[1:2] == ["--resolved"]:
        run_resolved(config_name, task, sys.argv[2:], multirun.begin_process, complete)
        return
    with errors_in_one_line(config_name, full_errors()):
        check_options(arguments, config_name, () if multirun is None else ("--resolved",))
    if multirun is not None:
        sys.argv[1:] = [ALIASES.get(argument, argument) for argument in sys.argv[1:]]
    if asks_for_information(sys.argv[1:]):  # Hydra has no information about a multirun
        sys.argv[1:] = first_job(sys.argv[1:])
    register_resolvers()
    full = full_errors()
    # conf/ configures clusters' launchers in files named like them, which Hydra deprecates.
    warnings.filterwarnings("ignore", message=r"(?s).* is validated against ConfigStore schema")
    checked_task = CheckedTask(
        config_name, task, multirun=multirun, full=full, in_file=in_file, complete=complete
    )
    with errors_in_one_line(config_name, full):
        check_groups(sys.argv[1:])
        if prepare is not None:
            prepare(sys.argv[1:])
        if not full:  # let Hydra raise its errors, to word them here
            os.environ.update({"HYDRA_FULL_ERROR": "1", ONE_LINE: "1"})
        try:
            with quicker_hydra(sys.argv[1:]):
                hydra.main(
                    version_base="1.3",
                    config_path=str(source_folder("conf")),
                    config_name=config_name,
                )(checked_task)()
        except OSError as error:
            if checked_task.begun or isinstance(error, HydraException):
                raise
            raise OutputError(
                f"Hydra can't make {error.filename} ({error.strerror})",
                "give another hydra.run.dir or hydra.sweep.dir, or leave it out",
            ) from error
        finally:
            if not full:
                del os.environ["HYDRA_FULL_ERROR"], os.environ[ONE_LINE]
            if multirun is not None:
                multirun.end()
    failed = checked_task.failed
    if failed:
        say(f"error: {counted(len(failed), 'job')} failed: {'; '.join(failed)}", error=True)
        sys.exit(1)


def check_groups(arguments: Iterable[str]) -> None:
    """Check that groups are given options; Hydra would print a traceback.

    Raises:
        ConfigError: A group is given something else, such as null.
    """
    for argument in arguments:
        group, equals, value = argument.lstrip("+").partition("=")
        if group == "hydra" and equals and not value.lstrip().startswith("{"):
            raise ConfigError(
                f"{argument} replaces all of Hydra's settings",
                "change single settings, such as hydra.launcher.jobs=2",
            )
        options = sorted(path.stem for name in ("conf", "experiments")
                         for path in (source_folder(name) / group).glob("*.yaml"))  # fmt: skip
        remedy = f"use one of {', '.join(options)}" if group != GROUP else LIST_OF_ROWS
        if not equals or not group or argument.startswith("-") or not (options or group == GROUP):
            continue
        with suppress(HydraException):  # raised again where the command line is composed
            (one,) = OverridesParser.create().parse_overrides([argument])
            values = one.sweep_iterator() if one.is_sweep_override() else [one.value()]
            if not all(isinstance(value, str | QuotedString) for value in values):
                raise ConfigError(f"{argument} is not an option", remedy)


def first_job(arguments: Sequence[str]) -> list[str]:
    """Command line of the first job of a multirun."""
    first = []
    for argument in arguments:
        with suppress(HydraException):  # raised again where the command line is composed
            if "=" in argument and not argument.startswith("-"):
                (one,) = OverridesParser.create().parse_overrides([argument])
                if one.is_sweep_override():
                    value = next(one.sweep_string_iterator())
                    argument = f"{one.get_key_element()}={value}"
        if argument not in ("-m", "--multirun"):
            first.append(argument)
    return first


class CheckedTask:
    """A command's task as Hydra calls it, once for each job; launchers send it to other machines.

    Args:
        config_name: The command's primary configuration.
        task: Function that takes the checked configuration.
        multirun: Handling of the jobs of a multirun; None if the task runs them.
        full: Whether errors keep their traceback.
        in_file: See `run_command`.
        complete: See `run_command`.
    """

    def __init__(
        self,
        config_name: str,
        task: Callable[[DictConfig], object],
        *,
        multirun: Multirun | None,
        full: bool,
        in_file: Callable[[SettingError], str | None] | None = None,
        complete: Callable[[DictConfig, list[str]], bool] | None = None,
    ) -> None:
        self.config_name = config_name
        self.task = task
        self.multirun = multirun
        self.full = full
        self.in_file = in_file
        self.complete = complete
        self.failed: list[str] = []
        self.begun = False

    def __call__(self, cfg: DictConfig) -> float | None:
        """Run a job; in a multirun, return its mIoU if it has one."""
        self.begun = True
        if self.multirun is not None and is_multirun():
            return self.multirun.run_job(cfg, self.problem(cfg))
        # Here, because Hydra adds lines to an exception that leaves the task.
        with errors_in_one_line(
            self.config_name, self.full, self.failed if is_multirun() else None
        ):
            self.check(cfg)
            if is_multirun() and (cfg.get("devices", 1), cfg.get("num_nodes", 1)) != (1, 1):
                raise ConfigError(
                    f"devices={cfg.get('devices')} num_nodes={cfg.get('num_nodes')} in a multirun",
                    "run each training as a separate command, or use one device per job",
                )
            self.task(cfg)
        return None

    def check(self, cfg: DictConfig) -> None:
        """Check the configuration of a job, expand `~` in it, and complete it.

        Raises:
            GcsegError: A value is wrong, or what it depends on can't be read.
        """
        check_settings(cfg, self.config_name, self.in_file)
        if self.complete is not None:
            given = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
            if self.complete(cfg, given):
                check_settings(cfg, self.config_name, self.in_file)

    def problem(self, cfg: DictConfig) -> str | None:
        """Describe the error in a job's configuration in one line; None if there is none."""
        try:
            self.check(cfg)
        except (GcsegError, HydraException, OmegaConfBaseException) as error:
            return explain(error, self.config_name)
        return None


def check_settings(
    cfg: DictConfig, config_name: str, in_file: Callable[[SettingError], str | None] | None = None
) -> None:
    """Check settings, write whole numbers as such, and expand `~`.

    Args:
        cfg: The settings, changed in place.
        config_name: The command's primary configuration.
        in_file: See `run_command`.

    Raises:
        ConfigError: A value is wrong.
    """
    take_whole_numbers(cfg, config_name)
    try:
        check(cfg, config_name)
    except SettingError as error:
        if in_file is None or (cause := in_file(error)) is None:
            raise
        raise ConfigError(cause, error.remedy) from None
    expand_home(cfg, config_name)


def is_multirun() -> bool:
    """Return whether this process runs several jobs (-m)."""
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN
