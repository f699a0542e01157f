"""Trainings, evaluations and sweeps as functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gcseg.config.checks import check_one
from gcseg.config.command import ALIASES, first_job
from gcseg.config.command_line import given
from gcseg.config.seeds import with_expanded_seeds
from gcseg.config.sweep_name import sweep_name
from gcseg.config.trained import CheckpointRef, checkpoint_ref
from gcseg.errors import ConfigError, StoppedBySignal, TrainingError, behind
from gcseg.python.processes import run_command, train_in_child
from gcseg.python.results import EvaluationResult, SweepJob, SweepResult, TrainingResult
from gcseg.python.settings import as_arguments, checked, composed, config_errors
from gcseg.runs.folder import RunFolder
from gcseg.system.launch import launched
from gcseg.system.text import as_override, counted

Settings = DictConfig | Mapping[str, Any]


def train(settings: Settings | Iterable[str] = ()) -> TrainingResult:
    """Train, then score the best checkpoint, as `python -m gcseg.train` does.

    The run has the command's name and folder. A training that was interrupted continues, a finished
    one is only scored. It runs in this process, in any thread; one on several devices runs in
    processes of its own, which are started by `python -m gcseg.train`.

    Args:
        settings: Settings from `gcseg.compose` or from Hydra's own `compose`, or overrides such as
            `["dataset=camvid", "iters=2000"]`.

    Returns:
        The run folder and the scores.

    Raises:
        GcsegError: A setting, the data, the weights or the output folder is wrong.
        KeyboardInterrupt: Ctrl-C, or a notebook's stop button; the trained state is saved.
        StoppedBySignal: Another signal; the trained state is saved.

    Example:
        >>> import gcseg
        >>> cfg = gcseg.compose("train", ["dataset=camvid", "dataset.root=/data/camvid"])
        >>> result = gcseg.train(cfg)  # doctest: +SKIP
        >>> result.folder, result.miou, result.checkpoint  # doctest: +SKIP
    """
    if isinstance(settings, DictConfig | Mapping):
        cfg = checked(settings, "train")
    else:
        cfg, _ = composed("train", settings)
    if launched() is None and _several_devices(cfg):
        if cfg.num_nodes != 1:
            raise ConfigError(
                f"num_nodes={cfg.num_nodes} from Python", "give the command on each machine"
            )
        result = train_in_child(cfg)
        run = RunFolder(Path(str(result.run)))
        return TrainingResult(run.results, result.evaluations or {}, run.path)
    from gcseg.commands.train import train as train_here

    with _errors_raised("train"):
        folder, evaluations = train_here(cfg)
    path = folder.path.absolute()
    return TrainingResult(RunFolder(path).results, evaluations, path)


def evaluate(checkpoint: str | Path | Settings, overrides: Iterable[str] = ()) -> EvaluationResult:
    """Score a checkpoint, as `python -m gcseg.eval` does.

    Args:
        checkpoint: A run folder, a file or a name of `gcseg.weights list`; or settings from
            `gcseg.compose("eval", ["checkpoint=...", ...])`.
        overrides: Settings such as `["tta=msflip", "split=train"]`, with a checkpoint.

    Returns:
        The scores, which are merged into results.json too.

    Raises:
        GcsegError: A setting, the checkpoint, the data or the output folder is wrong.
        KeyboardInterrupt: Ctrl-C, or a notebook's stop button.

    Example:
        >>> import gcseg
        >>> result = gcseg.evaluate("runs/my_run", ["tta=flip"])  # doctest: +SKIP
        >>> result.evaluations["flip"]["miou"]  # doctest: +SKIP
    """
    if isinstance(checkpoint, DictConfig | Mapping):
        if arguments := as_arguments(overrides):
            raise ConfigError(
                f"{arguments[0]} together with composed settings", "give it to gcseg.compose"
            )
        cfg = checked(checkpoint, "eval")
        with config_errors("eval", ()):
            trained = checkpoint_ref(cfg.checkpoint, cfg.published)
        if trained.checkpoint is None:
            raise ConfigError("checkpoint is not set", "give checkpoint=...")
    else:
        named = as_override("checkpoint", checkpoint)
        cfg, trained = composed("eval", [named, *as_arguments(overrides)])
    return _evaluated(cfg, trained)


def _evaluated(cfg: DictConfig, trained: CheckpointRef) -> EvaluationResult:
    if launched() is None and (_several_devices(cfg) or cfg.num_nodes != 1):
        raise ConfigError(
            f"devices={cfg.devices} num_nodes={cfg.num_nodes} from Python",
            f"run python -m gcseg.eval {as_override('checkpoint', cfg.checkpoint)} "
            f"devices={cfg.devices}, or take one device",
        )
    from gcseg.commands.eval import evaluate as evaluate_here

    with _errors_raised("eval"):
        results, evaluations = evaluate_here(cfg, trained)
    return EvaluationResult(results.absolute(), evaluations)


def sweep(overrides: Iterable[str], *, check: bool = True) -> SweepResult:
    """Run many trainings, as `python -m gcseg.train -m` does, in processes of their own.

    A repeated call runs the jobs that are left.

    Args:
        overrides: Settings as on the command line, of which some have several values, such as
            `["head=gc,fcn", "seeds=3", "dataset=camvid"]`.
        check: Whether a failed job is an error. If not, see `SweepResult.failed`.

    Returns:
        The sweep's folder, and its jobs with their scores.

    Raises:
        ConfigError: A setting is wrong.
        TrainingError: A job has failed and `check` is true, or the sweep was stopped.
        KeyboardInterrupt: Ctrl-C, or a notebook's stop button; running jobs have saved.

    Example:
        >>> import gcseg
        >>> result = gcseg.sweep(["head=gc,fcn", "seeds=3", "small=demo"])  # doctest: +SKIP
        >>> [(job.overrides, job.miou) for job in result.jobs]  # doctest: +SKIP
    """
    arguments = [ALIASES.get(one, one) for one in as_arguments(overrides)]
    with config_errors("train", arguments):
        arguments = with_expanded_seeds(arguments)
    settings = [one for one in arguments if one not in ("-m", "--multirun")]
    cfg, _ = composed("train", _of_one_job(settings))
    check_one("retry_failed", cfg.retry_failed)
    with config_errors("train", settings):
        own = given(settings, "hydra.sweep.dir")
    folder = Path(own or Path(cfg.run_root) / "sweeps" / sweep_name(settings)).absolute()
    status, error = run_command("train", ["-m", *settings])
    if status == 130:
        raise KeyboardInterrupt
    ledger = folder / "ledger.sqlite"
    if not ledger.is_file():
        raise TrainingError(error or f"the sweep ended with status {status}")
    result = _read(folder, ledger)
    if result.failed and check:
        raise TrainingError(
            f"{len(result.failed)} of {counted(len(result.jobs), 'job')} of {folder} failed, "
            f"such as {' '.join(result.failed[0].overrides)} ({result.failed[0].error})",
            "the same call tries them again; check=False returns the others",
        )
    if status and not result.failed:
        raise TrainingError(error or f"the sweep ended with status {status}")
    return result


def _of_one_job(arguments: list[str]) -> list[str]:
    """Overrides of a sweep's first job, without what is the sweep's own."""
    own = re.compile(r"[+~]*(hydra|prune)\b")
    return [one for one in first_job(arguments) if not own.match(one)]


def _read(folder: Path, ledger: Path) -> SweepResult:
    from gcseg.sweeps.ledger import Ledger

    jobs = tuple(
        SweepJob(
            job.overrides,
            job.state,
            None if job.run is None else Path(job.run),
            job.evaluations or {},
            job.miou,
            job.error,
        )
        for job in Ledger(ledger).jobs()
    )
    return SweepResult(folder, jobs)


def _several_devices(cfg: DictConfig) -> bool:
    """Whether a command would use several processes."""
    if cfg.num_nodes != 1:
        return True
    if cfg.devices == "auto":
        from gcseg.builders.devices import device_count

        return device_count(cfg) > 1
    return bool(cfg.devices != 1)


@contextmanager
def _errors_raised(command: str) -> Iterator[None]:
    """Raise what a command would end the process for: Ctrl-C, and errors of Hydra's."""
    try:
        with config_errors(command, ()):
            yield
    except StoppedBySignal as left:
        if left.status == 130:
            raise KeyboardInterrupt(str(left)) from None
        raise
    except SystemExit as exit:  # Lightning's on Ctrl-C
        if behind(exit, KeyboardInterrupt):
            raise KeyboardInterrupt from exit
        raise TrainingError(f"gcseg.{command} ended with status {exit.code}") from exit
