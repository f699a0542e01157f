"""Run a command with already resolved settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gcseg.config.checks import check, expand_home, take_whole_numbers
from gcseg.config.compose import compose
from gcseg.config.messages import errors_in_one_line, full_errors
from gcseg.errors import ConfigError
from gcseg.system.records import RecordError, read_yaml
from gcseg.system.text import say


def run_resolved(
    config_name: str,
    task: Callable[[DictConfig], object],
    arguments: list[str],
    begin: Callable[[], None],
    complete: Callable[[DictConfig, list[str]], bool] | None = None,
) -> None:
    """Run a command with the resolved settings of a file, without Hydra.

    Args:
        config_name: The command's primary configuration.
        task: Function that runs the command with the checked settings.
        arguments: The file, then overrides of single settings.
        begin: Callback for the time after the arguments are checked and before the file is read.
        complete: See `gcseg.config.command.run_command`.
    """
    with errors_in_one_line(config_name, full_errors()):
        if not arguments or not all("=" in argument for argument in arguments[1:]):
            given = " ".join(arguments) or "nothing"
            raise ConfigError(
                f"--resolved is given {given}",
                "give it a file, such as config.yaml of a run folder, and then any key=value",
            )
        begin()
        cfg = _read_resolved(Path(arguments[0]), config_name)
        for argument in arguments[1:]:
            key, _, value = argument.partition("=")
            if OmegaConf.is_dict(OmegaConf.select(cfg, key)) and not value.lstrip().startswith("{"):
                inside = ", ".join(f"{key}.{name}" for name in list(OmegaConf.select(cfg, key))[:4])
                raise ConfigError(
                    f"{argument} chooses an option, but resolved settings have no options",
                    f"change single settings, such as {inside}, or leave --resolved out",
                )
        cfg.merge_with_dotlist(arguments[1:])
        take_whole_numbers(cfg, config_name)
        check(cfg, config_name)
        expand_home(cfg, config_name)
        if complete is not None and complete(cfg, arguments[1:]):
            check(cfg, config_name)
        task(cfg)


def _read_resolved(path: Path, config_name: str) -> DictConfig:
    """Read settings from a YAML file; settings newer than the file get their defaults.

    Raises:
        ConfigError: The file does not exist, or has no settings.
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
        say(f"defaults are used for settings that {path} lacks: {', '.join(missing)}", error=True)
    cfg = OmegaConf.create({**{key: usual._get_node(key) for key in missing}, **content})
    OmegaConf.set_struct(cfg, True)  # a missing setting is an error and not None
    return cfg
