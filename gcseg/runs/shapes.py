"""What records look like: to leave out what is odd in one that is shown, or to refuse it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Union

from gcseg.system.records import RecordError
from gcseg.system.text import shown

LARGEST = 2**63
"""Of whole numbers; what is larger is no count of anything."""
_ROUNDING = 1e-6
"""By which a mean of fractions may be above 1."""
_MOST_NAMED = 5
"""Odd entries of a file that are named; further ones are counted."""
_MOST = 1000
"""Values of a list or names of a mapping, where nothing else is said; a run folder is evaluated in
a few dozen ways."""
MOST_CLASSES = 256
"""Of a dataset, whose labels have a byte."""
_MOST_CONVENTIONS = 100
"""By which the same predictions are counted."""
MOST_MODES = 100
"""Modes of test-time augmentation of a job, as in the table of settings."""
_MOST_WORDS = 10_000
"""Of a command line, on which a sweep of 1000 jobs may name them all."""
_SCALES = (0.1, 8.0)
"""The least and the largest factor by which pictures are resized, as in the table of settings."""
_MOST_SCALES = 20
"""Likewise; each is a prediction."""


@dataclass(frozen=True)
class Kind:
    """A value.

    Args:
        words: What it is called: `a fraction`.
        fits: Whether a value is one.
        null: Whether null says something and not only that a value is not known.
    """

    words: str
    fits: Callable[[Any], bool]
    null: bool = False


@dataclass(frozen=True)
class Several:
    """A list of values of one shape.

    Args:
        of: The shape.
        most: How many it may have; further ones are left out.
    """

    of: Shape
    most: int = _MOST


@dataclass(frozen=True)
class Each:
    """A mapping in which all names stand for values of one shape.

    Args:
        of: The shape.
        most: How many names it may have; further ones are left out.
    """

    of: Shape
    most: int = _MOST


@dataclass(frozen=True)
class Entries:
    """A mapping of known names; values of others are of any shape.

    Args:
        shapes: By name.
        needed: Names without which it says nothing.
    """

    shapes: Mapping[str, Shape]
    needed: Sequence[str] = ()


Shape = Union[Kind, Several, Each, Entries]  # noqa: UP007  # `|` is evaluated before they are there


def is_finite(value: object) -> bool:
    """Whether a value is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _is_inside(path: object) -> bool:
    """Whether a value is a path that stays below the folder that it is seen from."""
    if not isinstance(path, str) or "\0" in path:
        return False
    parts = PurePosixPath(path).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts


def _are_scales(value: object) -> bool:
    least, most = _SCALES
    return (
        isinstance(value, list)
        and 1 <= len(value) <= _MOST_SCALES
        and all(is_finite(one) and least <= one <= most for one in value)
    )


