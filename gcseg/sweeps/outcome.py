"""What a job tells the sweep that started it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gcseg.files import write_json
from gcseg.ranks import is_first_process

VARIABLE = "GCSEG_JOB_OUTCOME"
"""Names the file that a job writes its outcome to; set by the sweep for its jobs."""


def tell_sweep(run: Path, evaluations: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Tell the sweep which run folder a job trains in, and in the end its scores by mode.

    Nothing where no sweep asked, as in a training by itself.

    Raises:
        OutputError: The file can't be written.
    """
    if VARIABLE in os.environ and is_first_process():
        outcome = {"run": str(run.absolute()), "evaluations": evaluations}
        write_json(Path(os.environ[VARIABLE]), outcome)
