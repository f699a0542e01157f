"""Differences from a baseline, and verdicts on what is claimed."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from gcseg.config.checks import check_one
from gcseg.config.compose import source_folder
from gcseg.report.sweep.claims import (
    Claim,
    Comparison,
    chosen,
    comparison_sheet,
    read_comparison,
)
from gcseg.report.sweep.scores import settings
from gcseg.report.sweep.statistics import Difference
from tests.sweeps.jobs import grid

stats = pytest.importorskip("scipy.stats")

PAPER = source_folder("experiments") / "ablation" / "paper"
NOISE = {0: 0.004, 1: -0.006, 2: 0.001, 3: 0.003}
"""What a seed adds to the score of every setting."""


def scores(combination, seed, mode):
    """gc is 2 points better than none, give or take a tenth; nl is half a point better, or not."""
    own = {"none": 0.0, "gc": 0.02 + 0.001 * (-1) ** seed, "nl": 0.005 + 0.01 * (-1) ** seed}
    return 0.6 + NOISE[seed] + own[combination[0]]


def compared(jobs, comparison=Comparison(), mode="none"):  # noqa: B008  # it can't be changed
    """The table by its rows, which are dicts, and the lines on what is left out."""
    sheet, lines = comparison_sheet(settings(jobs), [mode], comparison)
    if sheet is None:
        return [], lines
    return [dict(zip(sheet.header, row, strict=True)) for row in sheet.rows], lines


def blocks(seeds=(0, 1, 2), **values):
    return grid(head=["none", "gc", "nl"], seeds=seeds, modes=("none",), scores=scores, **values)


def without(jobs, *gone):
    """The jobs, of which some, as (head, seed), have failed."""
    return [
        replace(job, state="failed", evaluations=None)
        if (job.overrides[0].partition("=")[2], job.settings["seed"]) in gone
        else job
        for job in jobs
    ]


@pytest.mark.parametrize(
    ("kind", "within", "value", "margin", "expected"),
    [
        ("better", 0, 0.02, 0.019, "supported"),
        ("better", 0, 0.02, 0.02, "undecided"),
        ("better", 0, 0.02, 0.03, "undecided"),
        ("better", 0, -0.02, 0.03, "undecided"),
        ("better", 0, -0.02, 0.019, "not supported"),
        ("no worse", 0.01, -0.004, 0.005, "supported"),  # worse, but by less than the margin
        ("no worse", 0.01, 0.02, 0.029, "supported"),
        ("no worse", 0.01, 0.02, 0.031, "undecided"),
        ("no worse", 0.01, -0.02, 0.011, "undecided"),
        ("no worse", 0.01, -0.02, 0.009, "not supported"),
        ("alike", 0.01, 0.002, 0.007, "supported"),
        ("alike", 0.01, 0.002, 0.009, "undecided"),
        ("alike", 0.01, 0.02, 0.009, "not supported"),
        ("alike", 0.01, -0.02, 0.009, "not supported"),
        ("alike", 0.01, -0.02, 0.011, "undecided"),
        ("better", 0, 0.02, None, "undecided"),
        ("better", 0, 0.02, 0.0, "undecided"),  # equal scores, which show no noise
        ("alike", 0.01, 0.0, 0.0, "undecided"),
    ],
)
def test_a_verdict_needs_the_whole_interval(kind, within, value, margin, expected):
    assert Claim("a", kind, "b", within).verdict(Difference(value, margin)) == expected


def test_settings_are_compared_with_the_first_in_pairs_of_a_seed():
    rows, lines = compared(blocks())
    assert lines == []
    assert [(row["setting"], row["against"], row["seeds"]) for row in rows] == [
        ("gc", "none", "3"), ("nl", "none", "3")
    ]  # fmt: skip
    # The noise that a seed adds to both settings is not in their difference.
    low, high = stats.t.interval(0.95, 2, 2 + 0.1 / 3, stats.sem([2.1, 1.9, 2.1]))
    assert rows[0]["difference"] == "+2.03"
    assert rows[0]["95 % interval"] == f"+{low:.2f} to +{high:.2f}"
    assert rows[0]["seeds to tell"] == "" and "verdict" not in rows[0]
    # +0.83 with a deviation of 1.15: 18 seeds by the tables of power analyses (d = 0.72).
    assert rows[1]["95 % interval"].startswith("-") and rows[1]["seeds to tell"] == "18"


def test_claims_are_said_to_be_supported_or_not():
    claims = [Claim("head=gc", "better", "head=none"), Claim("head=none", "better", "head=gc"),
              Claim("head=nl", "better", "head=none"),
              Claim("head=gc", "alike", "head=none", 0.001)]  # fmt: skip
    rows, _ = compared(blocks(), Comparison(source="a paper", claims=claims))
    assert [(row["setting"], row["against"], row["claim"], row["verdict"]) for row in rows] == [
        ("gc", "none", "better", "supported"),
        ("gc", "none", "alike within 0.10", "not supported"),
        ("nl", "none", "better", "undecided at 3 seeds"),
        ("none", "gc", "better", "not supported"),
    ]
    sheet, _ = comparison_sheet(settings(blocks()), ["none"], Comparison(source="x", claims=claims))
    assert sheet.bold == {(0, 7), (1, 7), (3, 7)}  # what is decided
    assert sheet.title.endswith("seeds in pairs; claims of x")


def test_a_comparison_without_a_claim_has_no_verdict():
    rows, _ = compared(blocks(), Comparison(claims=[Claim("head=gc", "better", "head=none")]))
    assert (rows[1]["setting"], rows[1]["claim"], rows[1]["verdict"]) == ("nl", "", "")


def test_another_baseline():
    rows, lines = compared(blocks(), Comparison(baseline="head=gc"))
    assert [(row["setting"], row["against"]) for row in rows] == [("none", "gc"), ("nl", "gc")]
    assert rows[0]["difference"] == "-2.03" and lines == []
    rows, lines = compared(blocks(), Comparison(baseline="head=dnl"))
    assert [row["against"] for row in rows] == ["none", "none"]
    assert lines == [
        "comparison.baseline=head=dnl is 0 settings of the sweep: the first setting is the baseline"
    ]


def test_one_seed_decides_nothing():
    claims = [Claim("head=gc", "better", "head=none")]
    rows, _ = compared(blocks(seeds=(0,)), Comparison(claims=claims))
    row = rows[0]
    assert (row["seeds"], row["difference"], row["95 % interval"]) == ("1", "+2.10", "")
    assert (row["verdict"], row["seeds to tell"]) == ("undecided at 1 seed", "")
    assert compared(blocks(seeds=(0,))) == ([], [])  # nothing is claimed


def test_seeds_without_a_partner_are_left_out_and_said():
    jobs = without(blocks(), ("none", 1))
    rows, lines = compared(jobs)
    assert (rows[0]["seeds"], rows[0]["difference"]) == ("2", "+2.10")
    assert lines == ["differences: 2 scores without a partner of the same seed left out"]


def test_other_seeds_on_both_sides_are_compared_with_welchs_interval():
    jobs = without(blocks(seeds=(0, 1, 2, 3)), ("none", 0), ("none", 1), ("gc", 2), ("gc", 3))
    (row, _), lines = compared(jobs)
    assert lines[1:] == ["differences: 1 comparison not in pairs, as the sides have other seeds"]
    ours, theirs = [60.4 + 2.1, 59.4 + 1.9], [60.1, 60.3]
    interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert (row["seeds"], row["difference"]) == ("2", f"{np.mean(ours) - np.mean(theirs):+.2f}")
    assert row["95 % interval"] == f"{interval.low:+.2f} to {interval.high:+.2f}"


def test_a_claim_without_scores_is_not_forgotten():
    claims = [Claim("head=gc", "better", "head=none"), Claim("head=dnl", "better", "head=none")]
    jobs = without(blocks(), *(("gc", seed) for seed in range(3)))
    rows, lines = compared(jobs, Comparison(claims=claims))
    assert (rows[0]["setting"], rows[0]["seeds"], rows[0]["verdict"]) == ("gc", "0", "no score yet")
    assert lines == ["claim on head=dnl and head=none left out: the sweep has no head=dnl"]


def test_a_claim_on_one_of_two_varied_settings_is_about_the_mean_over_the_other():
    def factorial(combination, seed, mode):
        pooling, fusion = combination
        swing = 0.01 * (-1) ** seed * (1 if fusion == "add" else -1)  # cancels out in the mean
        return 0.6 + NOISE[seed] + (0.01 + swing + 0.0001 * seed) * (pooling == "attention")

    jobs = grid(pooling=["average", "attention"], fusion=["multiply", "add"], seeds=(0, 1, 2),
                modes=("none",), scores=factorial)  # fmt: skip
    claims = [Claim("pooling=attention", "better", "pooling=average")]
    rows, _ = compared(jobs, Comparison(claims=claims))
    (row,) = [row for row in rows if row["claim"]]
    assert (row["setting"], row["against"]) == ("attention", "average")
    assert (row["seeds"], row["difference"], row["verdict"]) == ("3", "+1.01", "supported")


def test_numbers_and_switches_have_their_names():
    def named(combination, seed, mode):
        return 0.5 + 0.01 * seed * len(combination[0])

    jobs = grid(**{"a.layer_norm": ["True", "False"]}, seeds=(0, 1), modes=("none",), scores=named)
    (row,), _ = compared(jobs)
    assert (row["setting"], row["against"]) == ("layer_norm False", "layer_norm True")


def test_folds_are_pairs_too():
    jobs = blocks()
    jobs = [replace(job, settings={**job.settings, "seed": 0},
                    overrides=(job.overrides[0], f"dataset.fold={job.settings['seed']}/3"))
            for job in jobs]  # fmt: skip
    rows, _ = compared(jobs, Comparison(claims=[Claim("head=nl", "better", "head=none")]))
    assert (rows[0]["folds"], rows[0]["difference"]) == ("3", "+2.03")
    assert rows[1]["verdict"] == "undecided at 3 folds" and "folds to tell" in rows[1]


def test_more_seeds_than_anyone_trains():
    def close(combination, seed, mode):
        return 0.6 + (0.0001 + 0.01 * (-1) ** seed) * (combination[0] == "gc")

    jobs = grid(head=["none", "gc"], seeds=range(4), modes=("none",), scores=close)
    (row,), _ = compared(jobs)
    assert row["seeds to tell"] == "over 1000"


def recorded(folder, comparison=None, task=()):
    record = {"hydra": {"overrides": {"task": list(task), "hydra": []}}, "iters": 3}
    if comparison != "older":
        record["comparison"] = comparison
    folder.mkdir(exist_ok=True)
    (folder / "multirun.yaml").write_text(yaml.safe_dump(record))
    return folder


def test_what_is_compared_is_read_from_the_record_of_the_sweep(tmp_path):
    claims = {"a": {"setting": "x=1", "is": "alike", "than": "x=2", "within": 0.5},
              "odd": {"setting": "x=1", "is": "prettier", "than": "x=2"},
              "open": {"setting": "x=1", "is": "alike", "than": "x=2"}, "zero": None}  # fmt: skip
    published = {"p": {"setting": "x=1", "values": {"box AP": 37.2}}, "null": None}
    content = {"baseline": "x=1", "source": "a paper", "claims": claims, "published": published}
    notices = []
    assert read_comparison(recorded(tmp_path, content), notices) == Comparison(
        "x=1", "a paper", (Claim("x=1", "alike", "x=2", 0.005),), "", (("x=1", {"box AP": 37.2}),)
    )
    assert len(notices) == 3 and "claim odd of the sweep is left out" in notices[0]
    assert read_comparison(recorded(tmp_path, None)) == Comparison()
    (tmp_path / "multirun.yaml").write_text("comparison: [1]\n")
    assert read_comparison(tmp_path) == Comparison()
    (tmp_path / "multirun.yaml").unlink()
    assert read_comparison(tmp_path) == Comparison()


def test_a_sweep_of_an_earlier_version_has_the_claims_of_its_file(tmp_path):
    found = read_comparison(recorded(tmp_path, "older", ["ablation=paper/block", "seed=0,1"]))
    assert found.baseline == "backbone/context=none" and len(found.claims) == 7
    # A record is no path to files.
    for name in ("../../small/demo", "/etc/passwd", "paper/nothing"):
        assert read_comparison(recorded(tmp_path, "older", [f"ablation={name}"])) == Comparison()
    assert read_comparison(recorded(tmp_path, None, ["ablation=paper/block"])) == Comparison()


@pytest.mark.parametrize("name", sorted(path.stem for path in PAPER.glob("*.yaml")))
def test_claims_of_the_papers_ablations_are_on_their_settings(name, tmp_path):
    content = yaml.safe_load((PAPER / f"{name}.yaml").read_text())
    check_one("comparison", content["comparison"])
    varied = OverridesParser.create().parse_overrides(
        [f"{key}={value}" for key, value in content["hydra"]["sweeper"]["params"].items()]
    )
    (combinations,) = BasicSweeper.split_arguments(varied, None)
    values = {}
    for key, value in (word.split("=", 1) for words in combinations for word in words):
        values.setdefault(key, dict.fromkeys([value]))[value] = None
    jobs = grid(**values, seeds=(0, 1, 2), modes=("none",))
    assert len(settings(jobs)) == len(combinations)
    jobs = [replace(job, overrides=(*words, f"seed={job.settings['seed']}"))
            for job, words in zip(jobs, itertools.chain.from_iterable(
                [words] * 3 for words in combinations), strict=True)]  # fmt: skip
    comparison = read_comparison(recorded(tmp_path, content["comparison"]))
    assert comparison.source and comparison.published_in
    rows, lines = compared(jobs, comparison)
    assert lines == []
    assert len([row for row in rows if row["claim"]]) == len(content["comparison"]["claims"])
    for wanted, _ in comparison.published:
        assert len(chosen(settings(jobs), wanted)) == 1
