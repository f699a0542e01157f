"""Find the configuration and compose it with Hydra, outside a command too."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

PACKAGE = Path(__file__).resolve().parents[1]


def source_folder(name: str) -> Path:
    """Where conf/ or experiments/ is: in the package if installed, beside it in a checkout."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def register_resolvers() -> None:
    """Make `${gcseg_folder:NAME}` and the like, which conf/ uses, known to OmegaConf."""
    OmegaConf.register_new_resolver(
        "gcseg_folder", lambda name: str(source_folder(name)), replace=True
    )
    OmegaConf.register_new_resolver(
        "folder_name", lambda path: Path(str(path)).resolve().name, replace=True
    )
    # Kept with the configuration, so that jobs on other machines see the command's and not theirs.
    OmegaConf.register_new_resolver("sweep_name", _sweep_name, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("gpus_to_ask_for", _gpus_to_ask_for, replace=True)


def _sweep_name() -> str:
    from gcseg.config.sweep_name import sweep_name

    return sweep_name(sys.argv[1:])


def _gpus_to_ask_for(accelerator: str, devices: int | str) -> int | str | None:
    """GPUs on each machine that a cluster's queue is asked for; None for a job without."""
    return None if accelerator in ("cpu", "mps") else devices


def compose(config_name: str, overrides: list[str], *, with_hydra: bool = False) -> DictConfig:
    """Compose `conf/<config_name>.yaml` outside a command, if asked for with Hydra's settings.

    Raises:
        HydraException: An override does not exist.
    """
    register_resolvers()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(source_folder("conf")), version_base="1.3"):
        return hydra.compose(config_name, overrides, return_hydra_config=with_hydra)
