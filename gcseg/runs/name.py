"""The name of a training, which depends only on what decides its weights."""

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
    """A setting that was added after version 0.1.0.

    Args:
        since: Version that added the setting.
        neutral: Value with which a training is the same as before that version.
    """

    since: str
    neutral: Any


YOUNGER_SETTINGS = {
    "backbone.context": Younger("0.2.0", neutral={"name": "none", "_target_": None}),
    "head.context": Younger("0.2.0", neutral={"name": "none", "_target_": None}),
    "head.context.relu": Younger("0.2.0", neutral=False),
    "backbone.context.relu": Younger("0.2.0", neutral=False),
    "head.asymmetric": Younger("0.2.0", neutral=False),
    "dataset.reader.draw": Younger("0.2.0", neutral=True),
    "backbone.freeze": Younger("0.2.0", neutral="none"),
    "optim.backbone_lr_factor": Younger("0.2.0", neutral=1.0),
    "optim.layer_decay": Younger("0.2.0", neutral=1.0),
    "dataset.reader.label_ending": Younger("0.2.0", neutral=""),
    "dataset.reader.split_list": Younger("0.2.0", neutral=None),
    "dataset.reader.outside": Younger("0.2.0", neutral=False),
    "dataset.reader.masks": Younger("0.2.0", neutral="auto"),
    "dataset.reader.unknown_colors": Younger("0.2.0", neutral="error"),
    "dataset.val_fraction": Younger("0.2.0", neutral=None),
    "dataset.fold": Younger("0.2.0", neutral=None),
    "dataset.group": Younger("0.2.0", neutral=None),
    "dataset.split_seed": Younger("0.2.0", neutral=0),
    "dataset.fraction": Younger("0.2.0", neutral=1.0),
    "dataset.reader.bands": Younger("0.2.0", neutral=None),
    "dataset.channels": Younger("0.2.0", neutral=3),
    "dataset.scale": Younger("0.2.0", neutral=None),
    "dataset.nodata": Younger("0.2.0", neutral=None),
    "loss": Younger(
        "0.2.0", neutral={"name": "cross_entropy", "_target_": "gcseg.losses.CrossEntropy"}
    ),
    "epochs": Younger("0.2.0", neutral=None),
    "quick": Younger("0.2.0", neutral=False),
    "monitor": Younger("0.2.0", neutral="miou"),
    "patience": Younger("0.2.0", neutral=None),
    "limit_val": Younger("0.2.0", neutral=None),
    "callbacks": Younger("0.2.0", neutral={}),
}
"""Settings that are left out of the fingerprint at their neutral value, so that an upgrade does not
rename runs. Each new setting that `training_settings` takes needs an entry."""


def run_name(
    settings: Mapping[str, Any], train_set: SegmentationDataset, weights: Mapping[str, Path]
) -> str:
    """Return the name of a training, which ends in a fingerprint of what decides its weights.

    Args:
        settings: Resolved settings of the training, plain values.
        train_set: The training split.
        weights: Files of initial weights, by the part of the network that they are for.
    """
    names = "-".join(
        [
            backbone_name(settings["backbone"]),
            head_name(settings["head"]),
            settings["dataset"]["name"],
        ]
    )
    identity = {
        **training_settings(settings),
        "data": _identity(train_set),
        "weights": {part: sha256_of(path) for part, path in weights.items()},
    }
    return f"{names}-{settings['iters']}it-s{settings['seed']}-{fingerprint(identity)}"


def backbone_name(backbone: Mapping[str, Any]) -> str:
    """Return the name of a backbone by its settings, as `r50+gc` with context blocks in it."""
    return "+".join([backbone["name"], *_block(backbone)])


def head_name(head: Mapping[str, Any]) -> str:
    """Return the name of a head by its settings, as `fcn-nl` with a context block."""
    return "-".join([head["name"], *_block(head)])


def _block(part: Mapping[str, Any]) -> list[str]:
    """Return the name of the context block in a part of the network, if it has one."""
    block = part.get("context")
    return [] if block is None or block.get("_target_") is None else [str(block["name"])]


