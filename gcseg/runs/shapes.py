"""Shapes of records: odd entries are left out of a record that is shown, or refused."""

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
"""Upper bound of whole numbers; larger ones can't be counts."""
_ROUNDING = 1e-6
"""Amount by which rounding may lift a mean of fractions above 1."""
_MOST_NAMED = 5
"""Number of a file's odd entries that are named; further ones are counted."""
_MOST = 1000
"""Most values of a list or names of a mapping, by default; a run folder is evaluated in a few dozen
ways."""
MOST_CLASSES = 256
"""Most classes of a dataset; a label has one byte per pixel."""
_MOST_CONVENTIONS = 100
"""Most conventions by which the same predictions are counted."""
MOST_MODES = 100
"""Most modes of test-time augmentation of a job, as in the table of settings."""
_MOST_WORDS = 10_000
"""Most words of a command line, on which a sweep of 1000 jobs may name them all."""
_SCALES = (0.1, 8.0)
"""Smallest and largest factor by which pictures are resized, as in the table of settings."""
_MOST_SCALES = 20
"""Most scales of a mode, as in the table of settings; each costs a prediction."""


@dataclass(frozen=True)
class Kind:
    """The shape of a single value.

    Args:
        words: Description of the value, such as `a fraction`.
        fits: Function that returns whether a value has this shape.
        null: Whether null has a meaning other than that the value is not known.
    """

    words: str
    fits: Callable[[Any], bool]
    null: bool = False


@dataclass(frozen=True)
class Several:
    """The shape of a list of values of one shape.

    Args:
        of: Shape of each value.
        most: Most values that are kept; further ones are left out.
    """

    of: Shape
    most: int = _MOST


@dataclass(frozen=True)
class Each:
    """The shape of a mapping whose values all have one shape.

    Args:
        of: Shape of each value.
        most: Most names that are kept; further ones are left out.
    """

    of: Shape
    most: int = _MOST


@dataclass(frozen=True)
class Entries:
    """The shape of a mapping of known names; values of other names may have any shape.

    Args:
        shapes: Shapes of the values, by name.
        needed: Names without which the mapping does not fit.
    """

    shapes: Mapping[str, Shape]
    needed: Sequence[str] = ()


Shape = Union[Kind, Several, Each, Entries]  # noqa: UP007  # `|` would be evaluated too early


def is_finite(value: object) -> bool:
    """Return whether a value is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _is_inside(path: object) -> bool:
    """Return whether a value is a relative path that stays below its folder."""
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
_BY_CLASS = Each(SCORE, MOST_CLASSES)

EVALUATION = Entries({
    "split": TEXT, "stopped_at": COUNT, "checkpoint": FILE_NAME, "scales": SCALES, "flip": FLAG,
    "average": TEXT,
    "miou": SCORE, "pixel_accuracy": SCORE, "class_iou": _BY_CLASS, "mean_f1": SCORE,
    "mean_precision": SCORE, "mean_recall": SCORE, "class_f1": _BY_CLASS,
    "class_precision": _BY_CLASS, "class_recall": _BY_CLASS, "boundary_miou": SCORE,
    "ece": SCORE, "images": COUNT, "pictures": TEXT, "seconds": SIZE, "memory": Several(TEXT),
    "analysis": INSIDE, "confusion": INSIDE,
}, needed=["miou"])  # fmt: skip
"""Shape of one evaluation of results.json, and of a sweep's ledger."""

RESULTS = Entries({
    "name": TEXT, "backbone": TEXT, "head": TEXT, "dataset": TEXT, "iters": COUNT, "seed": NUMBER,
    "training": Entries({"iters": COUNT, "stopped_at": COUNT, "seconds": SIZE,
                         "images_per_second": SIZE, "peak_memory_bytes": SIZE}),
    "model": Entries({"parameters": SIZE, "flops": SIZE, "training_flops": SIZE,
                      **_SIDES.shapes}),
    "validation": Entries({"split": TEXT, "images": COUNT, "pictures": TEXT}),
    "evaluations": Each(EVALUATION),
})  # fmt: skip
"""Shape of results.json."""

