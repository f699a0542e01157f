"""The name of a multirun's sweep."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gcseg.runs.name import fingerprint

BOOKKEEPING_KEYS = ("run_root", "retry_failed", "job_timeout", "timing", "comparison")
"""Settings that do not change the jobs of a sweep, only where, how and in which tables."""


def is_bookkeeping(override: str) -> bool:
    """Return whether an override gives one of `BOOKKEEPING_KEYS`, or a part of one."""
    name = override.lstrip("+~").partition("=")[0]
    return name.partition(".")[0] in BOOKKEEPING_KEYS


def sweep_name(arguments: Iterable[str]) -> str:
    """Name a command line's sweep by what varies and a fingerprint of all settings.

    The same for any order of the arguments, and with any launcher.
    """
    told = []
    varied = []
    for argument in sorted(arguments):
        key, _, value = argument.lstrip("+~").partition("=")
        hydra = key.startswith(("hydra/", "hydra.")) and not key.startswith(
            ("hydra/sweeper", "hydra.sweeper")
        )
        if argument in ("-m", "--multirun") or is_bookkeeping(argument) or hydra:
            continue
        told.append(argument)
        if key == "sweep":
            varied.append(value)
        elif "," in re.sub(r"\[[^]]*\]|\{[^}]*\}", "", value) or re.match(r"\w+\(", value):
            varied.append(key.rpartition(".")[2])
    if "quick=true" in {one.lower() for one in told}:
        varied.insert(0, "quick")
    prefix = re.sub(r"[^\w-]+", "", "-".join(varied))[:40] or "sweep"
    return f"{prefix}-{fingerprint({'arguments': told})}"
