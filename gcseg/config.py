"""Commands: find the configuration, compose it with Hydra, check it, say errors in one line.

Nothing heavy is imported here, so that --help and --cfg job answer at once.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gcseg.errors import ConfigError, GcsegError

PACKAGE = Path(__file__).resolve().parent

TRAINED_GROUPS = ("backbone", "head", "auxiliary_head", "dataset", "normalize")
"""Config groups that evaluation takes from the checkpoint, as the option `trained`."""

PRECISIONS = ("32", "bf16-mixed", "16-mixed")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
CROP_SIDES = (32, 4096)


def source_folder(name: str) -> Path:
    """Where conf/ or experiments/ is: in the package if installed, beside it in a checkout."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def register_resolvers() -> None:
    """Make `${gcseg_folder:NAME}` and `${folder_name:PATH}` known to OmegaConf."""
    OmegaConf.register_new_resolver(
        "gcseg_folder", lambda name: str(source_folder(name)), replace=True
    )
    OmegaConf.register_new_resolver(
        "folder_name", lambda path: Path(str(path)).resolve().name, replace=True
    )


def run_command(config_name: str, task: Callable[[DictConfig], None]) -> None:
    """Run a command: compose `conf/<config_name>.yaml` with the command line and call the task.

    Ends the process with status 1 and one line on a mistake that the user can mend.

    Args:
        config_name: The command's primary configuration.
        task: What it does with the composed and checked configuration.
    """
    register_resolvers()
    full_error = os.environ.get("HYDRA_FULL_ERROR")
    try:
        offer_trained_options(sys.argv[1:])

        def checked_task(cfg: DictConfig) -> None:
            # Inside the task, because Hydra adds lines of its own to an exception that leaves it.
            try:
                check(cfg)
                task(cfg)
            except (GcsegError, HydraException, OmegaConfBaseException) as error:
                _stop(error, config_name)

        os.environ["HYDRA_FULL_ERROR"] = "1"  # have Hydra raise its errors, to word them here
        hydra.main(
            version_base="1.3", config_path=str(source_folder("conf")), config_name=config_name
        )(checked_task)()
    except (GcsegError, HydraException, OmegaConfBaseException) as error:
        if full_error == "1":
            raise
        _stop(error, config_name)
    finally:
        if full_error is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)


def _stop(error: Exception, config_name: str) -> None:
    message = str(error) if isinstance(error, GcsegError) else _explain(error, config_name)
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


def _explain(error: Exception, config_name: str) -> str:
    """Hydra's and OmegaConf's errors in one line with a remedy."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        known = sorted(option for option in error.options if option != "trained")
        return f"{group}={option} does not exist: use one of {', '.join(known)}"
    text = " ".join(lines)
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match[1]
        return f"there is no setting {key!r}: {_suggest(key, config_name)}"
    if match := re.search(r"Could not find match for '([^']+)'|Could not override '([^']+)'", text):
        key = match[1] or match[2]
        return f"there is no group {key!r}: {_suggest(key, config_name)}"
    if match := re.search(r"Missing mandatory value: (\S+)", text):
        return f"{match[1]} is not set: give {match[1]}=..."
    return lines[0] if lines else type(error).__name__


def _suggest(key: str, config_name: str) -> str:
    """The settings that a misspelt key may have meant."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(source_folder("conf")), version_base="1.3"):
        cfg = hydra.compose(config_name)
    known = _keys(cfg)
    close = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    if not close:  # perhaps the right name in another place
        close = [name for name in known if name.split(".")[-1] == key.split(".")[-1]][:3]
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}--cfg job lists them all"


def _keys(cfg: DictConfig, prefix: str = "") -> list[str]:
    names = []
    for key in cfg:
        names.append(f"{prefix}{key}")
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            names += _keys(node, f"{prefix}{key}.")
    return names


