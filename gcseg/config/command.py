"""Commands: find the configuration, compose it with Hydra, check it, say errors in one line.

Nothing heavy is imported here, so that --help and --cfg job answer at once.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from gcseg.config.checks import check, expand_home, leaves, readers_of
from gcseg.config.command_line import home_expanded, options_first
from gcseg.errors import ConfigError, GcsegError, LeftEarlyError, behind, is_out_of_memory
from gcseg.system.ranks import is_first_process
from gcseg.system.records import RecordError, read_yaml
from gcseg.system.text import say

PACKAGE = Path(__file__).resolve().parents[1]

_ONE_LINE = "GCSEG_ERRORS_IN_ONE_LINE"
"""Tells the processes that this one starts that HYDRA_FULL_ERROR is not the user's wish."""

INFORMATION = {"-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "--version"}
"""Options with which a command runs nothing."""

ALIASES = {"hydra/sweeper=optuna": "hydra/sweeper=search"}
"""The plugin's own would look for the lowest score, and end at the first job that fails."""


def source_folder(name: str) -> Path:
    """Where conf/ or experiments/ is: in the package if installed, beside it in a checkout."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def register_resolvers() -> None:
    """Make `${gcseg_folder:NAME}` and the like, which conf/ uses, known to OmegaConf."""
    OmegaConf.register_new_resolver(
        "gcseg_folder", lambda name: str(source_folder(name)), replace=True
    )
    OmegaConf.register_new_resolver(
        "folder_name", lambda path: Path(str(path)).resolve().name, replace=True
    )
    # Kept with the configuration, so that jobs on other machines see the command's and not theirs.
    OmegaConf.register_new_resolver("sweep_name", _sweep_name, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("gpus_to_ask_for", _gpus_to_ask_for, replace=True)


def _sweep_name() -> str:
    from gcseg.sweeps.plan import sweep_name

    return sweep_name(sys.argv[1:])


def _gpus_to_ask_for(accelerator: str, devices: int | str) -> int | str | None:
    """GPUs on each machine that a cluster's queue is asked for; None for a job without."""
    return None if accelerator in ("cpu", "mps") else devices


def run_command(
    config_name: str,
    task: Callable[[DictConfig], None],
    *,
    prepare: Callable[[list[str]], object] | None = None,
    sweeps: bool = False,
) -> None:
    """Run a command: compose `conf/<config_name>.yaml` with the command line and call the task.

    Ends the process with status 1 and one line on a mistake that the user can mend.

    Args:
        config_name: The command's primary configuration.
        task: What it does with the composed and checked configuration.
        prepare: Called with the command line before anything is composed.
        sweeps: Whether jobs of a multirun are processes of their own, and in a ledger; a
            configuration that is resolved already can then be given with `--resolved FILE`.
    """
    sys.argv[1:] = options_first(map(home_expanded, sys.argv[1:]))
    if sweeps and sys.argv[1:2] == ["--resolved"]:
        _run_resolved(config_name, task, sys.argv[2:])
        return
    if sweeps:
        sys.argv[1:] = [ALIASES.get(argument, argument) for argument in sys.argv[1:]]
    if asks_for_information(sys.argv[1:]):  # of which Hydra gives none about a multirun
        sys.argv[1:] = _first_job(sys.argv[1:])
    register_resolvers()
    full = _full_errors()
    # conf/ sets values of clusters' launchers in files of their names; Hydra would have others.
    warnings.filterwarnings("ignore", message=r"(?s).* is validated against ConfigStore schema")
    checked_task = CheckedTask(config_name, task, sweeps=sweeps, full=full)
    with errors_in_one_line(config_name, full):
        _check_options(sys.argv[1:])
        if prepare is not None:
            prepare(sys.argv[1:])
        if not full:  # have Hydra raise its errors, to word them here
            os.environ.update({"HYDRA_FULL_ERROR": "1", _ONE_LINE: "1"})
        try:
            hydra.main(
                version_base="1.3", config_path=str(source_folder("conf")), config_name=config_name
            )(checked_task)()
        finally:
            if not full:
                del os.environ["HYDRA_FULL_ERROR"], os.environ[_ONE_LINE]
            if checked_task.sweeps:
                _end_sweep()
    failed = checked_task.failed
    if failed:
        say(f"error: {len(failed)} jobs failed: {'; '.join(failed)}", error=True)
        sys.exit(1)


def asks_for_information(arguments: Iterable[str]) -> bool:
    """Whether a command line has an option with which a command runs nothing."""
    return any(argument.partition("=")[0] in INFORMATION for argument in arguments)


def _check_options(arguments: Iterable[str]) -> None:
    """Check that a group is given an option, which Hydra tells in a traceback.

    Raises:
        ConfigError: It is given something else, as null.
    """
    for argument in arguments:
        group, equals, _ = argument.lstrip("+").partition("=")
        options = sorted(path.stem for name in ("conf", "experiments")
                         for path in (source_folder(name) / group).glob("*.yaml"))  # fmt: skip
        if not equals or not group or not options or argument.startswith("-"):
            continue
        with suppress(HydraException):  # that come again where the command line is composed
            (one,) = OverridesParser.create().parse_overrides([argument])
            values = one.sweep_iterator() if one.is_sweep_override() else [one.value()]
            if not all(isinstance(value, str | QuotedString) for value in values):
                raise ConfigError(f"{argument} names no option", f"use one of {', '.join(options)}")


def _first_job(arguments: Sequence[str]) -> list[str]:
    """The command line of the first job of a multirun."""
    first = []
    for argument in arguments:
        with suppress(HydraException):  # that come again where the command line is composed
            if "=" in argument and not argument.startswith("-"):
                (one,) = OverridesParser.create().parse_overrides([argument])
                if one.is_sweep_override():
                    value = next(one.sweep_string_iterator())
                    argument = f"{one.get_key_element()}={value}"
        if argument not in ("-m", "--multirun"):
            first.append(argument)
    return first


def _full_errors() -> bool:
    """Whether the user wants errors with their traceback."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1" and _ONE_LINE not in os.environ


class CheckedTask:
    """A command's task as Hydra calls it, once for each job; launchers send it to other machines.

    Args:
        config_name: The command's primary configuration.
        task: Takes the configuration, once it is checked.
        sweeps: Whether a job of a multirun is a process of its own.
        full: Whether errors pass with their traceback.
    """

    def __init__(
        self, config_name: str, task: Callable[[DictConfig], None], *, sweeps: bool, full: bool
    ) -> None:
        self.config_name = config_name
        self.task = task
        self.sweeps = sweeps
        self.full = full
        self.failed: list[str] = []

    def __call__(self, cfg: DictConfig) -> float | None:
        """Do a job; in a multirun, its mIoU where it has one."""
        if self.sweeps and is_multirun():
            from gcseg.sweeps.job import run_job

            return run_job(cfg, self.problem(cfg))
        # Here, because Hydra adds lines of its own to an exception that leaves the task.
        with errors_in_one_line(
            self.config_name, self.full, self.failed if is_multirun() else None
        ):
            self.check(cfg)
            if is_multirun() and (cfg.get("devices", 1), cfg.get("num_nodes", 1)) != (1, 1):
                raise ConfigError(
                    f"devices={cfg.get('devices')} num_nodes={cfg.get('num_nodes')} in a multirun",
                    "give each command by itself, or use one device per job",
                )
            self.task(cfg)
        return None

    def check(self, cfg: DictConfig) -> None:
        """Check the configuration of a job; what it has of the home folder's `~` is written out.

        Raises:
            ConfigError: A value is wrong.
        """
        check(cfg, self.config_name)
        expand_home(cfg, self.config_name)

    def problem(self, cfg: DictConfig) -> str | None:
        """What is wrong with the configuration of a job, in one line; None if nothing is."""
        try:
            self.check(cfg)
        except (GcsegError, HydraException, OmegaConfBaseException) as error:
            return _explain(error, self.config_name)
        return None


def _run_resolved(
    config_name: str, task: Callable[[DictConfig], None], arguments: list[str]
) -> None:
    """Run a command with the settings of a file that are resolved already, without Hydra."""
    from gcseg.sweeps.outcome import leave_with_sweep

    with errors_in_one_line(config_name, _full_errors()):
        if not arguments or not all("=" in argument for argument in arguments[1:]):
            given = " ".join(arguments) or "nothing"
            raise ConfigError(
                f"--resolved is given {given}",
                "give it a file, as config.yaml of a run folder, and then key=value if you like",
            )
        leave_with_sweep()
        cfg = _read_resolved(Path(arguments[0]), config_name)
        cfg.merge_with_dotlist(arguments[1:])
        check(cfg, config_name)
        expand_home(cfg, config_name)
        task(cfg)


def _read_resolved(path: Path, config_name: str) -> DictConfig:
    """Settings of a YAML file; those that have come after it was written are as usual.

    Raises:
        ConfigError: There is no such file, or it has no settings.
    """
    try:
        content = read_yaml(path)
    except (FileNotFoundError, RecordError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{path} can't be read ({reason})", "give config.yaml of a run folder"
        ) from None
    if not isinstance(content, dict) or "tta" not in content:
        raise ConfigError(
            f"{path} holds no settings of a training", "give config.yaml of a run folder"
        )
    usual = compose(config_name, [])
    missing = [str(key) for key in usual if key not in content]
    if missing:
        say(f"as usual, since {path} does not have them: {', '.join(missing)}", error=True)
    cfg = OmegaConf.create({**{key: usual._get_node(key) for key in missing}, **content})
    OmegaConf.set_struct(cfg, True)  # a setting that is missing is an error and not None
    return cfg


def _end_sweep() -> None:
    """Sum up the multirun, if there was one; ends the process with status 1 if a job failed."""
    if "gcseg.sweeps.sweep" in sys.modules:
        from gcseg.sweeps.sweep import end

        end()


@contextmanager
def errors_in_one_line(
    config_name: str, full: bool = False, failed_jobs: list[str] | None = None
) -> Iterator[None]:
    """End the process with one line on what the user can mend; with `full`, let it through.

    A job of a multirun is only noted in `failed_jobs`, so that the others run.
    """
    try:
        yield
    except LeftEarlyError as left:
        if is_first_process():
            with suppress(OSError):  # whoever read it may be gone with the terminal
                say(left, error=True)
        sys.exit(left.status)
    except KeyboardInterrupt:
        _interrupted()
    except BrokenPipeError:  # as of head, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if behind(error, KeyboardInterrupt):  # while a library was at something
            _interrupted()
        mendable = isinstance(error, (GcsegError, HydraException, OmegaConfBaseException))
        if full or not (mendable or is_out_of_memory(error)):
            raise
        say(f"error: {_explain(error, config_name)}", error=True)
        if failed_jobs is None:
            sys.exit(1)
        failed_jobs.append(" ".join(HydraConfig.get().overrides.task))


def _interrupted() -> NoReturn:
    say("interrupted: the same command goes on where it can", error=True)
    sys.exit(130)


def _explain(error: Exception, config_name: str) -> str:
    """An error's message in one line with a remedy."""
    text = " ".join(str(error).split())
    if isinstance(error, GcsegError):
        return text
    if is_out_of_memory(error):
        return f"{text}: lower batch_size, raise accumulate, or use precision=bf16-mixed"
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        known = sorted(option for option in error.options if option != "trained")
        return f"{group}={option} does not exist: use one of {', '.join(known)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override} can't be read ({text}): write key=value, quoted where needed"
    if match := re.search(r"Could not (?:override|find match for) '([^']+)'", text):
        return f"there is no setting {match[1]!r}: {_suggest(match[1], config_name)}"
    if match := re.search(r"Missing mandatory value: (\S+)", text):
        return f"{match[1]} is not set: give {match[1]}=..."
    if match := re.search(r"Key '[^']*' is not in struct full_key: (\S+)", text):
        return f"{match[1]} is not set: give {match[1]}=..."
    if "nterpolation" in text or isinstance(error, GrammarParseError):
        return f"{text}: give what ${{...}} stands for, or a value in its place"
    return text


def _suggest(key: str, config_name: str) -> str:
    """The settings that a misspelt key may have meant."""
    try:
        cfg = compose(config_name, _group_overrides(sys.argv[1:]))
    except HydraException:  # a group that only other commands have
        cfg = compose(config_name, [])
    known = [name for name in leaves(cfg) if name != key]
    close = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    if not close:  # perhaps the right name in another place
        close = [name for name in known if name.split(".")[-1] == key.split(".")[-1]][:3]
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    if elsewhere := readers_of(key):
        meant = f"it is one of {elsewhere}; "
    return f"{meant}--cfg job lists them all"


def compose(config_name: str, overrides: list[str], *, with_hydra: bool = False) -> DictConfig:
    """Compose `conf/<config_name>.yaml` outside a command, if asked for with Hydra's settings.

    Raises:
        HydraException: An override does not exist.
    """
    register_resolvers()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(source_folder("conf")), version_base="1.3"):
        return hydra.compose(config_name, overrides, return_hydra_config=with_hydra)


def _group_overrides(arguments: Iterable[str]) -> list[str]:
    """Those of the command line that choose an existing option of a group."""
    chosen = []
    for argument in arguments:
        group, _, option = argument.partition("=")
        if (source_folder("conf") / group / f"{option}.yaml").is_file():
            chosen.append(argument)
    return chosen


def is_multirun() -> bool:
    """Whether this process runs several jobs (-m)."""
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN
