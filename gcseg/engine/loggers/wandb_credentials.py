"""Checks of what Weights & Biases requires: an API key, and a valid name of a project."""

from __future__ import annotations

import netrc
import os
from urllib.parse import urlsplit

from gcseg.errors import ConfigError


def has_credentials() -> bool:
    """Return whether W&B would find a key, in the environment or where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def check_project(key: str, project: str) -> None:
    """Check that W&B accepts the name of a project.

    Args:
        key: Name of the setting that gives it.
        project: Name of the project.

    Raises:
        ConfigError: W&B does not accept the name.
    """
    if set(project) & set("/\\#?%:") or len(project) > 128:
        raise ConfigError(
            f"{key}={project}", "give at most 128 characters, and none of / \\ # ? % :"
        )
