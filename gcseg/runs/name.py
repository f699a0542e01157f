"""What a training is named by: that which decides its weights, and nothing else."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gcseg.system.files import sha256_of

if TYPE_CHECKING:
    from gcseg.data.datasets import SegmentationDataset


class Younger(NamedTuple):
    """A setting that is younger than version 0.1.0.

    Args:
        since: The version that has brought it.
        neutral: The value at which a training is as it was before.
    """

    since: str
    neutral: Any


YOUNGER_SETTINGS = {"dataset.reader.draw": Younger("0.2.0", neutral=True)}
"""Settings that are left out of the fingerprint at their neutral value, so that an upgrade leaves
every run its name. Each new setting that `training_settings` takes needs an entry."""


def run_name(
    settings: Mapping[str, Any], train_set: SegmentationDataset, weights: Mapping[str, Path]
) -> str:
    """The name of a training, ending in a fingerprint of what decides its weights.

    Args:
        settings: The resolved settings of the training, plain values.
        train_set: What it is trained on.
        weights: Files that it starts from, by the part of the network that they are for.
    """
    names = "-".join(settings[group]["name"] for group in ("backbone", "head", "dataset"))
    identity = {
        **training_settings(settings),
        "data": _identity(train_set),
        "weights": {part: sha256_of(path) for part, path in weights.items()},
    }
    return f"{names}-{settings['iters']}it-s{settings['seed']}-{fingerprint(identity)}"


def training_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide the trained weights: not where data lies or how it is scored.

    Args:
        given: All resolved settings of a training, plain values.
    """
    settings = {
        key: value
        for key, value in leave_out_neutral(given).items()
        if key in ("backbone", "head", "auxiliary_head", "auxiliary_weight", "class_weights",
                   "count_ignored", "dataset", "augment", "augment_on", "sampling", "normalize",
                   "optim", "iters", "batch_size", "precision", "seed", "trainer")
    }  # fmt: skip
    if given["ema"]["decay"] is not None:  # best.ckpt is the average's
        settings["ema"] = {**given["ema"], "decay": float(given["ema"]["decay"])}
    if given["accumulate"] > 1:  # batch norm sees the images of one pass
        settings["accumulate"] = given["accumulate"]
    settings["backbone"].pop("pretrained", None)  # the weights themselves count, not their place
    dataset = settings["dataset"]
    settings["dataset"] = {key: dataset[key] for key in ("name", "reader", "crop")}
    settings["dataset"]["split"] = dataset["splits"]["train"]
    sampling = {key: float(value) for key, value in settings["sampling"].items() if value}
    if not sampling.keys() & {"rare_crop", "copy_paste"}:
        del sampling["temperature"]  # of no effect
    settings["sampling"] = sampling
    if settings["class_weights"] is not None:
        settings["class_weights"] = [float(weight) for weight in settings["class_weights"]]
    settings["trainer"] = {
        key: value for key, value in settings["trainer"].items() if key.startswith("gradient_")
    }
    return settings


def leave_out_neutral(given: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of plain settings without the younger ones that stand at their neutral value."""
    settings = copy.deepcopy(dict(given))
    for name, (_, neutral) in YOUNGER_SETTINGS.items():
        node: Any = settings
        *groups, key = name.split(".")
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if isinstance(node, dict) and key in node and _is(node[key], neutral):
            del node[key]
    return settings


def _is(value: object, neutral: object) -> bool:
    """Whether a setting has its neutral value; 1 is not true."""
    return type(value) is type(neutral) and value == neutral


def _identity(train_set: SegmentationDataset) -> dict[str, Any]:
    """Classes and pictures of a training split, wherever it lies."""
    space = train_set.label_space
    return {
        "classes": space.names,
        "values": sorted(space.values.items()),
        "pictures": [pair.name for pair in train_set.pairs],
    }


def pictures_digest(names: Iterable[str]) -> str:
    """Eight hexadecimal digits of a split's pictures, by which other ones are known.

    Args:
        names: Of the pictures, in any order.
    """
    return fingerprint({"pictures": sorted(names)})


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of plain values, the same for any order of their names."""
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
