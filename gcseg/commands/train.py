"""python -m gcseg.train: train, then score the best checkpoint."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gcseg.builders.length import in_steps, part_of, run_root
from gcseg.builders.weights import find_starting_weights, load_starting_weights
from gcseg.config.checks import check
from gcseg.config.command import Multirun, run_command
from gcseg.config.plain import plain
from gcseg.config.seeds import expand_seeds
from gcseg.config.trained import recorded_config
from gcseg.errors import ConfigError, StoppedBySignal
from gcseg.runs.name import backbone_name, head_name, run_name
from gcseg.sweeps.outcome import (
    in_sweep,
    leave_with_sweep,
    report_progress,
    report_to_sweep,
    sweep_of_job,
)
from gcseg.system.launch import hide_ddp_warnings
from gcseg.system.signals import Signals, leaving_on_signals
from gcseg.system.text import as_override, counted, say

if TYPE_CHECKING:
    import pytorch_lightning as L

    from gcseg.engine.callbacks.progress import RunProgress
    from gcseg.engine.data import SegmentationData
    from gcseg.engine.module import SegmentationModule
    from gcseg.runs.folder import RunFolder
    from gcseg.sweeps.ledger import Job


Scored = tuple["RunFolder", dict[str, dict[str, Any]]]
"""A run folder, and the records of its evaluations by mode; none in any but the first process."""


def train(cfg: DictConfig) -> Scored:
    """Train as configured and score the result under the modes of `cfg.tta`.

    An interrupted training resumes from its last checkpoint; a finished one is only scored.

    Raises:
        GcsegError: A setting, the data or the output folder is wrong.
        StoppedBySignal: A signal came; the trained state is saved.
    """
    with leaving_on_signals() as signals:
        return train_and_score(cfg, signals)


def train_and_score(cfg: DictConfig, signals: Signals) -> Scored:
    """Run `train`, and stop when a signal comes.

    Raises:
        GcsegError: A setting, the data or the output folder is wrong.
        StoppedBySignal: A signal came; the trained state is saved.
    """
    if in_steps(cfg, ()):  # settings from Python; the command has done it
        check(cfg)
    hide_ddp_warnings(cfg.devices, cfg.num_nodes)
    # Heavy imports wait until the settings are known to be right.
    import pytorch_lightning as L

    from gcseg.builders import data as build_data
    from gcseg.builders import devices
    from gcseg.builders import loss as build_loss
    from gcseg.builders import model as build
    from gcseg.builders import trainer as build_trainer
    from gcseg.builders.callbacks import user_callbacks
    from gcseg.data.check.splits import check_splits
    from gcseg.engine.callbacks.progress import RunProgress
    from gcseg.engine.loggers import finishing
    from gcseg.runs.folder import choose_folder
    from gcseg.runs.lock import hold, remove_leftovers
    from gcseg.runs.results import read_results
    from gcseg.system.links import refuse_links

    devices.images_per_pass(cfg)  # fails here if the batch does not divide over the devices
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    train_set = build_data.dataset(cfg, cfg.dataset.splits.train).with_labels()
    val_set = build_data.dataset(cfg, cfg.dataset.splits.val).with_labels()
    processes = devices.process_count(cfg)
    cfg = build_loss.with_class_weights(cfg, part_of(cfg, train_set, processes))
    pipeline = build_data.training_augmentation(cfg, train_set)
    module = build.module(cfg, train_set.label_space.names)
    module.configure_optimizers()  # wrong settings fail before a run folder is made
    build.modes(cfg)  # for the same reason
    own = user_callbacks(cfg)
    splits = cfg.dataset.splits
    check_splits(
        train_set,
        val_set,
        build_trainer.validated(cfg, len(val_set)),
        meant_to_be_one=splits.train == splits.val,
    )
    weights = find_starting_weights(cfg)

    name = run_name(plain(cfg), train_set, weights)
    folder = choose_folder(run_root(cfg), name, cfg.fresh)
    refuse_links(folder.path)
    train_set, val_set = (part_of(cfg, split, processes) for split in (train_set, val_set))
    with hold(folder.path, wait=in_sweep()):
        remove_leftovers(folder)
        report_to_sweep(folder.path)
        if cfg.quick:
            begin_quickly(folder)
        finished = not cfg.quick and "training" in read_results(folder.results)
        data = build_trainer.data(cfg, val_set, None if finished else train_set, pipeline)
        report = partial(report_progress, folder.path) if in_sweep() else None
        progress = RunProgress(cfg.batch_size, cfg.iters, report=report, monitor=module.monitor)
        trainer = build_trainer.training_trainer(
            cfg, folder, val_set, progress, signals, own, sweep_of_job()
        )
        with finishing(lambda: trainer.loggers):
            if finished:
                if trainer.is_global_zero:
                    say(f"{folder.path} is already trained, and is only scored")
            else:
                fit(cfg, trainer, module, data, folder, weights, progress)
                if cfg.strategy == "fsdp":  # the trained network is sharded
                    module = build.module(cfg, train_set.label_space.names)
            scored = score(cfg, trainer, module, data, folder)
    if cfg.quick and trainer.is_global_zero:
        say(
            f"quick=true: all stages work. Its scores, of {counted(cfg.iters, 'step')} and "
            f"{counted(len(val_set), 'image')}, mean nothing: leave it out to train"
        )
    return folder, scored


def begin_quickly(folder: RunFolder) -> None:
    """Remove the records of an earlier quick try, which none goes on from; first process only."""
    from gcseg.system.launch import is_first_process

    if is_first_process():
        for path in (folder.results, folder.metrics):
            path.unlink(missing_ok=True)


def fit(
    cfg: DictConfig,
    trainer: L.Trainer,
    module: SegmentationModule,
    data: SegmentationData,
    folder: RunFolder,
    weights: dict[str, Path],
    progress: RunProgress,
) -> None:
    """Train to the last step, from the newest checkpoint if there is one.

    Raises:
        GcsegError: The training can't continue.
    """
    from gcseg.builders import trainer as build_trainer
    from gcseg.engine.callbacks.early_stop import EarlyStop
    from gcseg.engine.evaluate import pictures_record
    from gcseg.engine.resume import check_own, going_on, keep_as_last, resume_from
    from gcseg.engine.summary import planned_cost, print_start
    from gcseg.runs.environment import write_settings
    from gcseg.runs.results import merge_results

    checkpoint = None if cfg.quick else resume_from(folder)
    if checkpoint is None:
        for line in load_starting_weights(module.model, weights, cfg):
            if trainer.is_global_zero:
                say(line)
    else:
        check_own(checkpoint, plain(cfg))
        keep_as_last(folder, checkpoint)
    write_settings(folder, plain(cfg))
    plan = build_trainer.training_plan(cfg, module)
    cost = None
    if trainer.is_global_zero:  # before the network is sharded
        cost = planned_cost(plan, module.model)
        if data.train is not None:
            print_start(plan, cost, module.model, data.train, data.evaluation, folder.path)
    resumed = None if checkpoint is None else str(checkpoint)
    with going_on(checkpoint, lambda: progress.begun):
        trainer.fit(module, data, ckpt_path=resumed, weights_only=True)
    early = trainer.global_step < cfg.iters
    if early and not any(
        isinstance(callback, EarlyStop) and callback.stopped
        for callback in trainer.callbacks  # type: ignore[attr-defined]
    ):
        raise ConfigError(
            f"training stopped at step {trainer.global_step} of {cfg.iters}",
            "give the same command again to resume it",
        )
    if cost is not None:  # the first process
        merge_results(
            folder.results,
            {
                "name": folder.path.name,
                "backbone": backbone_name(cfg.backbone),
                "head": head_name(cfg.head),
                "dataset": cfg.dataset.name,
                "iters": cfg.iters,
                "seed": cfg.seed,
                "model": cost.record(),
                "training": {
                    **progress.summary(),
                    **({"stopped_at": trainer.global_step} if early else {}),
                },
                "validation": {"split": cfg.dataset.splits.val, **pictures_record(data)},
            },
        )
        folder.previous.unlink(missing_ok=True)  # nothing is left to resume


def score(
    cfg: DictConfig,
    trainer: L.Trainer,
    module: SegmentationModule,
    data: SegmentationData,
    folder: RunFolder,
) -> dict[str, dict[str, Any]]:
    """Score the best checkpoint under the modes of `cfg.tta`, and print and save the scores.

    Returns:
        The records by mode; empty in any but the first process.

    Raises:
        GcsegError: The checkpoint, the data or the output folder is wrong.
    """
    from gcseg.builders import model as build
    from gcseg.engine.evaluate import evaluate, save_evaluations
    from gcseg.engine.loggers import log_checkpoints, log_report, log_scores
    from gcseg.engine.summary import print_end
    from gcseg.runs.evaluation_names import evaluation_keys
    from gcseg.runs.results import print_table, read_results
    from gcseg.weights import load_weights

    split = cfg.dataset.splits.val
    load_weights(module.model, folder.best)
    records = evaluate(
        trainer,
        module,
        data,
        build.modes(cfg),
        split=split,
        checkpoint=folder.best,
        analyse=cfg.report,
    )
    if not trainer.is_global_zero:
        return {}
    config = plain(cfg)
    trained = recorded_config(folder.best) or config
    evaluations = evaluation_keys(records, config, trained, split=split)
    evaluations, _ = save_evaluations(folder.results, evaluations, module, data)
    by_mode = dict(zip(records, evaluations.values(), strict=True))
    stopped_at = read_results(folder.results).get("training", {}).get("stopped_at")
    told = {} if stopped_at is None else {"stopped_at": stopped_at}
    report_to_sweep(folder.path, {mode: {**record, **told} for mode, record in by_mode.items()})
    print_table(records, title=f"{folder.path.name}, best checkpoint on {split}")
    log_scores(
        trainer.loggers, by_mode, module.matrices, module.class_names, stopped_at or cfg.iters
    )
    if cfg.report and (page := make_report(cfg, folder)) is not None:
        log_report(trainer.loggers, page)
    log_checkpoints(trainer.loggers, folder.best, folder.last)
    context = getattr(module.model.head, "context", None)
    print_end(folder.path, attention=hasattr(context, "attention"))
    return by_mode


def make_report(cfg: DictConfig, folder: RunFolder) -> Path | None:
    """Write the run's report.html; report an error without raising it, as the training is done."""
    from gcseg.commands.run_report import write_report
    from gcseg.system.terminal import announce

    try:
        return write_report(cfg, folder.path)
    except StoppedBySignal:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        again = shlex.quote(as_override("run", folder.path))
        announce(f"warning: no report.html ({reason}): python -m gcseg.report {again}")
        return None


def main() -> None:
    """Train, then score the best checkpoint."""
    multirun = Multirun(_run_job, _end_sweep, leave_with_sweep)
    run_command("train", train, prepare=expand_seeds, multirun=multirun, complete=in_steps)


def _run_job(cfg: DictConfig, problem: str | None) -> float | None:
    from gcseg.sweeps.job import run_job

    return run_job(cfg, problem)


def _end_sweep() -> None:
    if "gcseg.sweeps.sweep" in sys.modules:  # else there was no multirun
        from gcseg.sweeps.sweep import end

        end(_sum_up)


def _sum_up(folder: Path, jobs: Sequence[Job], root: Path, timing: str) -> None:
    from gcseg.commands.network_times import time_networks
    from gcseg.report.sweep.write import write_summary

    time_networks(folder, jobs, root, timing, arguments=sys.argv[1:])
    write_summary(folder, jobs, root)
