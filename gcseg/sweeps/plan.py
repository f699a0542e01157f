"""Identities of a sweep's jobs, and merging of jobs that can share a process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from gcseg.config.plain import plain
from gcseg.config.sweep_name import BOOKKEEPING_KEYS, is_bookkeeping
from gcseg.runs.name import (
    backbone_name,
    fingerprint,
    head_name,
    leave_out_neutral,
    training_settings,
)


def of_the_work(overrides: Iterable[str]) -> list[str]:
    """Return the overrides that decide what a job does, in their order."""
    return [one for one in overrides if not is_bookkeeping(one)]


def job_record(cfg: DictConfig, overrides: Iterable[str]) -> dict[str, Any]:
    """Return key, overrides, training and settings of a job for the ledger."""
    settings = plain(cfg)
    config = leave_out_neutral(settings)
    work = {key: value for key, value in config.items() if key not in BOOKKEEPING_KEYS}
    training = {
        **training_settings(settings),
        "root": config["dataset"].get("root"),
        "weights": [config["checkpoint"], config["strict"], config["backbone"].get("pretrained")],
    }
    return {
        "key": fingerprint(work),
        "overrides": of_the_work(overrides),
        "training": fingerprint(training),
        "settings": {
            "backbone": backbone_name(config["backbone"]),
            "head": head_name(config["head"]),
            "dataset": config["dataset"]["name"],
            "iters": config["iters"],
            "seed": config["seed"],
            "modes": list(config["tta"]["modes"]),
        },
    }


def merged(configs: Sequence[Mapping[str, Any]]) -> list[tuple[dict[str, Any], list[int]]]:
    """Merge jobs that differ only in their modes of test-time augmentation.

    Predictions that the modes share are then made once. Jobs are not merged if modes of one name
    have different values, or if their averages differ.

    Args:
        configs: Resolved settings of the jobs.

    Returns:
        Merged settings with all modes, each with the indices in `configs` of the merged jobs.
    """
    groups: list[tuple[dict[str, Any], list[int]]] = []
    for place, config in enumerate(configs):
        tta = config["tta"]
        for group, places in groups:
            modes = group["tta"]["modes"]
            same = all(
                group.get(key) == value for key, value in config.items() if key != "tta"
            ) and len(group) == len(config)
            fits = all(modes.get(name, mode) == mode for name, mode in tta["modes"].items())
            if same and fits and group["tta"]["average"] == tta["average"]:
                group["tta"] = {**group["tta"], **tta, "modes": {**modes, **tta["modes"]}}
                places.append(place)
                break
        else:
            groups.append((dict(config), [place]))
    return groups
