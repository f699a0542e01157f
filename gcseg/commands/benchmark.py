"""python -m gcseg.benchmark: speed, memory and scores of a network and its exports."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gcseg.commands.block_costs import block_costs
from gcseg.config.command import run_command
from gcseg.config.trained import CheckpointRef, output_folder, run_with_checkpoint
from gcseg.errors import ConfigError
from gcseg.exports.names import SUFFIXES, format_of
from gcseg.exports.table import COLUMNS, FILE, TEXTS, write_table
from gcseg.runs.folder import run_folder_of
from gcseg.system.files import at_home
from gcseg.system.text import say

if TYPE_CHECKING:
    from gcseg.exports.timing import Timing

_WIDTH = 140
"""Number of characters in a line of the table where it is not printed on a terminal."""


def benchmark(cfg: DictConfig, trained: CheckpointRef) -> Path:
    """Measure a checkpoint and its exports on the CPU; print a table and write it as CSV.

    Each line is measured in a process that does nothing else.

    Returns:
        Path of the CSV.

    Raises:
        GcsegError: A setting, the checkpoint or an export is wrong.
    """
    from gcseg.exports.network import read_record

    checkpoint = trained.path()
    if format_of(checkpoint) is not None:
        raise ConfigError(
            f"{checkpoint} is an export", "give the checkpoint, and the export as exports="
        )
    folder = output_folder(cfg, checkpoint).path
    exports = _exports(cfg, folder / "exports")
    proofs = {path: read_record(path) for path in exports}  # all are read before any is measured
    rows = []
    for path in (checkpoint, *exports):
        for threads in cfg.threads:
            for batch in cfg.batches:
                found = _measured(cfg, path, threads, batch)
                about = _about(path, proofs.get(path), next(iter(proofs.values()), None))
                rows.append({**about, **_numbers(found), "threads": threads, "batch": batch})
                say(f"measured: {path.name}, threads {threads}, batch {batch}")
    _print(rows, f"{cfg.height} x {cfg.width} pixels, {cfg.repeats} passes")
    target = Path(cfg.output) if cfg.output else folder / FILE
    write_table(rows, target)
    say(f"table: {target}")
    if cfg.output is None and run_folder_of(checkpoint) is not None:
        say(f"in the run's report: python -m gcseg.report run={shlex.quote(str(folder))}")
    return target


def _exports(cfg: DictConfig, folder: Path) -> list[Path]:
    """Return the exports of `exports=`, or those in the run folder.

    Raises:
        ConfigError: One of them is missing, or is no export.
    """
    if cfg.exports is None:
        return sorted(path for path in folder.glob("*.*") if format_of(path) is not None)
    paths = [at_home(one) for one in cfg.exports]
    for path in paths:
        if format_of(path) is None or not path.is_file():
            raise ConfigError(
                f"exports: {path} is no file that ends in {', '.join(SUFFIXES.values())}",
                "write one with python -m gcseg.export",
            )
    return paths


def _measured(cfg: DictConfig, path: Path, threads: int, batch: int) -> Timing:
    """Measure a network in a process of its own."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_measure, cfg, path, threads, batch).result()


def _measure(cfg: DictConfig, path: Path, threads: int, batch: int) -> Timing:
    """Measure a network in this process."""
    import torch

    from gcseg.builders import model as build
    from gcseg.builders.data import picture_format
    from gcseg.config.compose import register_resolvers
    from gcseg.exports.reading import read_trained
    from gcseg.exports.timing import timing
    from gcseg.predictor.build import predicted_classes

    register_resolvers()
    torch.set_num_threads(threads)
    layout = torch.channels_last if cfg.channels_last else torch.contiguous_format
    generator = torch.Generator().manual_seed(0)
    size = (batch, picture_format(cfg).channels, cfg.height, cfg.width)
    images = torch.randn(size, generator=generator).contiguous(memory_format=layout)

    def network() -> Any:
        content = read_trained(path, cfg.weights if format_of(path) is None else None)
        classes = predicted_classes(content, cfg.dataset.name).num_classes
        model = build.trained_network(cfg, classes, content, path)
        return model.to(memory_format=layout).eval()  # type: ignore[call-overload]

    return timing(network, images, cfg.repeats)


def _about(
    path: Path, record: dict[str, Any] | None, other: dict[str, Any] | None
) -> dict[str, Any]:
    """Describe a file, with the scores of its proof; a checkpoint's are in its exports' proofs."""
    size = path.stat().st_size
    weights = path.with_suffix(".bin")
    if path.suffix == ".xml" and weights.is_file():
        size += weights.stat().st_size
    proof = (record or other or {}).get("proof") or {}
    failed = " (proof failed)" if record and not proof.get("passed") else ""
    miou = (proof.get("miou") or {}).get("export" if record else "pytorch")
    equal = proof.get("equal") if record else None
    return {
        "file": path.name,
        "format": format_of(path) or "pytorch",
        "precision": record["export"]["precision"] + failed if record else "fp32",
        "MiB": round(size / 2**20, 1),
        "mIoU": None if miou is None else round(100 * miou, 3),
        "equal pixels": None if equal is None else round(100 * equal, 5),
    }


def _numbers(found: Timing) -> dict[str, Any]:
    return {
        "ms median": round(found.median, 1),
        "ms p95": round(found.p95, 1),
        "images/s": round(1000 / found.median, 2),
        "memory MiB": None if found.memory is None else round(found.memory),
    }


def _print(rows: list[dict[str, Any]], caption: str) -> None:
    from rich.table import Table

    from gcseg.system.terminal import TextConsole

    table = Table(title=caption)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in TEXTS else "right")
    for row in rows:
        table.add_row(*("" if row[column] is None else str(row[column]) for column in COLUMNS))
    console = TextConsole()
    # A file has no width, and 80 columns would cut every heading.
    (console if console.is_terminal else TextConsole(width=_WIDTH)).print(table)


def main() -> None:
    """Measure a checkpoint and its exports, or context blocks and heads."""
    if sys.argv[1:2] == ["blocks"]:
        del sys.argv[1]
        run_command("benchmark_blocks", block_costs)
    else:
        run_with_checkpoint("benchmark", benchmark)
