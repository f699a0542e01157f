"""The names of evaluations in results.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def evaluation_keys(
    records: Mapping[str, dict[str, Any]],
    cfg: Mapping[str, Any],
    trained: Mapping[str, Any],
    *,
    split: str,
    checkpoint: str = "best",
) -> dict[str, dict[str, Any]]:
    """Give evaluations the names that they have in results.json.

    The name is the mode alone for the evaluation at the end of a training: its best checkpoint on
    the validation split, under its protocol. Anything else is added to the name, so that no
    evaluation overwrites another.

    Args:
        records: Evaluation records by mode.
        cfg: Plain settings of the evaluation.
        trained: Plain settings of the training, as far as they are known.
        split: Name of the split that was evaluated.
        checkpoint: File name, without suffix, of the checkpoint that was evaluated.
    """
    parts = _differences(cfg, {**cfg, "precision": 32, **trained}, split)
    if "dataset" not in trained:  # another framework's file, for any dataset
        parts.insert(0, cfg["dataset"]["name"])
    trained = {**cfg, **trained}
    if checkpoint != "best":
        parts.insert(0, checkpoint)
    return {
        "@".join([mode, *_unusual(mode, record, cfg, trained), *parts]): record
        for mode, record in records.items()
    }


def apart(records: Mapping[str, Mapping[str, Any]], results: Mapping[str, Any]) -> dict[str, str]:
    """Return new names for evaluations on other pictures than their names stand for.

    A mode alone stands for the pictures of the training's validation, as given in results.json;
    any other name stands for the pictures of its record there. So a score never overwrites one that
    it can't be compared with.

    Args:
        records: Evaluation records by the names from `evaluation_keys`.
        results: Contents of the results.json that they are for.

    Returns:
        The new name of each record; most are unchanged.
    """
    kept = results.get("evaluations") or {}
    own = [results.get("validation"), *(kept[name] for name in kept if "@" not in name)]
    names = {}
    for name, record in records.items():
        there = [kept.get(name)] if "@" in name else [own[0], kept.get(name), *own[1:]]
        known = next((one for one in there if isinstance(one, Mapping) and "images" in one), record)
        other = not _same_pictures(known, record)
        names[name] = f"{name}@pictures-{record['pictures']}" if other else name
    return names


def _same_pictures(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two records are of the same pictures.

    Records from before version 0.2.0 are compared by the number of pictures only.
    """
    key = "pictures" if "pictures" in one and "pictures" in other else "images"
    return bool(one[key] == other[key])


def _unusual(
    mode: str, record: Mapping[str, Any], cfg: Mapping[str, Any], trained: Mapping[str, Any]
) -> list[str]:
    """Return how a mode differs from the same mode in the training's protocol."""
    parts = []
    if record["scales"] != (trained["protocol"]["scales"] if mode == "msflip" else [1.0]):
        parts.append(",".join(map(str, record["scales"])))
    if record["average"] != trained["protocol"]["average"]:
        parts.append(record["average"])
    if record["flip"] and mode not in ("flip", "msflip"):
        parts.append("flip")
    if mode in ("flip", "msflip") and not record["flip"]:
        parts.append("noflip")
    if cfg["inference"] != trained["inference"]:
        window = record["window"]
        parts.append("slide" + "x".join(map(str, window.values())) if window else "whole")
    return parts


def _differences(cfg: Mapping[str, Any], trained: Mapping[str, Any], split: str) -> list[str]:
    """Return how an evaluation's settings differ from those of the training's own evaluation."""
    dataset, usual = cfg["dataset"], trained["dataset"]
    parts = []
    for group in ("backbone", "head"):
        parts += _changed(group, cfg[group], trained[group])
    if dataset["name"] == usual["name"]:
        parts += _changed("reader", dataset["reader"], usual["reader"])
        for key, neutral in (("channels", 3), ("scale", None), ("nodata", None)):
            value = dataset.get(key, neutral)
            if str(value) != str(usual.get(key, neutral)):
                parts.append(f"{key}={value}".replace(" ", ""))
    if split != usual["splits"]["val"]:
        parts.append(split)
    if dataset["name"] != usual["name"]:
        parts.append(dataset["name"])
    resize = cfg["protocol"]["resize"]
    changed = resize != trained["protocol"]["resize"]
    if resize == "pad" and (changed or dataset["pad"] != usual["pad"]):
        parts.append("pad{height}x{width}".format(**dataset["pad"]))
    sizes = dataset.get("fit") or {}
    if resize == "fit" and (changed or sizes != (usual.get("fit") or {})):
        parts.append("fit{long}x{short}".format(**sizes) if sizes.get("long") else "native")
    if cfg["normalize"] != trained["normalize"]:
        parts.append("mean{mean}std{std}".format(**cfg["normalize"]).replace(" ", ""))
    averaged = (trained.get("ema") or {}).get("decay") is not None
    if averaged and cfg.get("weights") == "raw":
        parts.append("raw")
    if str(cfg["precision"]) != str(trained["precision"]):
        parts.append(str(cfg["precision"]))
    return parts


def _changed(group: str, settings: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    """Return the settings that differ, except those that do not affect scores."""
    return [
        f"{group}.{key}={value}"
        for key, value in settings.items()
        if key not in ("name", "pretrained", "dropout") and value != usual.get(key, value)
    ]
