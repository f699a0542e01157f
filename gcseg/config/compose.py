"""Find the configuration and compose it with Hydra, inside and outside commands."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from gcseg.config.composing import composing_quickly

PACKAGE = Path(__file__).resolve().parents[1]


def source_folder(name: str) -> Path:
    """Find conf/ or experiments/: in the package if installed, next to it in a checkout."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def register_resolvers() -> None:
    """Register `${gcseg_folder:NAME}` and the other resolvers of conf/ with OmegaConf."""
    OmegaConf.register_new_resolver(
        "gcseg_folder", lambda name: str(source_folder(name)), replace=True
    )
    OmegaConf.register_new_resolver(
        "folder_name", lambda path: Path(str(path)).resolve().name, replace=True
    )
    # Cached in the configuration, so that jobs on other machines use the command's value.
    OmegaConf.register_new_resolver("sweep_name", _sweep_name, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("gpus_to_ask_for", _gpus_to_ask_for, replace=True)


def _sweep_name() -> str:
    from gcseg.config.sweep_name import sweep_name

    return sweep_name(sys.argv[1:])


def _gpus_to_ask_for(accelerator: str, devices: int | str) -> int | str | None:
    """Number of GPUs per machine to request from a cluster's queue; None for a job without."""
    return None if accelerator in ("cpu", "mps") else devices


def compose(config_name: str, overrides: list[str], *, with_hydra: bool = False) -> DictConfig:
    """Compose `conf/<config_name>.yaml` outside a command, with Hydra's settings on request.

    What the caller has initialised of Hydra stays as it is.

    Raises:
        HydraException: An override does not exist.
    """
    register_resolvers()
    folder = str(source_folder("conf"))
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with composing_quickly(), hydra.initialize_config_dir(folder, version_base="1.3"):
            return hydra.compose(config_name, overrides, return_hydra_config=with_hydra)
    finally:
        GlobalHydra.instance().hydra = before
