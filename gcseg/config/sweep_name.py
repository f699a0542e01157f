"""The name of a multirun's sweep."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gcseg.runs.name import fingerprint

BOOKKEEPING_KEYS = ("run_root", "retry_failed", "job_timeout")
"""Settings that do not change what a sweep does, only where and how."""


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
        if argument in ("-m", "--multirun") or key in BOOKKEEPING_KEYS or hydra:
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