def training_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide the trained weights, without data folders and scoring.

    Args:
        given: All resolved settings of a training, plain values.
    """
    settings = {
        key: value
        for key, value in leave_out_neutral(given).items()
        if key in ("backbone", "head", "auxiliary_head", "auxiliary_weight", "loss",
                   "class_weights", "count_ignored", "dataset", "augment", "augment_on",
                   "sampling", "normalize", "optim", "iters", "batch_size", "precision", "seed",
                   "trainer", "quick", "monitor", "patience", "limit_val", "callbacks")
    }  # fmt: skip
    if given["ema"]["decay"] is not None:  # best.ckpt is chosen by the average's scores
        settings["ema"] = {**given["ema"], "decay": float(given["ema"]["decay"])}
    if given["accumulate"] > 1:  # batch norm sees the images of one pass
        settings["accumulate"] = given["accumulate"]
    if "patience" in settings:  # the steps after which it counts
        settings["val_every"] = given["val_every"]
    for key in ("backbone_lr_factor", "layer_decay"):
        if key in settings["optim"]:
            settings["optim"][key] = float(settings["optim"][key])
    settings["backbone"].pop("pretrained", None)  # the weights themselves count, not their path
    dataset = settings["dataset"]
    settings["dataset"] = {key: dataset[key] for key in ("name", "reader", "crop")}
    if "channels" in dataset:
        settings["dataset"]["channels"] = dataset["channels"]
    if "scale" in dataset:  # one number stands for 0 to it
        least, most = scale if isinstance(scale := dataset["scale"], list) else (0, scale)
        settings["dataset"]["scale"] = [float(least), float(most)]
    if "nodata" in dataset:
        settings["dataset"]["nodata"] = str(float(dataset["nodata"]) + 0.0)  # -0.0 is 0.0
    settings["dataset"]["split"] = dataset["splits"]["train"]
    settings["dataset"] |= _division(dataset)
    sampling = {key: float(value) for key, value in settings["sampling"].items() if value}
    if not sampling.keys() & {"rare_crop", "copy_paste"}:
        del sampling["temperature"]  # has no effect
    settings["sampling"] = sampling
    if "loss" in settings:
        settings["loss"] = _with_floats(_without_absent_parts(settings["loss"]))
    if isinstance(settings["class_weights"], list):  # before the data are read it may be a rule
        settings["class_weights"] = [float(weight) for weight in settings["class_weights"]]
    settings["trainer"] = {
        key: value for key, value in settings["trainer"].items() if key.startswith("gradient_")
    }
    return settings


def _division(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that divide the training split, without those that have no effect."""
    found = {key: dataset[key] for key in ("val_fraction", "fold", "fraction") if key in dataset}
    if "val_fraction" in found or "fold" in found:
        found |= {key: dataset[key] for key in ("group",) if key in dataset}
    if found:
        found |= {key: dataset[key] for key in ("split_seed",) if key in dataset}
    return found


def leave_out_neutral(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of plain settings without the younger ones that have their neutral value."""
    settings = copy.deepcopy(dict(given))
    for name, (_, neutral) in YOUNGER_SETTINGS.items():
        node: Any = settings
        *groups, key = name.split(".")
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if isinstance(node, dict) and key in node and _is(node[key], neutral):
            del node[key]
    return settings


def _without_absent_parts(loss: dict[str, Any]) -> dict[str, Any]:
    """Return a loss without the parts of a sum that are null or have no weight."""
    if loss["_target_"] != "gcseg.losses.WeightedSum":
        return loss
    parts = {name: part for name, part in loss["parts"].items() if part and part["weight"]}
    return {**loss, "parts": parts}


def _with_floats(value: Any) -> Any:
    """Return plain values whose whole numbers are floats, so that 1 and 1.0 name one training."""
    if isinstance(value, dict):
        return {key: _with_floats(one) for key, one in value.items()}
    return float(value) if type(value) is int else value


def _is(value: object, neutral: object) -> bool:
    """Return whether a setting has its neutral value; 1 is 1.0, and not true."""
    return isinstance(value, bool) == isinstance(neutral, bool) and value == neutral


def _identity(train_set: SegmentationDataset) -> dict[str, Any]:
    """Return the classes and pictures of a training split, independent of its folder."""
    space = train_set.label_space
    identity = {
        "classes": space.names,
        "values": sorted(space.values.items()),
        "pictures": [pair.name for pair in train_set.pairs],
    }
    if space.key is not None:
        identity["colors"] = sorted(zip(space.key.colors, space.key.indices, strict=True))
    return identity


def pictures_digest(names: Iterable[str]) -> str:
    """Return eight hexadecimal digits that identify the pictures of a split.

    Args:
        names: Names of the pictures, in any order.
    """
    return fingerprint({"pictures": sorted(names)})


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return eight hexadecimal digits that identify plain values, whatever their names' order."""
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
