"""Print errors of a command in one line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from gcseg.config.compose import source_folder
from gcseg.config.meant import unknown_setting
from gcseg.config.published_rows import GROUP, no_such_row
from gcseg.config.table import TABLE
from gcseg.errors import GcsegError, StoppedBySignal, TrainingError, behind, is_out_of_memory
from gcseg.system.launch import is_first_process
from gcseg.system.text import as_override, say

ONE_LINE = "GCSEG_ERRORS_IN_ONE_LINE"
"""Variable that says in child processes that HYDRA_FULL_ERROR was set by gcseg, not the user."""


def full_errors() -> bool:
    """Return whether the user wants errors with their traceback."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1" and ONE_LINE not in os.environ


@contextmanager
def errors_in_one_line(
    config_name: str, full: bool = False, failed_jobs: list[str] | None = None
) -> Iterator[None]:
    """End the process with one line on an error that the user can fix; with `full`, let it pass.

    An error of a multirun's job is only added to `failed_jobs`, so that the others run.
    """
    try:
        yield
    except StoppedBySignal as left:
        if is_first_process():
            with suppress(OSError):  # the terminal may be closed
                say(left, error=True)
        sys.exit(left.status)
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as exit:
        if exit.code == 1 and behind(exit, KeyboardInterrupt):  # Lightning's exit on Ctrl-C
            _interrupted()
        raise
    except BrokenPipeError:  # a reader such as head has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if behind(error, KeyboardInterrupt):  # Ctrl-C inside a library
            _interrupted()
        if not full and _is_of_another_process(error):
            if is_first_process():
                say("error: another process of the command has ended: see its error", error=True)
            sys.exit(1)
        mendable = isinstance(error, (GcsegError, HydraException, OmegaConfBaseException))
        if full or not (mendable or is_out_of_memory(error)):
            raise
        if is_first_process() or not isinstance(error, TrainingError):  # or each would say it
            say(f"error: {explain(error, config_name)}", error=True)
        if failed_jobs is None:
            sys.exit(1)
        failed_jobs.append(" ".join(HydraConfig.get().overrides.task))


def _is_of_another_process(error: BaseException) -> bool:
    """Whether an error only tells that another process of the same command is gone."""
    kind = type(error)
    raised = "torch" in kind.__module__ and kind.__name__.startswith("Dist")
    lost = re.search(r"closed|reset|refused|broken pipe|timed? ?out|abort", str(error), re.I)
    return isinstance(error, RuntimeError) and bool(lost) and (raised or "gloo" in str(error))


def _interrupted() -> NoReturn:
    if is_first_process():
        with suppress(OSError):  # the terminal may be closed
            say("interrupted: the same command continues where it can", error=True)
    sys.exit(130)


def explain(error: Exception, config_name: str, arguments: Sequence[str] | None = None) -> str:
    """Format an error and its remedy in one line.

    Args:
        error: The error.
        config_name: The command's primary configuration.
        arguments: The command line or its like; that of this process if None.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    text = " ".join(str(error).split())
    if isinstance(error, GcsegError):
        return text
    if is_out_of_memory(error):
        text = text or "out of memory"
        return f"{text}: lower batch_size, raise accumulate, or use precision=bf16-mixed"
    if isinstance(error, MissingConfigException) and error.options is not None:
        missing = str(error.missing_cfg_file)
        if missing.startswith(f"{GROUP}/"):  # a row's name has no further slash, a checkpoint's has
            return str(no_such_row(missing.removeprefix(f"{GROUP}/")))
        group = _group_of(missing)
        nested = _nested_options(group)
        known = sorted({*error.options, *nested} - {"trained"})
        option = missing.removeprefix(f"{group}/")
        return f"{group}={option} does not exist: use one of {', '.join(known)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override} can't be read: {_readable(str(error.override))}"
    if match := re.search(r"Could not (?:override|find match for|delete .*) '([^']+)'", text):
        return str(unknown_setting(match[1], config_name, arguments))
    if words := _of_hydra(text, arguments):
        return words
    if match := re.search(r"Missing mandatory value: (\S+)", text):
        return f"{match[1]} is not set: give {match[1]}=..."
    if match := re.search(r"Key '[^']*' is not in struct full_key: (\S+)", text):
        return f"{match[1]} is not set: give {match[1]}=..."
    if "nterpolation" in text or isinstance(error, GrammarParseError):
        return f"{text}: set what ${{...}} refers to, or give a value instead"
    return text


def _readable(argument: str) -> str:
    """Suggest how to write an argument that is not a setting with its value."""
    key, equals, value = argument.partition("=")
    if equals:
        return f'quote the value, as "{as_override(key, value)}"'
    name, _, value = argument.partition(" ")
    known = name in {row.name for row in TABLE}
    return f"write {name}={value.strip() or '...'}" if known else "settings are key=value"


def _group_of(missing: str) -> str:
    """Return the group of a missing option.

    Options of experiments may be in folders, as `ablation=paper/block`.

    Args:
        missing: Group and option, such as `ablation/paper/blocks`.
    """
    first, _, _ = missing.partition("/")
    is_experiment = (source_folder("experiments") / first).is_dir()
    return first if is_experiment else missing.rpartition("/")[0]


def _nested_options(group: str) -> list[str]:
    """Return the options of a group of experiments, with those in folders; else nothing."""
    folder = source_folder("experiments") / group
    return [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")]


def _of_hydra(text: str, arguments: Sequence[str]) -> str:
    """Reword a mistake that Hydra reports; empty for any other text."""
    if match := re.search(r"Ambiguous value for argument '(.*?)' 1\. To use", text):
        return _several_values(match[1])
    for pattern in (
        r"^(?P<key>\S+) appears more than once in the final defaults list",
        r"Could not append to config\. An item is already at '(?P<key>[^']+)'",
        r"force-add of config groups is not supported: '\++(?P<key>[^=']+)",
    ):
        match = re.search(pattern, text)
        added = [one for one in arguments if match and re.match(rf"\++{match['key']}=", one)]
        if added:
            return f"{added[0]} adds a setting that already exists: write {added[0].lstrip('+')}"
    if match := re.search(r"Additional config directory '(.*?)' not found", text):
        return f"--config-dir {match[1]} is not a folder: give a folder with your settings"
    return ""


def _several_values(argument: str) -> str:
    """Suggest what a setting with a comma between values may mean, outside a multirun."""
    key, _, value = argument.partition("=")
    row = next((row for row in TABLE if row.name == key.lstrip("+")), None)
    if re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", value):
        single = f"write {key}={value.replace(',', '.')}"
    else:
        single = f"quote a name with a comma, as \"{key}='{value}'\""
    if row is not None and row.listed:
        single = f"write {key}=[{value}] for a list"
    return f"{argument} gives several values: {single}, or add -m for a job with each"
