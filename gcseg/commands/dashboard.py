"""python -m gcseg.dashboard: workspace and report of a Weights & Biases project, as code."""

from __future__ import annotations

import importlib.util
import os

from omegaconf import DictConfig

from gcseg.config.command import run_command
from gcseg.config.plain import plain
from gcseg.errors import ConfigError
from gcseg.system.files import at_home, write_json
from gcseg.system.text import say


def dashboard(cfg: DictConfig) -> None:
    """Save a workspace and a report and print their URLs, or write both to a file.

    Raises:
        ConfigError: A setting is wrong, the extra or a key is missing, or W&B refuses.
        OutputError: The file can't be written.
    """
    from gcseg.engine.loggers.wandb_credentials import check_project

    check_project("project", cfg.project)
    if cfg.output is None:
        check_account()
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise ConfigError(
            "gcseg.dashboard needs wandb-workspaces", "pip install 'gcseg[dashboards]'"
        )
    from gcseg.engine.loggers.wandb_dashboard import Dashboard, default_entity, definitions, save

    settings = {key: plain(cfg)[key] for key in ("project", "name", "modes", "compare")}
    if cfg.output is not None:
        path = at_home(cfg.output)
        write_json(path, definitions(Dashboard(entity=cfg.entity or "", **settings)))
        say(f"dashboard: {path}")
        return
    for what, url in save(Dashboard(entity=cfg.entity or default_entity(), **settings)).items():
        say(f"{what}: {url}")


def check_account() -> None:
    """Check that W&B can be used without a prompt.

    Raises:
        ConfigError: There is no key, or W&B is switched off.
    """
    from gcseg.engine.loggers.wandb_credentials import has_credentials

    remedy = "or give output=FILE to have the definitions in a file"
    if (mode := os.environ.get("WANDB_MODE")) in ("offline", "dryrun", "disabled"):
        raise ConfigError(f"WANDB_MODE={mode}", f"unset it, {remedy}")
    if not has_credentials():
        raise ConfigError(
            "there is no API key for W&B", f"run wandb login or set WANDB_API_KEY, {remedy}"
        )


def main() -> None:
    """Write the W&B workspace and report."""
    run_command("dashboard", dashboard)
