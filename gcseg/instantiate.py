"""From settings with a `_target_` to what they describe."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig

from gcseg.errors import ConfigError
from gcseg.settings import plain


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
    # Called here and not by Hydra, which would wrap the exceptions of what it calls.
    try:
        target = get_method(settings.pop("_target_"))
    except (ImportError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"_target_={cfg._target_} can't be found ({reason})", "give what Python can import"
        ) from None
    try:
        inspect.signature(target).bind(**settings, **arguments)
    except TypeError as error:
        raise ConfigError(
            f"{cfg._target_}: {error}",
            f"it takes {', '.join(inspect.signature(target).parameters)}",
        ) from None
    try:
        return target(**settings, **arguments)
    except ValueError as error:
        raise ConfigError(f"{cfg._target_}: {error}", "see its documentation") from None
