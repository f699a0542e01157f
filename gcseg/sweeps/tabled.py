"""The limit on the jobs of a sweep in tables, so that these take reasonable time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gcseg.sweeps.ledger import Job

MOST_CELLS = 150_000
"""Most cells of all tables on a sweep's jobs, which take 20 seconds; 1000 jobs that vary 20
settings and are scored in three modes have 90,000."""
_OWN = 7
"""Number of columns that a table of jobs always has."""


def tabled(jobs: list[Job], most: int = MOST_CELLS) -> list[Job]:
    """Return the first jobs of a sweep, as many as the tables have room for.

    One table has a column for each setting that the jobs vary, and for each mode. Another has a row
    for each score, with all the settings again.

    Args:
        jobs: Jobs in their order.
        most: Most cells of the tables.
    """
    common: set[str] | None = None
    names: set[str] = set()
    modes: set[str] = set()
    scores = 0
    for count, job in enumerate(jobs, start=1):
        own = set(job.overrides)
        shared = own if common is None else common & own
        names |= {_name(one) for one in (own | (common or own)) - shared}
        common = shared
        modes |= {*job.settings["modes"], *(job.evaluations or {})}
        scores += len(job.evaluations or {})
        if count * (len(names) + len(modes) + _OWN) + scores * len(names) > most:
            return jobs[: count - 1]
    return jobs


def _name(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
