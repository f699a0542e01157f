"""From settings with a `_target_` to what they describe."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig

from gcseg.config.plain import plain
from gcseg.errors import ConfigError


def instantiate(cfg: DictConfig, *, without: Sequence[str] = ("name",), **arguments: Any) -> Any:
    """Call `cfg._target_` with the settings beside it. None where the target is null.

    Args:
        cfg: The settings.
        without: Settings that are not the target's.
        arguments: Of the target, beside the settings.

    Raises:
        ConfigError: There is no such target, or it does not take one of the settings.
    """
    settings = {key: value for key, value in plain(cfg).items() if key not in without}
    if settings.get("_target_") is None:
        return None
    return call(settings.pop("_target_"), {**settings, **arguments})


def call(name: str, arguments: Mapping[str, Any]) -> Any:
    """Call the class or function of a dotted name.

    Args:
        name: As `gcseg.optim.sgd`.
        arguments: By their names.

    Raises:
        ConfigError: There is none, or it does not take the arguments.
    """
    target = find_target(name)
    try:
        inspect.signature(target).bind(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"{name}: {error}", f"it takes {', '.join(inspect.signature(target).parameters)}"
        ) from None
    # Called here and not by Hydra, which would wrap the exceptions of what it calls.
    try:
        return target(**arguments)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}", "see its documentation") from None


def find_target(name: str) -> Callable[..., Any]:
    """The class or function of a dotted name.

    Raises:
        ConfigError: There is none.
    """
    try:
        found = get_method(name)
        inspect.signature(found)
    except (ImportError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"_target_={name} can't be found ({reason})", "give what Python can import"
        ) from None
    return found
