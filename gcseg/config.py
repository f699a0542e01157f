"""Commands: find the configuration, compose it with Hydra, check it, say errors in one line.

Nothing heavy is imported here, so that --help and --cfg job answer at once.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gcseg.errors import GcsegError
from gcseg.settings import check, check_types, leaves

PACKAGE = Path(__file__).resolve().parent


def source_folder(name: str) -> Path:
    """Where conf/ or experiments/ is: in the package if installed, beside it in a checkout."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def register_resolvers() -> None:
    """Make `${gcseg_folder:NAME}` and `${folder_name:PATH}` known to OmegaConf."""
    OmegaConf.register_new_resolver(
        "gcseg_folder", lambda name: str(source_folder(name)), replace=True
    )
    OmegaConf.register_new_resolver(
        "folder_name", lambda path: Path(str(path)).resolve().name, replace=True
    )


def run_command(
    config_name: str,
    task: Callable[[DictConfig], None],
    *,
    prepare: Callable[[list[str]], object] | None = None,
) -> None:
    """Run a command: compose `conf/<config_name>.yaml` with the command line and call the task.

    Ends the process with status 1 and one line on a mistake that the user can mend.

    Args:
        config_name: The command's primary configuration.
        task: What it does with the composed and checked configuration.
        prepare: Called with the command line before anything is composed.
    """
    register_resolvers()
    full = os.environ.get("HYDRA_FULL_ERROR") == "1"

    failed_jobs: list[str] = []

    def checked_task(cfg: DictConfig) -> None:
        # Inside the task, because Hydra adds lines of its own to an exception that leaves it.
        with errors_in_one_line(config_name, full, failed_jobs if is_multirun() else None):
            check(cfg)
            check_types(cfg, _as_in_files(config_name))
            task(cfg)

    with errors_in_one_line(config_name, full):
        if prepare is not None:
            prepare(sys.argv[1:])
        os.environ["HYDRA_FULL_ERROR"] = "1"  # have Hydra raise its errors, to word them here
        try:
            hydra.main(
                version_base="1.3", config_path=str(source_folder("conf")), config_name=config_name
            )(checked_task)()
        finally:
            if not full:
                del os.environ["HYDRA_FULL_ERROR"]
    if failed_jobs:
        print(f"error: {len(failed_jobs)} jobs failed: {'; '.join(failed_jobs)}", file=sys.stderr)
        sys.exit(1)


@contextmanager
def errors_in_one_line(
    config_name: str, full: bool = False, failed_jobs: list[str] | None = None
) -> Iterator[None]:
    """End the process with one line on what the user can mend; with `full`, let it through.

    A job of a multirun is only noted in `failed_jobs`, so that the others run.
    """
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it can", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # as of head, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (GcsegError, HydraException, OmegaConfBaseException, RuntimeError) as error:
        # torch's OutOfMemoryError by its name, as torch is not imported here.
        mendable = type(error).__name__ == "OutOfMemoryError" or not isinstance(error, RuntimeError)
        if full or not mendable:
            raise
        print(f"error: {_explain(error, config_name)}", file=sys.stderr)
        if failed_jobs is None:
            sys.exit(1)
        failed_jobs.append(" ".join(HydraConfig.get().overrides.task))


def _explain(error: Exception, config_name: str) -> str:
    """An error's message in one line with a remedy."""
    text = " ".join(str(error).split())
    if isinstance(error, GcsegError):
        return text
    if isinstance(error, RuntimeError):
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
    return text


def _suggest(key: str, config_name: str) -> str:
    """The settings that a misspelt key may have meant."""
    cfg = compose(config_name, _group_overrides(sys.argv[1:]))
    known = [name for name in leaves(cfg) if name != key]
    close = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    if not close:  # perhaps the right name in another place
        close = [name for name in known if name.split(".")[-1] == key.split(".")[-1]][:3]
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}--cfg job lists them all"


def compose(config_name: str, overrides: list[str]) -> DictConfig:
    """Compose `conf/<config_name>.yaml` outside a command.

    Raises:
        HydraException: An override does not exist.
    """
    register_resolvers()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(source_folder("conf")), version_base="1.3"):
        return hydra.compose(config_name, overrides)


def _group_overrides(arguments: Iterable[str]) -> list[str]:
    """Those of the command line that choose an existing option of a group."""
    chosen = []
    for argument in arguments:
        group, _, option = argument.partition("=")
        if (source_folder("conf") / group / f"{option}.yaml").is_file():
            chosen.append(argument)
    return chosen


def _as_in_files(config_name: str) -> DictConfig:
    """The configuration without the command line's values, but with the groups that it chose."""
    loader = GlobalHydra.instance().config_loader()
    groups = _group_overrides(HydraConfig.get().overrides.task)
    return loader.load_configuration(config_name, groups, RunMode.RUN)


def is_multirun() -> bool:
    """Whether this process runs several jobs (-m)."""
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN
