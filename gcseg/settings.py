"""What values settings may have; checked before anything heavy is imported."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError

from gcseg.errors import ConfigError

PRECISIONS = ("32", "bf16-mixed", "16-mixed")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
CACHES = ("none", "ram", "disk")
AUGMENT_ON = ("cpu", "device")
STRATEGIES = ("auto", "ddp", "fsdp")
CROP_SIDES = (32, 4096)
LARGEST_SEED = 2**32 - 1

_ABSENT = object()


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as plain, resolved Python values."""
    return cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of plain values, the same for any order of their names."""
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def leaves(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """The name of every setting that is not a group of settings."""
    for key in cfg:
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from leaves(node, f"{prefix}{key!s}.")
        else:
            yield f"{prefix}{key!s}"


def check(cfg: DictConfig) -> None:
    """Check the values that any command may have.

    Raises:
        ConfigError: A value is wrong, with what would be right.
    """
    plain(cfg)  # every interpolation resolves
    whole = [("iters", 1), ("batch_size", 1), ("num_nodes", 1), ("accumulate", 1),
             ("val_every", 1), ("log_every", 1), ("prefetch", 1), ("seed", 0),
             ("skip_not_finite", 0), ("examples", 0), ("count", 1), ("first", 0),
             ("benchmark.images", 1), ("benchmark.samples", 1), ("benchmark.rounds", 1),
             ("benchmark.batches", 1)]  # fmt: skip
    for key, least in whole:
        value = OmegaConf.select(cfg, key, default=_ABSENT)
        if value is not _ABSENT and not _is_whole(value, least):
            raise ConfigError(f"{key}={value}", f"give a whole number, {least} or more")
    if cfg.get("seed", 0) > LARGEST_SEED:
        raise ConfigError(f"seed={cfg.seed}", f"give at most {LARGEST_SEED}")
    for key, least in (("devices", 1), ("num_workers", 0)):
        if key in cfg and cfg[key] != "auto" and not _is_whole(cfg[key], least):
            raise ConfigError(f"{key}={cfg[key]}", f"give auto or a whole number from {least}")
    if cfg.get("limit") is not None and not _is_whole(cfg.limit, 1):
        raise ConfigError(f"limit={cfg.limit}", "give a whole number of images, 1 or more")
    check_sweep(cfg)
    for key in ("checkpoint", "record", "backbone.pretrained"):
        value = OmegaConf.select(cfg, key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise ConfigError(f"{key}={value}", "give a path or a name, or null")
    for key in ("dataset.root", "dataset.cache_folder", "output", "source"):
        value = OmegaConf.select(cfg, key)
        several = list(value) if isinstance(value, ListConfig) and key == "source" else [value]
        if not all(one is None or isinstance(one, str) for one in several):
            raise ConfigError(f"{key}={value}", "give a path; one of digits alone as ./2024")
    workers = OmegaConf.select(cfg, "benchmark.workers", default=_ABSENT)
    if workers is not _ABSENT and not (
        isinstance(workers, ListConfig) and workers and all(_is_whole(one, 0) for one in workers)
    ):
        raise ConfigError(f"benchmark.workers={workers}", "give whole numbers, as in [1,2]")
    for key, choices in (
        ("precision", PRECISIONS),
        ("accelerator", ACCELERATORS),
        ("dataset.cache", CACHES),
        ("augment_on", AUGMENT_ON),
        ("strategy", STRATEGIES),
    ):
        value = OmegaConf.select(cfg, key, default=_ABSENT)
        if value is not _ABSENT and str(value) not in choices:
            raise ConfigError(f"{key}={value}", f"use one of {', '.join(choices)}")
    if cfg.get("seeds") is not None:
        raise ConfigError(
            f"seeds={cfg.seeds} in a file", "give it on the command line, or sweep seed in the file"
        )
    weights = cfg.get("class_weights")
    if weights is not None and not (
        _are_numbers(weights)
        and all(math.isfinite(weight) and weight >= 0 for weight in weights)
        and any(weights)
    ):
        raise ConfigError(f"class_weights={weights}", "give a list of numbers, 0 or more, or null")
    if cfg.get("weights") not in (None, "ema", "raw"):
        raise ConfigError(f"weights={cfg.weights}", "use ema or raw, or null")
    if "ema" in cfg:
        _check_ema(cfg.ema)
    if "sampling" in cfg:
        _check_sampling(cfg.sampling)
    if cfg.get("strategy") == "fsdp":
        _check_sharding(cfg)
    if "protocol" in cfg and (resize := (cfg.protocol or {}).get("resize")) not in ("pad", "fit"):
        raise ConfigError(f"protocol.resize={resize}", "use pad or fit")
    if "tta" in cfg and cfg.tta.average not in ("logits", "probabilities"):
        raise ConfigError(f"tta.average={cfg.tta.average}", "use logits or probabilities")
    least, most = CROP_SIDES
    for side in ("height", "width") if "dataset" in cfg else ():
        size = cfg.dataset.get("crop", {}).get(side, least)
        if not _is_whole(size, least) or size > most:
            raise ConfigError(
                f"dataset.crop.{side}={size}", f"give a whole number of pixels, {least} to {most}"
            )


def check_sweep(cfg: DictConfig) -> None:
    """Check what is one for all jobs of a multirun.

    Raises:
        ConfigError: A value is wrong.
    """
    minutes = cfg.get("job_timeout")
    if minutes is not None and not (_is_number(minutes) and minutes > 0):
        raise ConfigError(f"job_timeout={minutes}", "give minutes, more than 0, or null")
    retry = cfg.get("retry_failed", True)
    if not isinstance(retry, bool):
        raise ConfigError(f"retry_failed={retry}", "give true or false")


def _check_ema(ema: Mapping[str, Any] | None) -> None:
    if ema is None:
        raise ConfigError("ema=null", "set ema.decay=null")
    decay = ema["decay"]
    if decay is not None and not (_is_number(decay) and 0 < decay < 1):
        raise ConfigError(
            f"ema.decay={decay}", "give a number between 0 and 1, as 0.999, or null for no average"
        )


def _check_sharding(cfg: DictConfig) -> None:
    """Check that nothing is set that needs the weights of the whole network in one place."""
    for key, off in (("ema.decay", None), ("compile", False), ("checkpoint_activations", False)):
        value = OmegaConf.select(cfg, key)
        if value not in (None, off):
            raise ConfigError(
                f"{key}={str(value).lower()} with strategy=fsdp",
                f"use strategy=ddp, or leave {key} out",
            )
    if str(cfg.precision) == "16-mixed":
        raise ConfigError("precision=16-mixed with strategy=fsdp", "use bf16-mixed or 32")


def _check_sampling(sampling: Mapping[str, Any] | None) -> None:
    if sampling is None:
        raise ConfigError("sampling=null", "set its single values to 0")
    for key, value in sampling.items():
        if key == "temperature":
            if not _is_number(value) or not value > 0:
                raise ConfigError(f"sampling.temperature={value}", "give a number above 0")
        elif not _is_number(value) or not 0 <= value <= 1:
            raise ConfigError(f"sampling.{key}={value}", "give a fraction, 0 to 1; 0 is off")


def check_types(cfg: DictConfig, files: DictConfig) -> None:
    """Check that numbers and switches are still such, by comparison with the files' values.

    Args:
        cfg: The configuration with the command line's values.
        files: The same without them.

    Raises:
        ConfigError: A value is of another kind.
    """
    for key in leaves(files):
        if key.startswith("hydra.") or key == "precision":
            continue
        try:
            default = OmegaConf.select(files, key)
            value = OmegaConf.select(cfg, key, default=_ABSENT)
        except InterpolationToMissingValueError:  # named after what the files leave to the user
            continue
        # An experiment may have chosen another option, which lacks the setting.
        if default is None or value is _ABSENT or key in ("devices", "num_workers"):
            continue
        if value is None and (not _is_number(default) or key.startswith("dataset.fit.")):
            if isinstance(default, bool):
                raise ConfigError(f"{key}=null", "give true or false")
            continue
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise ConfigError(f"{key}={value}", "give true or false")
        elif _is_number(default):
            if not _is_number(value):
                raise ConfigError(f"{key}={value}", f"give a number, as in {key}={default}")
        elif _are_numbers(default) and not _are_numbers(value):
            raise ConfigError(f"{key}={value}", f"give numbers, as in {key}={default}")


def _are_numbers(value: object) -> bool:
    return isinstance(value, ListConfig) and bool(value) and all(map(_is_number, value))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
