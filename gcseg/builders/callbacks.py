"""Build the callbacks of the user's own."""

from __future__ import annotations

import pytorch_lightning as L
from omegaconf import DictConfig

from gcseg.config.instantiate import instantiate
from gcseg.errors import ConfigError


def user_callbacks(cfg: DictConfig) -> dict[str, L.Callback]:
    """Build the callbacks of `cfg.callbacks`, by name.

    Raises:
        ConfigError: A class does not exist, does not take its arguments, or is no callback.
    """
    built = {}
    for name, settings in cfg.callbacks.items():
        try:
            callback = instantiate(settings, without=())
        except ConfigError as error:
            raise ConfigError(f"callbacks.{name}: {error.cause}", error.remedy) from None
        if not isinstance(callback, L.Callback):
            raise ConfigError(
                f"callbacks.{name} is a {type(callback).__name__}",
                "give a subclass of pytorch_lightning.Callback",
            )
        built[str(name)] = callback
    keys = [callback.state_key for callback in built.values() if callback.state_dict()]
    if len(set(keys)) < len(keys):
        raise ConfigError(
            f"callbacks {', '.join(built)}: two of one class save their state under one key",
            "let their property state_key tell them apart",
        )
    return built
