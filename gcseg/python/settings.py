"""Settings in Python: composed and checked as by the commands, with errors as exceptions."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gcseg.builders.length import choose_length
from gcseg.config.command import check_groups, check_settings
from gcseg.config.command_line import as_hydra_reads, is_override, overrides_of
from gcseg.config.compose import compose as compose_files
from gcseg.config.compose import register_resolvers
from gcseg.config.messages import explain
from gcseg.config.trained import CheckpointRef, composed_for_checkpoint
from gcseg.errors import ConfigError

COMMANDS = ("train", "eval", "predict", "attention")
"""Commands whose settings can be composed."""


def compose(command: str = "train", overrides: Iterable[str] = ()) -> DictConfig:
    """Compose and check the settings of a command.

    Args:
        command: `"train"`, `"eval"`, `"predict"` or `"attention"`.
        overrides: Settings as on the command line, such as `"dataset=camvid"`. All but those of
            `"train"` need a `"checkpoint=..."`.

    Returns:
        The settings, which can be read and changed before they are used.

    Raises:
        ConfigError: A setting does not exist or has a wrong value; the message is the command's.
        WeightsError: The checkpoint does not exist or does not show its network.

    Example:
        >>> import gcseg
        >>> cfg = gcseg.compose("train", ["dataset=voc", "iters=100", "optim.lr=0.02"])
        >>> cfg.backbone.name, cfg.dataset.name, cfg.iters
        ('r18', 'voc', 100)
        >>> try:
        ...     gcseg.compose("train", ["iters=-1"])
        ... except gcseg.errors.ConfigError as error:
        ...     print(error)
        iters=-1: give a whole number of optimizer steps, 1 or more
    """
    if command not in COMMANDS:
        raise ConfigError(f"there is no command {command!r}", f"use one of {', '.join(COMMANDS)}")
    return composed(command, overrides)[0]


def composed(
    command: str, overrides: Iterable[str], *, needs_data: bool = True
) -> tuple[DictConfig, CheckpointRef]:
    """Compose and check the settings of a command, and look up the checkpoint that they name.

    Args:
        command: See `compose`.
        overrides: See `compose`.
        needs_data: See `gcseg.config.trained.offer_trained_options`.

    Raises:
        ConfigError: See `compose`.
        WeightsError: See `compose`.
    """
    arguments = as_arguments(overrides)
    with config_errors(command, arguments):
        _refuse_multirun(arguments)
        check_groups(arguments)
        if command != "train":
            return composed_for_checkpoint(command, arguments, needs_data=needs_data)
        cfg = compose_files(command, arguments)
        check_settings(cfg, command)
        choose_length(cfg, arguments)
    return cfg, CheckpointRef()


def checked(settings: DictConfig | Mapping[str, Any], command: str) -> DictConfig:
    """Return a checked copy of composed settings, those of `compose` or of Hydra itself.

    Args:
        settings: The settings, with or without Hydra's own.
        command: The command that they are for.

    Raises:
        ConfigError: They are something else, or a value is wrong.
    """
    if not isinstance(settings, DictConfig | Mapping):
        raise ConfigError(
            f"the settings are {type(settings).__name__}",
            f'give gcseg.compose("{command}", [...])',
        )
    register_resolvers()
    with config_errors(command, ()):
        cfg = copy.deepcopy(settings)
        cfg = cfg if isinstance(cfg, DictConfig) else OmegaConf.create(dict(cfg))
        with open_dict(cfg):
            cfg.pop("hydra", None)
        OmegaConf.set_struct(cfg, True)
        check_settings(cfg, command)
    return cfg


def as_arguments(overrides: Iterable[str]) -> list[str]:
    """Return overrides as the arguments of a command, with `~` expanded.

    Raises:
        ConfigError: They are no list of texts, or one is no setting.
    """
    if isinstance(overrides, str):
        raise ConfigError(f"the overrides are one text, {overrides}", 'give a list, as ["iters=9"]')
    overrides = list(overrides)
    for one in overrides:
        if not isinstance(one, str):
            raise ConfigError(f"{one!r} is no setting", 'give "key=value"')
        if not is_override(one) and one not in ("-m", "--multirun"):
            raise ConfigError(f"{one} is no setting", 'give "key=value"')
    return [as_hydra_reads(override) for override in overrides]


@contextmanager
def config_errors(command: str, arguments: Sequence[str]) -> Iterator[None]:
    """Raise errors of Hydra's as `ConfigError` with the command's message.

    Args:
        command: The command that the settings are for.
        arguments: Its overrides.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, command, arguments)) from error


def _refuse_multirun(arguments: Sequence[str]) -> None:
    """Refuse what means several trainings.

    Raises:
        ConfigError: An argument does.
    """
    several = [one for one in arguments if one in ("-m", "--multirun")]
    several += [str(one.input_line) for one in overrides_of(arguments, "seeds") if one.value()]
    if several:
        raise ConfigError(f"{several[0]} means several trainings", "use gcseg.sweep([...])")
