"""Faults of single files of a dataset, which are raised or collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gcseg.errors import DataError


class FileError(DataError):
    """A fault of certain files.

    Args:
        cause: See `GcsegError`.
        remedy: See `GcsegError`.
        kind: Kind of the fault, one of `gcseg.data.check.doctor.KINDS`.
        files: The files at fault.
        values: Pixels of the label by value, for the values at fault.
    """

    def __init__(
        self,
        cause: str,
        remedy: str = "",
        *,
        kind: str = "reading",
        files: Sequence[Path] = (),
        values: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__(cause, remedy)
        self.kind = kind
        self.files = tuple(files)
        self.values = dict(values or {})


def raise_or_collect(error: FileError, faults: list[DataError] | None) -> None:
    """Raise an error, or add it to a list so that the others are found too.

    Every reader takes `faults`. With None the first fault ends the reading; with a list, files at
    fault are added to it and left out of the split, and reading continues.

    Raises:
        FileError: The given error, if there is no list.
    """
    if faults is None:
        raise error
    faults.append(error)
