"""Build the loss from a composed configuration."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig
from torch import nn

from gcseg.builders.data import cache_folder
from gcseg.config.instantiate import call, find_target
from gcseg.config.plain import plain
from gcseg.data.class_index import class_index
from gcseg.data.class_weights import by_rule, printed
from gcseg.data.datasets import SegmentationDataset
from gcseg.errors import ConfigError
from gcseg.losses import WeightedSum
from gcseg.system.terminal import announce, progress_bar
from gcseg.system.text import counted

_OHEM, _SUM = "gcseg.losses.Ohem", "gcseg.losses.WeightedSum"


def loss(cfg: DictConfig, classes: Sequence[str]) -> nn.Module | None:
    """Build the loss of `cfg.loss`, with class weights; None if the configuration has no loss.

    Args:
        cfg: The settings; `class_weights` are numbers.
        classes: Names of the classes.

    Raises:
        ConfigError: A setting is wrong, or is not defined for the loss.
    """
    if "loss" not in cfg:
        return None
    settings = plain(cfg.loss)
    shared = {
        "class_weights": class_weights(cfg, classes),
        "count_ignored": cfg.get("count_ignored") or None,
    }
    given = {name: value for name, value in shared.items() if value is not None}
    if settings["_target_"] != _SUM:
        built: nn.Module = _one(f"loss={settings['name']}", settings, given)
        return built
    parts = [
        (_one(f"loss.parts.{name}", part, given), float(part["weight"]))
        for name, part in settings["parts"].items()
        if part is not None and part["weight"]
    ]
    if not parts:
        raise ConfigError(
            f"loss={settings['name']} has no part with a weight above 0", "give one a weight"
        )
    return WeightedSum(parts)


def _one(name: str, settings: Mapping[str, Any], shared: Mapping[str, Any]) -> Any:
    """Build a single loss.

    Args:
        name: Name of the loss in messages.
        settings: Its settings.
        shared: Settings of all losses that are in force, which it must take.

    Raises:
        ConfigError: A setting is wrong, or is not defined for the loss.
    """
    own = {key: value for key, value in settings.items() if key not in ("name", "weight")}
    target = own.pop("_target_")
    parameters = inspect.signature(find_target(target)).parameters
    for setting in shared:
        if setting not in parameters:
            value = "true" if setting == "count_ignored" else "..."
            raise ConfigError(
                f"{setting}={value} is not defined for {name}, whose loss is {target}",
                f"leave {setting} out, or choose another loss, such as loss=cross_entropy",
            )
    return call(target, {**own, **shared})


def with_class_weights(cfg: DictConfig, train: SegmentationDataset) -> DictConfig:
    """Return settings whose class weights are numbers, computed by their rule if they have one.

    So a training is named, recorded and continued by the numbers: other labels are another one.

    Args:
        cfg: The settings; they are not changed.
        train: The training split, or a quick try's part of it, with labels.

    Raises:
        DataError: A label is wrong.
    """
    rule = cfg.class_weights
    if not isinstance(rule, str):
        return cfg
    with progress_bar("indexing classes") as progress:
        index = class_index(train, cache_folder(cfg), progress=progress, say=announce)
    weights = by_rule(rule, index)
    names = train.label_space.names
    known = [(weight, name) for weight, name in zip(weights, names, strict=True) if weight]
    absent = [name for weight, name in zip(weights, names, strict=True) if not weight]
    line = f"class_weights={rule}: "
    if known:
        (least, of_least), (most, of_most) = min(known), max(known)
        line += f"{printed(least)} ({of_least}) to {printed(most)} ({of_most}), all in config.yaml"
    if absent:
        where, has = "the training split", "has"
        if cfg.quick:
            where, has = f"the {counted(len(train), 'image')} of quick=true", "have"
        line += f"{'; ' if known else ''}1 for what {where} never {has}: "
        line += ", ".join(absent)
    announce(line)
    resolved = copy.deepcopy(cfg)
    resolved.class_weights = [weight or 1.0 for weight in weights]
    return resolved


def words(cfg: DictConfig) -> str:
    """Describe the loss in a few words.

    Args:
        cfg: The settings; `class_weights` are numbers.
    """
    settings, weights = plain(cfg.loss), cfg.class_weights
    parts, losses = [str(settings["name"])], [settings]
    if settings["_target_"] == _SUM:
        named = {name: part for name, part in settings["parts"].items() if part and part["weight"]}
        terms = [f"{part['weight']:g} {name}" for name, part in named.items()]
        parts[0] += f" ({' + '.join(terms)})"
        losses = list(named.values())
    pixels = cfg.batch_size // cfg.accumulate * cfg.dataset.crop.height * cfg.dataset.crop.width
    parts += [
        f"all pixels are kept, since a forward pass has {pixels:,} and min_kept={one['min_kept']}"
        for one in losses
        if one["_target_"] == _OHEM and one.get("min_kept", 0) >= pixels
    ]
    if weights is not None:
        parts.append(f"class weights {printed(min(weights))} to {printed(max(weights))}")
    if cfg.count_ignored:
        parts.append("ignored pixels count in the mean")
    return ", ".join(parts)


def class_weights(cfg: DictConfig, classes: Sequence[str]) -> list[float] | None:
    """Class weights of the loss, or None.

    Raises:
        ConfigError: Their number is not the number of classes.
    """
    weights = cfg.get("class_weights")
    if weights is None:
        return None
    if len(weights) != len(classes):
        raise ConfigError(
            f"class_weights has {len(weights)} numbers for {len(classes)} classes",
            f"give one each for {', '.join(classes)}",
        )
    return [float(weight) for weight in weights]
