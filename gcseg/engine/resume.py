"""Choice of the checkpoint from which an interrupted training resumes."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gcseg.engine.checkpoints import check_whole, read_state
from gcseg.errors import GcsegError, WeightsError, is_out_of_memory
from gcseg.runs.folder import RunFolder
from gcseg.runs.name import fingerprint, training_settings
from gcseg.system.files import atomic_write, output_error
from gcseg.system.launch import is_first_process
from gcseg.system.terminal import announce
from gcseg.system.text import shown
from gcseg.weights import outline_torch, own_record


def resume_from(folder: RunFolder) -> Path | None:
    """Find the newest readable checkpoint; None if there is none yet.

    That is last.ckpt; or previous.ckpt, which it replaced, or best.ckpt, which is written before
    it, whichever has done more steps. The first process of a training sets damaged ones aside,
    including a best.ckpt that is not resumed from, as it is scored in the end. The other
    processes get the same result whether they look before or after that.

    Raises:
        WeightsError: No existing checkpoint can be read; all are left unchanged.
        OutputError: A damaged one can't be renamed.
    """
    damaged: dict[Path, WeightsError] = {}
    found = None
    for path in sorted((folder.last, folder.previous, folder.best), key=_order):
        if found is not None and path != folder.best:
            continue
        try:
            if found is None:
                read_state(path)
            else:
                check_whole(path)
        except WeightsError as error:
            if isinstance(_reason(error), FileNotFoundError):
                continue
            if isinstance(_reason(error), OSError) or is_out_of_memory(_reason(error)):
                raise  # it may be whole
            damaged[path] = error
            continue
        found = found or path
    if found is not None:
        if is_first_process():
            for bad, reason in damaged.items():
                announce(
                    f"warning: {reason.cause}: it is now {_set_aside(bad).name}, and training "
                    f"resumes from {found.name}"
                )
        return found
    if damaged:
        newest, *_ = damaged.values()
        raise WeightsError(
            f"{newest.cause}, and there is no other checkpoint",
            f"move {folder.checkpoints} away to train from the beginning",
        )
    return None


def keep_as_last(folder: RunFolder, checkpoint: Path) -> None:
    """Copy the checkpoint that training resumes from to last.ckpt, if it is another one.

    Otherwise last.ckpt would be of an earlier step if all steps are done.

    Raises:
        OutputError: last.ckpt can't be written.
    """
    if checkpoint == folder.last or not is_first_process():
        return
    with checkpoint.open("rb") as source, atomic_write(folder.last) as copy:
        shutil.copyfileobj(source, copy, 1 << 20)


def check_own(checkpoint: Path, settings: Mapping[str, Any]) -> None:
    """Check that a checkpoint is of the training that resumes from it.

    Args:
        checkpoint: Path of the checkpoint.
        settings: Resolved settings of the training, plain values.

    Raises:
        WeightsError: It records the settings of another training.
    """
    try:
        theirs = fingerprint(training_settings(own_record(outline_torch(checkpoint))["config"]))
    except (AttributeError, LookupError, TypeError, ValueError):  # written by another version
        return
    if theirs != fingerprint(training_settings(settings)):
        raise WeightsError(
            f"{checkpoint} belongs to another training: its settings differ",
            "put back this training's checkpoint, or remove it; fresh=true starts again",
        )


@contextmanager
def going_on(checkpoint: Path | None, begun: Callable[[], bool]) -> Iterator[None]:
    """Explain Lightning's errors about a checkpoint whose parts do not fit the training.

    Args:
        checkpoint: Checkpoint that training resumes from, if any.
        begun: Callback that returns whether all of it is restored and training has begun.

    Raises:
        WeightsError: The checkpoint does not fit the training.
    """
    try:
        yield
    except GcsegError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        told = str(error).strip().splitlines() or [""]
        others = isinstance(error, RuntimeError) and "loading state_dict" not in told[0]
        if checkpoint is None or begun() or others:
            raise
        raise WeightsError(
            f"training can't resume from {checkpoint} ({type(error).__name__}: {shown(told[0])})",
            "move it away to resume from another checkpoint, or to train from the beginning",
        ) from error


def _order(path: Path) -> float:
    """Sort key: most steps first; an unreadable best.ckpt last, any other unreadable one first.

    The weights stay on the disk: a checkpoint that is not resumed from need not be read.
    """
    try:
        content = outline_torch(path)
    except WeightsError:  # `read_state` finds out what is wrong
        content = None
    steps = content.get("global_step") if isinstance(content, dict) else None
    if type(steps) is not int:
        return math.inf if path.name == "best.ckpt" else -math.inf
    return -steps


def _reason(error: BaseException) -> BaseException:
    """Find the first cause of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _set_aside(path: Path) -> Path:
    """Rename a damaged file to a name that is not taken.

    Raises:
        OutputError: It can't be renamed.
    """
    names = (f"{path.name}.damaged{'' if n == 1 else f'-{n}'}" for n in itertools.count(1))
    aside = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    try:
        return path.rename(aside)
    except OSError as error:
        raise output_error(path, error) from error
