"""Errors of a command in one line."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from gcseg.config.checks import readers_of
from gcseg.config.compose import compose, group_overrides
from gcseg.config.plain import leaves
from gcseg.errors import GcsegError, StoppedBySignal, behind, is_out_of_memory
from gcseg.system.launch import is_first_process
from gcseg.system.text import say

ONE_LINE = "GCSEG_ERRORS_IN_ONE_LINE"
"""Tells the processes that this one starts that HYDRA_FULL_ERROR is not the user's wish."""


def full_errors() -> bool:
    """Whether the user wants errors with their traceback."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1" and ONE_LINE not in os.environ


@contextmanager
def errors_in_one_line(
    config_name: str, full: bool = False, failed_jobs: list[str] | None = None
) -> Iterator[None]:
    """End the process with one line on what the user can mend; with `full`, let it through.

    A job of a multirun is only noted in `failed_jobs`, so that the others run.
    """
    try:
        yield
    except StoppedBySignal as left:
        if is_first_process():
            with suppress(OSError):  # whoever read it may be gone with the terminal
                say(left, error=True)
        sys.exit(left.status)
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as exit:
        if exit.code == 1 and behind(exit, KeyboardInterrupt):  # so Lightning ends on Ctrl-C
            _interrupted()
        raise
    except BrokenPipeError:  # as of head, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if behind(error, KeyboardInterrupt):  # while a library was at something
            _interrupted()
        mendable = isinstance(error, (GcsegError, HydraException, OmegaConfBaseException))
        if full or not (mendable or is_out_of_memory(error)):
            raise
        say(f"error: {explain(error, config_name)}", error=True)
        if failed_jobs is None:
            sys.exit(1)
        failed_jobs.append(" ".join(HydraConfig.get().overrides.task))


def _interrupted() -> NoReturn:
    if is_first_process():
        with suppress(OSError):  # whoever read it may be gone with the terminal
            say("interrupted: the same command goes on where it can", error=True)
    sys.exit(130)


def explain(error: Exception, config_name: str) -> str:
    """An error's message in one line with a remedy."""
    text = " ".join(str(error).split())
    if isinstance(error, GcsegError):
        return text
    if is_out_of_memory(error):
        text = text or "out of memory"
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
        cfg = compose(config_name, group_overrides(sys.argv[1:]))
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
