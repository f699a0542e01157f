"""python -m gcseg.benchmark blocks: cost of context blocks and heads by the picture's size."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gcseg.errors import MemoryLimitError, is_out_of_memory
from gcseg.system.files import atomic_write
from gcseg.system.text import say

_HEADS = ("fcn", "gc", "psp", "deeplabv3plus", "danet", "ccnet", "upernet", "ocr")
PARTS = ("gc", "nl", "nl_dot_product", "snl", "se", "dnl", *(f"head_{name}" for name in _HEADS))
"""What is measured: context blocks and heads by their names."""
COLUMNS = ("part", "size", "positions", "weights", "MFLOPs", "ms median", "memory MiB")


def block_costs(cfg: DictConfig) -> Path:
    """Measure each context block and head at each size; print a table, write it and draw it.

    Each block is measured in a process that does nothing else, on the CPU, in float32.

    Returns:
        Path of the table.

    Raises:
        GcsegError: A setting is wrong, the memory does not suffice, or the output can't be written.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    rows: list[dict[str, Any]] = []
    spawn = multiprocessing.get_context("spawn")
    for part in cfg.parts or PARTS:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            for size in sorted(cfg.sizes):
                measure = pool.submit(_measure, cfg.channels, part, size, cfg.threads, cfg.repeats)
                try:
                    rows.append(measure.result())
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    raise MemoryLimitError(
                        f"{part} at {size} x {size} pixels does not fit into memory",
                        "give smaller sizes=",
                    ) from None
        say(f"measured: {part}")
    _print(rows, cfg)
    folder = Path(cfg.output)
    with atomic_write(folder / "block_costs.csv") as file:
        file.write(_table(rows).encode())
    with atomic_write(folder / "block_costs.svg") as file:
        file.write(_chart(rows).encode())
    say(f"table: {folder / 'block_costs.csv'}")
    say(f"chart: {folder / 'block_costs.svg'}")
    return folder / "block_costs.csv"


def _measure(channels: int, part: str, size: int, threads: int, repeats: int) -> dict[str, Any]:
    """Measure a block or a head at a size, in this process."""
    import torch

    from gcseg.engine.cost import forward_flops, parameters
    from gcseg.exports.timing import timing
    from gcseg.models.alone import STRIDE, OfPicture

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = OfPicture(part, channels).eval()
    flops = forward_flops(network, size, size)
    inputs = network.inputs(size, size, "cpu")
    found = timing(lambda: lambda _: network.part(*inputs), torch.empty(1), repeats)
    return {
        "part": part,
        "size": size,
        "positions": (-(-size // STRIDE)) ** 2,
        "weights": parameters(network),
        "MFLOPs": None if flops is None else round(flops / 1e6, 1),
        "ms median": round(found.median, 2),
        "memory MiB": None if found.memory is None else round(found.memory, 1),
    }


def _table(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _chart(rows: list[dict[str, Any]]) -> str:
    from gcseg.visualization.charts import Series, line_chart

    series = []
    for part in dict.fromkeys(row["part"] for row in rows):
        of_part = [row for row in rows if row["part"] == part]
        series.append(
            Series(
                part,
                [row["positions"] for row in of_part],
                [row["ms median"] for row in of_part],
                markers=True,
            )
        )
    x, y = "positions of the features", "ms per image"
    # Both logarithmic: growth with a power is a straight line, twice as steep for a square.
    return str(line_chart(series, x_label=x, y_label=y, log_x=True, log_y=True))


def _print(rows: list[dict[str, Any]], cfg: DictConfig) -> None:
    from rich.table import Table

    from gcseg.system.terminal import TextConsole

    table = Table(title=f"{cfg.channels} channels, {cfg.threads} threads, {cfg.repeats} passes")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "part" else "right")
    before = None
    for row in rows:
        if before not in (None, row["part"]):
            table.add_section()
        before = row["part"]
        table.add_row(*("" if row[column] is None else f"{row[column]:,}" if column != "part"
                        else row[column] for column in COLUMNS))  # fmt: skip
    console = TextConsole()
    # A file has no width, and 80 columns would cut headings.
    (console if console.is_terminal else TextConsole(width=100)).print(table)