def offer_trained_options(arguments: list[str]) -> None:
    """Offer the settings of the named checkpoint as option `trained` of their groups.

    Hydra composes them like any other option: `dataset.root=...` changes one value,
    `dataset=voc` takes another dataset.

    Args:
        arguments: The command line.

    Raises:
        ConfigError: Several checkpoints are given.
        WeightsError: The checkpoint does not exist or holds no configuration.
    """
    paths = [a.split("=", 1)[1] for a in arguments if a.startswith("checkpoint=")]
    config: Mapping[str, Any] = {}
    if paths:
        if "," in paths[-1]:
            raise ConfigError(f"checkpoint={paths[-1]}", "evaluate one checkpoint per command")
        config = checkpoint_config(find_checkpoint(paths[-1].strip("'\"")))
    store = ConfigStore.instance()
    for group in TRAINED_GROUPS:
        store.store(group=group, name="trained", node=dict(config.get(group) or {}))


def find_checkpoint(path: str) -> Path:
    """A checkpoint by its path or its run folder (then `checkpoints/best.ckpt`, or `last.ckpt`).

    Raises:
        WeightsError: There is none.
    """
    from gcseg.errors import WeightsError

    given = Path(path)
    candidates = [given]
    if given.is_dir():
        candidates = [given / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise WeightsError(
        f"there is no checkpoint {candidates[0]}",
        "give checkpoint= a .ckpt file or a run folder",
    )


def checkpoint_config(checkpoint: Path) -> Mapping[str, Any]:
    """The configuration that a checkpoint was trained with.

    From config.yaml of its run folder, or else from the checkpoint itself.

    Raises:
        WeightsError: The checkpoint holds no configuration.
    """
    beside = run_folder(checkpoint)
    if beside is not None:
        return OmegaConf.to_container(OmegaConf.load(beside / "config.yaml"))  # type: ignore[return-value]
    from gcseg.engine.checkpoints import read_checkpoint
    from gcseg.errors import WeightsError

    record = read_checkpoint(checkpoint).get("gcseg")
    if not isinstance(record, dict) or "config" not in record:
        raise WeightsError(
            f"{checkpoint} does not say which network it holds", "give a checkpoint of a training"
        )
    config: Mapping[str, Any] = record["config"]
    return config


def run_folder(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in, or None."""
    folder = checkpoint.resolve().parent.parent
    inside = checkpoint.resolve().parent.name == "checkpoints"
    return folder if inside and (folder / "config.yaml").is_file() else None


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as plain, resolved Python values."""
    container = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    return container  # type: ignore[return-value]


def check(cfg: DictConfig) -> None:
    """Check the values that any command may have.

    Raises:
        ConfigError: A value is wrong, with what would be right.
    """
    plain(cfg)  # every interpolation resolves
    whole = [("iters", 1), ("batch_size", 1), ("num_nodes", 1), ("accumulate", 1),
             ("val_every", 1), ("log_every", 1), ("seed", 0)]  # fmt: skip
    for key, least in whole:
        if key in cfg and not _is_whole(cfg[key], least):
            raise ConfigError(f"{key}={cfg[key]}", f"give a whole number, {least} or more")
    for key, least in (("devices", 1), ("num_workers", 0)):
        if key in cfg and cfg[key] != "auto" and not _is_whole(cfg[key], least):
            raise ConfigError(f"{key}={cfg[key]}", f"give auto or a whole number from {least}")
    if cfg.get("limit") is not None and not _is_whole(cfg.limit, 1):
        raise ConfigError(f"limit={cfg.limit}", "give a whole number of images, 1 or more")
    for key, choices in (("precision", PRECISIONS), ("accelerator", ACCELERATORS)):
        if key in cfg and str(cfg[key]) not in choices:
            raise ConfigError(f"{key}={cfg[key]}", f"use one of {', '.join(choices)}")
    if cfg.tta.average not in ("logits", "probabilities"):
        raise ConfigError(f"tta.average={cfg.tta.average}", "use logits or probabilities")
    least, most = CROP_SIDES
    for side in ("height", "width"):
        size = cfg.dataset.get("crop", {}).get(side, least)
        if not _is_whole(size, least) or size > most:
            raise ConfigError(
                f"dataset.crop.{side}={size}", f"give a whole number of pixels, {least} to {most}"
            )


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_multirun() -> bool:
    """Whether this process runs several jobs (-m)."""
    return HydraConfig.initialized() and HydraConfig.get().mode.name == "MULTIRUN"
