"""Whether there is a key for Weights & Biases, which would ask for one."""

from __future__ import annotations

import netrc
import os
from urllib.parse import urlsplit


def has_credentials() -> bool:
    """Whether W&B would find a key, in the environment or where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
