"""The rows of `published=`, composed from the table of published networks."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from typing import Any

from gcseg.errors import ConfigError
from gcseg.zoo import catalogue

GROUP = "published"
LIST_OF_ROWS = "docs/published.md and python -m gcseg.weights list have all rows"


@functools.cache
def rows() -> Mapping[str, catalogue.Record]:
    """Return the published networks by the names of their rows."""
    return {one.experiment: one for one in catalogue.records() if one.experiment is not None}


def row(name: str) -> dict[str, Any]:
    """Return a row as Hydra reads it: options of groups, and the settings that they lack.

    Args:
        name: Name of the row.
    """
    record = rows()[name]
    height, width = record.crop
    paddle = record.framework == "paddleseg"
    large = (height, width) == (769, 769)
    options = {
        "recipe": record.recipe,
        "backbone": record.architecture["backbone"],
        "dataset": record.dataset,
        "tta": "all",
        "inference": "slide" if large and not paddle else "whole",
    }
    # Aligned corners want sizes of 8 n + 1.
    place = {"pad": {"height": 1025, "width": 2049}, "fit": {"long": 2049, "short": 1025}}
    sizes = {"pad" if paddle else "fit": place["pad" if paddle else "fit"]} if large else {}
    return {
        "defaults": [{f"override /{group}": option} for group, option in options.items()],
        GROUP: {"checkpoint": record.name},
        "backbone": {"pretrained": _pretrained(record), "variant": record.architecture["variant"]},
        "head": {"align_corners": record.architecture["align_corners"]},
        "dataset": {"crop": {"height": height, "width": width}, **sizes},
        "iters": record.iters,
        "batch_size": record.batch_size,
    }


def no_such_row(name: str) -> ConfigError:
    """Make the error for a row that does not exist, which suggests similar ones.

    Args:
        name: The name as given.
    """
    close = difflib.get_close_matches(name, rows(), n=3)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return ConfigError(f"{GROUP}={name} does not exist", f"{meant}{LIST_OF_ROWS}")


def _pretrained(record: catalogue.Record) -> str:
    """Return the name of the backbone's weights from which a network was trained."""
    depth, variant = record.architecture["backbone"][1:], record.architecture["variant"]
    return {
        "vd": f"paddleseg/resnet{depth}_vd_ssld",
        "v1c": f"mmcls/resnet{depth}_v1c",
        "v1b": f"torchvision/resnet{depth}",
    }[variant]
