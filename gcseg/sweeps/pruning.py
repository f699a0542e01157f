"""Pruning of a sweep's hopeless trainings with a pruner of optuna."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gcseg.errors import ConfigError
from gcseg.sweeps.ledger import Job

if TYPE_CHECKING:
    import optuna


def should_prune(
    jobs: Sequence[Job],
    reports: Mapping[str, Mapping[int, float]],
    key: str,
    pruner: Any,
) -> bool:
    """Return whether to give up a training, judged by its last validation.

    It is compared with trainings of the same dataset and length: in others, a step is at another
    place in the learning rate schedule. Jobs that share a training count once.

    The pruner is run again each time, from the ledger only, so that all processes of a sweep, on
    any machine, come to the same answer.

    Args:
        jobs: All jobs of the sweep.
        reports: Validation mIoU (fraction) by optimizer step, for each job that has any, by key.
        key: Key of the job in question.
        pruner: A pruner of optuna.

    Returns:
        Whether to give up; False before the training's first validation.

    Raises:
        ConfigError: `pruner` is not a pruner, or can't deal with a search for one number.
    """
    (ours,) = (job for job in jobs if job.key == key)
    trainings: dict[str, list[Job]] = {}
    for job in sorted(jobs, key=lambda job: job.number):
        if all(job.settings[name] == ours.settings[name] for name in ("dataset", "iters")):
            trainings.setdefault(job.training, []).append(job)
    with _quiet_optuna() as optuna:
        if not isinstance(pruner, optuna.pruners.BasePruner):
            raise ConfigError(
                f"prune is a {type(pruner).__name__}", "give a class of optuna.pruners in _target_"
            )
        study = optuna.create_study(
            study_name="sweep",  # Hyperband puts trials in brackets by this and their number
            sampler=optuna.samplers.RandomSampler(),
            pruner=copy.deepcopy(pruner),  # some pruners keep a state
            direction="maximize",
        )
        trials = {training: study.ask() for training in trainings}
        for training, shared in trainings.items():
            if training != ours.training:
                _replay(study, trials[training], shared, _curve(shared, reports))
        # Asked once and not for each step, when the others were not so far as they are now.
        trial = trials[ours.training]
        for step, miou in _curve(trainings[ours.training], reports).items():
            trial.report(miou, step)
        return bool(trial.should_prune())


def _replay(
    study: optuna.Study, trial: optuna.Trial, jobs: Sequence[Job], curve: Mapping[int, float]
) -> None:
    """Report a training's validations and state to a study."""
    from optuna.trial import TrialState

    # Successive halving stores in a trial the values by which it was promoted, up to the first
    # rung at which it was not.
    passed = True
    for step, miou in curve.items():
        trial.report(miou, step)
        passed = passed and not trial.should_prune()
    states = {job.state for job in jobs}
    if "done" in states and curve:
        study.tell(trial, curve[max(curve)])
    elif "pruned" in states:
        study.tell(trial, state=TrialState.PRUNED)
    elif states == {"failed"}:
        study.tell(trial, state=TrialState.FAIL)


def _curve(jobs: Sequence[Job], reports: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
    """Return the validations of jobs that share a training, in the order of steps."""
    found = {step: miou for job in jobs for step, miou in reports.get(job.key, {}).items()}
    return dict(sorted(found.items()))


@contextmanager
def _quiet_optuna() -> Iterator[Any]:
    """Import optuna and silence its messages about each study.

    Raises:
        ConfigError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(f"prune needs optuna ({error})", "pip install gcseg[optuna]") from None
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(verbosity)
