"""From which checkpoint an interrupted training goes on."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import torch

from gcseg.engine.checkpoints import read_checkpoint
from gcseg.engine.run import RunFolder
from gcseg.errors import WeightsError
from gcseg.files import output_error
from gcseg.ranks import is_first_process
from gcseg.terminal import announce


def resume_from(folder: RunFolder) -> Path | None:
    """The newest checkpoint that can be read; None where there is none yet.

    That is last.ckpt; or previous.ckpt, which it replaced, or best.ckpt, which is written before
    it, whichever has done more steps. The first process of a training sets damaged ones aside; the
    others come to the same answer whether they look before or after it did.

    Raises:
        WeightsError: No checkpoint that is there can be read; all are left as they are.
        OutputError: A damaged one can't be renamed.
    """
    damaged: dict[Path, WeightsError] = {}
    for path in sorted((folder.last, folder.previous, folder.best), key=_order):
        try:
            read_checkpoint(path)
        except WeightsError as error:
            if isinstance(_reason(error), FileNotFoundError):
                continue
            if isinstance(_reason(error), OSError | MemoryError):  # it may be whole
                raise
            damaged[path] = error
            continue
        if is_first_process():
            for bad, reason in damaged.items():
                aside = _set_aside(bad)
                announce(
                    f"warning: {reason.cause}: it is now {aside.name}, and training goes on from "
                    f"{path.name}"
                )
        return path
    if damaged:
        newest, *_ = damaged.values()
        raise WeightsError(
            f"{newest.cause}, and there is no other checkpoint",
            f"move {folder.checkpoints} away to train from the beginning",
        )
    return None


def _order(path: Path) -> float:
    """By steps done, most first; what can't be read where it was when it was written.

    The weights stay on the disk: a checkpoint that is not gone on from need not be read.
    """
    try:
        return -int(torch.load(path, mmap=True, weights_only=True)["global_step"])
    except Exception:  # `read_checkpoint` finds out what it is
        return math.inf if path.name == "best.ckpt" else -math.inf


def _reason(error: BaseException) -> BaseException:
    """What an error goes back to."""
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
