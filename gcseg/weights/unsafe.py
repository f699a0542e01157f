"""Error of a checkpoint file that is refused, raised where its path is not known."""

from __future__ import annotations


class RefusedError(Exception):
    """A file is refused; the message says what is wrong with it, in a few words."""
