"""The evaluations of a run that a published folder can reproduce."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gcseg.errors import OutputError
from gcseg.runs.folder import RunFolder
from gcseg.runs.reading import Evaluation, RunFiles
from gcseg.runs.shapes import SCALES


class Scored(NamedTuple):
    """An evaluation that is published.

    Args:
        mode: Mode of test-time augmentation.
        split: Name of the split.
        scales: Scale factors of the views.
        flip: Whether each view is also predicted flipped.
    """

    mode: str
    split: str
    scales: tuple[float, ...]
    flip: bool


def check_finished(run: RunFiles) -> None:
    """Check that the training of a run folder has ended, and was scored.

    Raises:
        OutputError: It has not, or the folder is damaged.
    """
    place, files = run.folder, RunFolder(run.folder)
    if not files.config.is_file():
        raise OutputError(f"{place} is not a run folder", "give run=runs/<name>")
    if not run.results and files.results.is_file():
        raise OutputError(f"{files.results} is damaged", "score the run with gcseg.eval")
    again = f"give its command again, or score it with gcseg.eval {run.argument('checkpoint')}"
    if run.config.get("quick") is True:
        raise OutputError(
            f"{place} is a quick try, whose scores mean nothing", "train without quick=true"
        )
    if "training" not in run.results:
        raise OutputError(f"the training in {place} has not ended", "give its command again")
    if not files.best.is_file():
        raise OutputError(f"there is no {files.best}", "restore it, or train again")
    if not run.evaluations:
        raise OutputError(f"{place} has no scores", again)


def published(run: RunFiles) -> tuple[dict[str, Scored], dict[str, str]]:
    """Choose the evaluations whose settings are those of the training, on any split.

    Args:
        run: The run folder's files.

    Returns:
        The evaluations by name, and the reason why another is left out by its name.

    Raises:
        OutputError: There are none.
    """
    chosen, others = {}, {}
    for one in run.evaluations:
        fault = _fault(one)
        if fault is None:
            chosen[one.name] = _scored(one)
        else:
            others[one.name] = fault
    if not chosen:
        raise OutputError(
            f"no evaluation in {run.folder} is of the training's own protocol",
            f"score it with gcseg.eval {run.argument('checkpoint')}",
        )
    return chosen, others


def _scored(one: Evaluation) -> Scored:
    record = one.record
    mode = one.name.partition("@")[0]
    return Scored(mode, record["split"], tuple(record["scales"]), record["flip"])


def _fault(one: Evaluation) -> str | None:
    mode, _, differs = one.name.partition("@")
    record: Mapping[str, Any] = one.record
    if not {"split", "scales", "flip", "images"} <= record.keys():
        return "its record is damaged"
    if differs not in ("", record["split"]):
        return "its settings are not those of the training"
    if record.get("checkpoint", "best.ckpt") != "best.ckpt":
        return "it is of another checkpoint"
    return None if SCALES.fits(record["scales"]) else f"the scales of {mode} are damaged"
