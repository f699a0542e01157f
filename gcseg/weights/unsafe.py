"""Why a checkpoint file is not read, before it is known which file it is."""

from __future__ import annotations


class RefusedError(Exception):
    """What is wrong with a file, in a few words."""
