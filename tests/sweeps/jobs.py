"""Jobs of sweeps that never ran."""

from __future__ import annotations

import itertools
from pathlib import Path

from gcseg.sweeps.ledger import Job, Ledger

MODES = ("none", "flip", "msflip")


def grid(*, seeds=(0,), modes=MODES, scores=None, fail=(), state="failed", **values):
    """A finished job for each combination, by default of one score each.

    `scores(combination, seed, mode)` gives the mIoU; jobs of the numbers `fail` have none.
    """
    jobs = []
    for combination in itertools.product(*values.values()):
        for seed in seeds:
            training = f"{combination}-{seed}"
            for mode in modes:
                chosen = [f"{k}={v}" for k, v in zip(values, combination, strict=True)]
                chosen += [f"seed={seed}"] if len(seeds) > 1 else []
                number = len(jobs)
                failed = number in fail
                miou = 0.5 if scores is None else scores(combination, seed, mode)
                record = {"miou": miou, "pixel_accuracy": 0.75, "seconds": 1.5}
                settings = {"backbone": "r18", "head": "gc", "dataset": "camvid", "iters": 20}
                jobs.append(
                    Job(
                        key=f"key{number}",
                        number=number,
                        overrides=(*chosen, "dataset=camvid", f"tta={mode}"),
                        training=training,
                        settings={**settings, "seed": seed, "modes": [mode]},
                        state=state if failed else "done",
                        evaluations=None if failed else {mode: record},
                        error="out of memory: lower batch_size" if failed else None,
                        log=f"jobs/{number}/console.log",
                        seconds=2.0,
                    )
                )
    return jobs


def ledger(folder: Path, jobs) -> Path:
    """A sweep folder with these jobs in its ledger."""
    book = Ledger(folder / "ledger.sqlite")
    for job in jobs:
        book.add(
            job.key,
            job.number,
            overrides=job.overrides,
            training=job.training,
            settings=job.settings,
        )
        if job.state != "pending":
            book.finish(
                job.key,
                job.state,
                run=job.run,
                evaluations=job.evaluations,
                error=job.error,
                log=Path(job.log),
                seconds=job.seconds,
            )
    return folder
