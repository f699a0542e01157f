"""Create the objects that settings with a `_target_` describe."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig

from gcseg.config.plain import plain
from gcseg.errors import ConfigError


def instantiate(cfg: DictConfig, *, without: Sequence[str] = ("name",), **arguments: Any) -> Any:
    """Call `cfg._target_` with the other settings as arguments. None if the target is null.

    Args:
        cfg: The settings.
        without: Names of settings that are not arguments of the target.
        arguments: Arguments in addition to the settings.

    Raises:
        ConfigError: The target does not exist, or does not accept one of the settings.
    """
    settings = {key: value for key, value in plain(cfg).items() if key not in without}
    if settings.get("_target_") is None:
        return None
    return call(settings.pop("_target_"), {**settings, **arguments})


def call(name: str, arguments: Mapping[str, Any]) -> Any:
    """Call the class or function with a dotted name.

    Args:
        name: Dotted name, such as `gcseg.optim.sgd`.
        arguments: Arguments by name.

    Raises:
        ConfigError: The target does not exist, or does not accept the arguments.
    """
    target = find_target(name)
    try:
        inspect.signature(target).bind(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"{name}: {error}", f"it takes {', '.join(inspect.signature(target).parameters)}"
        ) from None
    # Called here and not by Hydra, which would wrap exceptions of the target.
    try:
        return target(**arguments)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}", "see its documentation") from None


def find_target(name: str) -> Callable[..., Any]:
    """Import the class or function with a dotted name.

    Raises:
        ConfigError: It does not exist.
    """
    try:
        found = get_method(name)
        inspect.signature(found)
    except (ImportError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"_target_={name} can't be found ({reason})", "give a name that Python can import"
        ) from None
    return found