TEXT = Kind("text", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
NUMBER = Kind("a number", is_finite)
SIZE = Kind("a number, 0 or more", lambda value: is_finite(value) and value >= 0)
COUNT = Kind("a whole number, 0 or more",
             lambda value: type(value) is int and 0 <= value < LARGEST)  # fmt: skip
FRACTION = Kind("a fraction from 0 to 1",
                lambda value: is_finite(value) and 0 <= value <= 1 + _ROUNDING)  # fmt: skip
SCORE = Kind(FRACTION.words, FRACTION.fits, null=True)  # null: not defined, as without labels
INSIDE = Kind("a path inside the folder", _is_inside)
FILE_NAME = Kind("the name of a file",
                 lambda value: _is_inside(value) and "/" not in value)  # fmt: skip
SCALES = Kind(f"a list of 1 to {_MOST_SCALES} scales from {_SCALES[0]:g} to {_SCALES[1]:g}",
              _are_scales)  # fmt: skip

_SIDES = Entries({"height": COUNT, "width": COUNT})
_CLASS_IOU = Each(SCORE, MOST_CLASSES)

EVALUATION = Entries({
    "split": TEXT, "checkpoint": FILE_NAME, "scales": SCALES, "flip": FLAG, "average": TEXT,
    "miou": SCORE, "pixel_accuracy": SCORE, "class_iou": _CLASS_IOU, "boundary_miou": SCORE,
    "ece": SCORE, "images": COUNT, "pictures": TEXT, "seconds": SIZE, "memory": Several(TEXT),
    "analysis": INSIDE, "confusion": INSIDE,
}, needed=["miou"])  # fmt: skip
"""One evaluation of results.json, and of a sweep's ledger."""

RESULTS = Entries({
    "name": TEXT, "backbone": TEXT, "head": TEXT, "dataset": TEXT, "iters": COUNT, "seed": NUMBER,
    "training": Entries({"iters": COUNT, "seconds": SIZE, "images_per_second": SIZE,
                         "peak_memory_bytes": SIZE}),
    "model": Entries({"parameters": SIZE, "flops": SIZE, "training_flops": SIZE,
                      **_SIDES.shapes}),
    "validation": Entries({"split": TEXT, "images": COUNT, "pictures": TEXT}),
    "evaluations": Each(EVALUATION),
})  # fmt: skip
"""results.json."""

ANALYSIS = Entries({
    "classes": Several(TEXT, MOST_CLASSES), "mode": TEXT, "images": INSIDE,
    "boundary": Entries({"miou": SCORE, "class_iou": _CLASS_IOU, "dilation_ratio": FRACTION}),
    "calibration": Entries({
        "ece": SCORE,
        "bins": Several(Entries(
            {"lower": FRACTION, "upper": FRACTION, "pixels": SIZE, "confidence": SCORE,
             "accuracy": SCORE},
            needed=["lower", "upper", "pixels"],
        )),
    }),
    "conventions": Each(Entries({"miou": SCORE, "reason": TEXT}), _MOST_CONVENTIONS),
    "categories": Each(SCORE, MOST_CLASSES),
})  # fmt: skip
"""analysis/NAME.json."""

ENVIRONMENT = Entries({
    "command": Several(TEXT, _MOST_WORDS), "python": TEXT, "packages": Each(TEXT),
    "git_commit": TEXT, "platform": TEXT, "host": TEXT, "cpus": COUNT, "gpus": Several(TEXT),
})  # fmt: skip
"""environment.json."""

ANYTHING = Entries({})
"""Settings, which whoever uses them looks at."""

MEASUREMENT = Entries(
    {"experiment": TEXT, "command": TEXT,
     "results": Entries(RESULTS.shapes, needed=["evaluations"])},
    needed=["experiment", "results"],
)  # fmt: skip
"""One entry of experiments/results.json."""

OUTCOME = Entries({
    "run": TEXT, "evaluations": Each(EVALUATION, MOST_MODES),
    "progress": Entries({"step": COUNT, "iters": COUNT, "seconds_left": SIZE, "miou": SCORE},
                        needed=["step", "iters"]),
})  # fmt: skip
"""What a job reports to its sweep."""

MULTIRUN = Entries({"hydra": Entries({"overrides": Each(Several(TEXT, _MOST_WORDS))})})
"""multirun.yaml, which Hydra writes."""

JOB = Entries({
    "key": TEXT, "number": COUNT, "overrides": Several(TEXT), "training": TEXT,
    # Other settings are odd where a job failed for that.
    "settings": Entries({"modes": Several(TEXT, MOST_MODES)}),
    "state": Kind("a state of a job", lambda value: value in
                  ("pending", "running", "done", "failed", "pruned", "interrupted")),
    "run": TEXT, "evaluations": Each(EVALUATION, MOST_MODES), "error": TEXT, "log": TEXT,
    "seconds": SIZE,
}, needed=["key", "number", "overrides", "training", "settings", "state"])  # fmt: skip
"""A row of a sweep's ledger."""


def cleaned(content: object, shape: Shape, odd: list[str], where: str = "") -> Any:
    """A copy of a record without what does not fit its shape.

    Args:
        content: Plain values; null anywhere is a value that is not known.
        shape: What it is to be.
        odd: Gets a few words on each entry that is left out.
        where: The names that lead to it, with points between.

    Returns:
        None if it does not fit as a whole.
    """
    if content is None:
        return None
    if isinstance(shape, Kind):
        if shape.fits(content):
            return content
        odd.append(f"{_called(where)} is not {shape.words}")
        return None
    if isinstance(shape, Several):
        if not isinstance(content, list):
            odd.append(f"{_called(where)} is no list")
            return None
        _count(content, shape.most, "values", odd, where)
        few = content[: shape.most]
        parts = [cleaned(one, shape.of, odd, f"{where}[{n}]") for n, one in enumerate(few)]
        return [part for part in parts if part is not None]
    if not isinstance(content, Mapping):
        odd.append(f"{_called(where)} is no mapping")
        return None
    return _mapping(content, shape, odd, where)


def _mapping(
    content: Mapping[str, Any], shape: Each | Entries, odd: list[str], where: str
) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    most = shape.most if isinstance(shape, Each) else None
    if most is not None:
        _count(content, most, "names", odd, where)
    for name, given in islice(content.items(), most):
        inner = shape.of if isinstance(shape, Each) else shape.shapes.get(name)
        undefined = given != given and isinstance(inner, Kind) and inner.null  # NaN
        value = None if undefined else given
        path = f"{where}.{shown(name)}".removeprefix(".")
        kept = value if inner is None else cleaned(value, inner, odd, path)
        if kept is not None or value is None:
            found[name] = kept
    for name in shape.needed if isinstance(shape, Entries) else ():
        known = shape.shapes[name]  # type: ignore[union-attr]
        null = isinstance(known, Kind) and known.null and name in found
        if found.get(name) is None and not null:
            if name not in content or content[name] is None:  # what is odd was named above
                odd.append(f"{_called(where)} has no {name}")
            return None
    return found


def _count(content: Sized, most: int, what: str, odd: list[str], where: str) -> None:
    """Note that a list or mapping has more than it may."""
    if len(content) > most:
        odd.append(f"{_called(where)} has {len(content):,} {what}, which is more than {most:,}")


def checked(content: object, shape: Shape) -> Any:
    """A record that fits its shape in every entry.

    Raises:
        RecordError: One does not; the first is named.
    """
    odd: list[str] = []
    found = cleaned(content, shape, odd)
    if odd or found is None:
        raise RecordError(odd[0] if odd else "it is empty")
    return found


def in_words(odd: Sequence[str]) -> str:
    """Odd entries in one line."""
    more = len(odd) - _MOST_NAMED
    return "; ".join(odd[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _called(where: str) -> str:
    return where or "it"
