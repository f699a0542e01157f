"""Summaries of a training before its first step, and of its files after the last one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from gcseg.data.datasets import SegmentationDataset
from gcseg.engine.cost import Cost, parameters, training_cost
from gcseg.models import Segmentor
from gcseg.runs.folder import METRICS_FILE, REPORT_FILE, RESULTS_FILE
from gcseg.system.launch import is_first_process
from gcseg.system.terminal import TextConsole
from gcseg.system.text import as_override, counted, percent

FILES = (REPORT_FILE, RESULTS_FILE, METRICS_FILE, "checkpoints/best.ckpt")
"""Files of a run folder, the most important first."""


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of a training that the summary shows.

    Args:
        backbone: Name of the backbone, such as r50.
        head: Name of the head, such as gc.
        variant: Variant of the backbone; None if it has none.
        output_stride: Output stride of the backbone; None if it has none.
        dataset: Name of the dataset.
        root: Folder of the dataset.
        iters: Optimizer steps.
        batch_size: Images per optimizer step, over all processes and passes.
        processes: Number of processes that train together, one on each device.
        accumulate: Forward passes per optimizer step.
        height: Height of the crop, in pixels.
        width: Width of the crop, in pixels.
        precision: "32", "bf16-mixed" or "16-mixed".
        seed: Seed of the training.
        loss: Loss of both heads, in a few words.
        optimizer_states: See `gcseg.engine.cost.training_cost`.
        ema: Whether a moving average of the weights is kept.
        validation: When training validates, and what that decides, in words.
        logs: Destinations of the curves, each in a few words.
        coarse_loss: See `gcseg.engine.cost.training_cost`.
    """

    backbone: str
    head: str
    variant: str | None
    output_stride: int | None
    dataset: str
    root: str
    iters: int
    batch_size: int
    processes: int
    accumulate: int
    height: int
    width: int
    precision: str
    seed: int
    loss: str
    optimizer_states: int
    ema: bool = False
    validation: str = ""
    logs: Sequence[str] = (METRICS_FILE,)
    coarse_loss: bool = True


def planned_cost(plan: TrainingPlan, model: Segmentor) -> Cost:
    """Count what a training costs.

    Args:
        plan: Settings of the training.
        model: The network, on any device, compiled or not; it is not changed.
    """
    return training_cost(
        model,
        plan.batch_size // (plan.processes * plan.accumulate),
        plan.height,
        plan.width,
        optimizer_states=plan.optimizer_states,
        ema=plan.ema,
        precision=plan.precision,
        coarse_loss=plan.coarse_loss,
    )


def print_start(
    plan: TrainingPlan,
    cost: Cost,
    model: Segmentor,
    train: SegmentationDataset,
    val: SegmentationDataset,
    folder: Path,
) -> None:
    """Print network, data, cost and run folder of a training; on the first process only.

    Args:
        plan: Settings of the training.
        cost: Cost of the network in this training.
        model: The network, on any device, compiled or not; it is not changed.
        train: Training split.
        val: Validation split.
        folder: The run folder.
    """
    if is_first_process():
        _print(folder.name, start_lines(plan, cost, model, train, val, folder))


def start_lines(
    plan: TrainingPlan,
    cost: Cost,
    model: Segmentor,
    train: SegmentationDataset,
    val: SegmentationDataset,
    folder: Path,
) -> dict[str, str]:
    """Lines that `print_start` prints, by topic."""
    network = [f"{plan.backbone}{'' if plan.variant is None else f' ({plan.variant})'}"]
    network.append(f"{plan.head} head")
    if model.auxiliary_head is not None:
        network.append("auxiliary head")
    if plan.output_stride is not None:
        network.append(f"output stride {plan.output_stride}")
    return {
        "network": ", ".join(network),
        "cost": _cost(cost, model),
        "data": f"{plan.dataset}, {counted(len(train), 'image')} to train on and {len(val)} to "
        f"validate, {train.label_space.num_classes} classes, in {plan.root}",
        **({} if train.pictures.is_usual else {"pictures": str(train.pictures)}),
        "training": f"{counted(plan.iters, 'step')} of {_batch(plan)}{_epochs(plan, train)}, "
        f"crop {plan.height} x {plan.width}, precision {plan.precision}, "
        f"{counted(plan.processes, 'device')}, seed {plan.seed}",
        "loss": plan.loss,
        **({"validation": plan.validation} if plan.validation else {}),
        "folder": str(folder),
        "logs": ", ".join(plan.logs),
    }


def print_end(folder: Path, *, attention: bool = True) -> None:
    """Print the files of the run folder and the next commands; on the first process only.

    Args:
        folder: The run folder.
        attention: Whether the network has attention maps.
    """
    if is_first_process():
        _print(f"run: {folder}", end_lines(folder, attention=attention))


def end_lines(folder: Path, *, attention: bool = True) -> dict[str, str]:
    """Lines that `print_end` prints, by topic."""
    there = [name for name in FILES if (folder / name).is_file()]
    lines = {Path(name).name: str(folder / name) for name in there}
    checkpoint = shlex.quote(as_override("checkpoint", folder))
    if REPORT_FILE not in there:  # the report includes the explanation
        lines["explain"] = f"python -m gcseg.eval {checkpoint} explain=true"
    lines["predict"] = f"python -m gcseg.predict {checkpoint} limit=8"
    lines["report"] = f"python -m gcseg.report {shlex.quote(as_override('run', folder))}"
    if attention:
        lines["attention"] = f"python -m gcseg.attention {checkpoint} limit=8"
    return lines


def _cost(cost: Cost, model: Segmentor) -> str:
    """Describe parameters, operations and memory, without what can't be counted."""
    parts = [f"{cost.parameters / 1e6:.1f} M parameters{_frozen(model)}"]
    if cost.flops is not None:
        parts.append(f"{cost.flops / 1e9:.4g} GFLOP forward per crop")
    if cost.memory is not None:
        parts.append(f"at least {cost.memory / 2**30:.2g} GiB of memory per device")
    return ", ".join(parts)


def _epochs(plan: TrainingPlan, train: SegmentationDataset) -> str:
    """Say how often each image is seen on average."""
    epochs = plan.iters * plan.batch_size / len(train)
    return f" ({counted(round(epochs), 'epoch')})" if epochs >= 1 else ""


def _frozen(model: Segmentor) -> str:
    """Describe what of a network is not trained; nothing if all of it is."""
    if model.frozen == "none":
        return ""
    count = sum(one.numel() for one in model.parameters() if not one.requires_grad)
    part = {"all": "the whole backbone", "stem": "the backbone's stem"}.get(
        str(model.frozen), f"the backbone's stem and stages 1 to {model.frozen}"
    )
    return f" ({percent(count / parameters(model))} % of them frozen: {part})"


def _batch(plan: TrainingPlan) -> str:
    text = counted(plan.batch_size, "image")
    return text if plan.accumulate == 1 else f"{text} in {plan.accumulate} passes"


def _print(title: str, lines: Mapping[str, str]) -> None:
    """Print a title and two columns on a terminal, or plain lines elsewhere."""
    console = TextConsole()
    if not console.is_terminal:
        for line in (title, *(f"{name}: {text}" for name, text in lines.items())):
            console.print(line)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan")
    table.add_column(overflow="fold")
    for name, text in lines.items():
        table.add_row(name, text)
    console.print(title, style="bold")
    console.print(table, soft_wrap=False)
