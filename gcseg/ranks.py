"""Which process of a training this one is, before Lightning knows."""

from __future__ import annotations

import os

_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Where Lightning, torchrun and SLURM tell a process its place; 0, or nothing, is the first."""


def is_first_process() -> bool:
    """Whether this process is the first of its training."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)
