"""The classes that a checkpoint predicts, according to its contents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gcseg.data.label_spaces import LabelSpace
from gcseg.errors import ConfigError, DataError, WeightsError
from gcseg.system.text import listed, shown
from gcseg.weights import own_record

_MOST_LISTED = 20
"""Number of classes that a message names."""


def trained_classes(extra: Mapping[str, Any]) -> LabelSpace | None:
    """Return the classes that a checkpoint predicts; None if it does not list them.

    Checkpoints of other frameworks may list none.

    Args:
        extra: Contents of the checkpoint other than the weights.

    Raises:
        WeightsError: The checkpoint's list of classes is not valid.
    """
    record = own_record(extra)
    if not {"classes", "colors"} <= record.keys():
        return None
    names, colors = record["classes"], record["colors"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise WeightsError("the checkpoint's classes are not a list of names", "use another one")
    if not isinstance(colors, list) or not all(_is_color(color) for color in colors):
        raise WeightsError(
            "the checkpoint's colours are not a list of RGB values", "use another one"
        )
    try:
        return LabelSpace(tuple(names), tuple((r, g, b) for r, g, b in colors))
    except ConfigError as error:
        raise WeightsError(f"the checkpoint's classes: {error.cause}", "use another one") from error


def _listed(space: LabelSpace) -> str:
    return listed(map(shown, space.names), most=_MOST_LISTED)


def _is_color(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(channel) is int and 0 <= channel <= 255 for channel in value)
    )


def check_classes(extra: Mapping[str, Any], space: LabelSpace, source: Path) -> None:
    """Check that a checkpoint predicts the classes of a dataset, if it lists its classes.

    Args:
        extra: Contents of the checkpoint other than the weights.
        space: Classes of the dataset.
        source: The checkpoint, for messages.

    Raises:
        DataError: The classes differ, or are in another order.
        WeightsError: The checkpoint's list of classes is not valid.
    """
    try:
        trained = trained_classes(extra)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error.cause}", error.remedy) from error
    if trained is not None and trained.names != space.names:
        raise DataError(
            f"{source} predicts {trained.num_classes} classes ({_listed(trained)}), but "
            f"the dataset has {space.num_classes} ({_listed(space)})",
            "give the dataset whose classes it was trained on",
        )