ANALYSIS = Entries({
    "classes": Several(TEXT, MOST_CLASSES), "mode": TEXT, "images": INSIDE,
    "boundary": Entries({"miou": SCORE, "class_iou": _BY_CLASS, "dilation_ratio": FRACTION}),
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
"""Shape of analysis/NAME.json."""

ENVIRONMENT = Entries({
    "command": Several(TEXT, _MOST_WORDS), "python": TEXT, "packages": Each(TEXT),
    "git_commit": TEXT, "platform": TEXT, "host": TEXT, "cpus": COUNT, "gpus": Several(TEXT),
})  # fmt: skip
"""Shape of environment.json."""

ANYTHING = Entries({})
"""Shape of settings; the code that uses them checks their values."""

MEASUREMENT = Entries(
    {"experiment": TEXT, "command": TEXT,
     "results": Entries(RESULTS.shapes, needed=["evaluations"])},
    needed=["experiment", "results"],
)  # fmt: skip
"""Shape of one entry of experiments/results.json."""

OUTCOME = Entries({
    "run": TEXT, "evaluations": Each(EVALUATION, MOST_MODES),
    "progress": Entries({"step": COUNT, "iters": COUNT, "seconds_left": SIZE, "miou": SCORE},
                        needed=["step", "iters"]),
})  # fmt: skip
"""Shape of a job's report to its sweep."""

MULTIRUN = Entries({"hydra": Entries({"overrides": Each(Several(TEXT, _MOST_WORDS))})})
"""Shape of multirun.yaml, which Hydra writes."""

_WORDS = Kind("text of 1 to 200 characters",
              lambda value: isinstance(value, str) and 0 < len(value) <= 200)  # fmt: skip

COMPARISON = Entries({
    "baseline": _WORDS, "source": _WORDS, "published_in": _WORDS,
    "claims": Each(Entries({"setting": _WORDS, "is": _WORDS, "than": _WORDS, "within": SIZE})),
    "published": Each(Entries({"setting": _WORDS, "values": Each(NUMBER, 10)})),
})  # fmt: skip
"""Shape of what a sweep's settings are compared with, and what is claimed of them."""

_TIME = Kind("a time in milliseconds of a day at most",
             lambda value: is_finite(value) and 0 <= value <= 86_400_000)  # fmt: skip

TIMINGS = Entries({
    "device": TEXT, "threads": COUNT, "channels": COUNT, **_SIDES.shapes, "passes": COUNT,
    "networks": Each(Entries(
        {"parameters": COUNT, "flops": COUNT, "milliseconds": _TIME, "fastest": _TIME,
         "low": _TIME, "high": _TIME},
        needed=["milliseconds"],
    )),
}, needed=["device", "height", "width", "passes", "networks"])  # fmt: skip
"""Shape of a sweep's timings.json."""

JOB = Entries({
    "key": TEXT, "number": COUNT, "overrides": Several(TEXT), "training": TEXT,
    # Other settings may be odd if the job failed because of them.
    "settings": Entries({"modes": Several(TEXT, MOST_MODES)}),
    "state": Kind("a state of a job", lambda value: value in
                  ("pending", "running", "done", "failed", "pruned", "interrupted")),
    "run": TEXT, "evaluations": Each(EVALUATION, MOST_MODES), "error": TEXT, "log": TEXT,
    "seconds": SIZE,
}, needed=["key", "number", "overrides", "training", "settings", "state"])  # fmt: skip
"""Shape of a row of a sweep's ledger."""


def cleaned(content: object, shape: Shape, odd: list[str], where: str = "") -> Any:
    """Return a copy of a record without the entries that do not fit its shape.

    Args:
        content: Plain values; null anywhere is a value that is not known.
        shape: Shape that the record should have.
        odd: List to which a few words on each omitted entry are appended.
        where: Names that lead to the record, joined by dots.

    Returns:
        The copy; None if the record does not fit as a whole.
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
            odd.append(f"{_called(where)} is not a list")
            return None
        _count(content, shape.most, "values", odd, where)
        few = content[: shape.most]
        parts = [cleaned(one, shape.of, odd, f"{where}[{n}]") for n, one in enumerate(few)]
        return [part for part in parts if part is not None]
    if not isinstance(content, Mapping):
        odd.append(f"{_called(where)} is not a mapping")
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
            if name not in content or content[name] is None:  # odd values were named above
                odd.append(f"{_called(where)} has no {name}")
            return None
    return found


def _count(content: Sized, most: int, what: str, odd: list[str], where: str) -> None:
    """Note that a list or mapping has more entries than allowed."""
    if len(content) > most:
        odd.append(f"{_called(where)} has {len(content):,} {what}, which is more than {most:,}")


def checked(content: object, shape: Shape) -> Any:
    """Return a record if every entry fits its shape.

    Raises:
        RecordError: An entry does not fit; the first such entry is named.
    """
    odd: list[str] = []
    found = cleaned(content, shape, odd)
    if odd or found is None:
        raise RecordError(odd[0] if odd else "it is empty")
    return found


def in_words(odd: Sequence[str]) -> str:
    """Return the odd entries in one line."""
    more = len(odd) - _MOST_NAMED
    return "; ".join(odd[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _called(where: str) -> str:
    return where or "it"
