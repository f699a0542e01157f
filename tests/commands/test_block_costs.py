"""gcseg.benchmark blocks: measured costs of context blocks and heads."""

import csv

import pytest

from gcseg.commands import block_costs
from gcseg.config.table import TABLE
from gcseg.models.defaults import CONTEXT_CLASSES, HEAD_CLASSES


def test_costs_by_size(run, tmp_path):
    outcome = run("benchmark", "blocks", "parts=[nl,head_gc]", "sizes=[128,64]", "channels=16",
                  "repeats=1", "threads=1", "output=costs", cwd=tmp_path)  # fmt: skip
    assert outcome.status == 0, outcome
    with (tmp_path / "costs" / "block_costs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["part"], row["size"], row["positions"]) for row in rows] == [
        *(("nl", "64", "64"), ("nl", "128", "256")),
        *(("head_gc", "64", "64"), ("head_gc", "128", "256")),
    ]
    assert all(float(row["ms median"]) > 0 for row in rows)
    # Four convolutions of 16 to 8 channels, and two products of each pair of positions.
    counts = [positions * 8 * (16 * 4 + positions * 2) * 2 / 1e6 for positions in (64, 256)]
    assert [float(row["MFLOPs"]) for row in rows[:2]] == [round(count, 1) for count in counts]
    chart = (tmp_path / "costs" / "block_costs.svg").read_text()
    assert chart.startswith("<svg") and "head_gc" in chart


@pytest.mark.parametrize("part", block_costs.PARTS)
def test_every_part_is_counted_and_timed(part):
    row = block_costs._measure(channels=16, part=part, size=48, threads=1, repeats=1)
    assert row["weights"] > 0 and row["MFLOPs"] is not None and row["ms median"] > 0


def test_all_blocks_are_measured():
    (row,) = [row for row in TABLE if row.name == "parts"]
    assert row.choices == block_costs.PARTS
    heads = (f"head_{name}" for name in HEAD_CLASSES)
    assert {*CONTEXT_CLASSES, *heads, "nl_dot_product"} == {*block_costs.PARTS}


@pytest.mark.parametrize("given", ["parts=[gd]", "sizes=[8]", "checkpoint=a"])
def test_what_is_refused(run, given):
    outcome = run("benchmark", "blocks", given)
    assert outcome.status == 1
    assert outcome.error.startswith((given.partition("=")[0], "there is no setting 'checkpoint'"))
