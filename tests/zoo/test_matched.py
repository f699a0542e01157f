"""Published networks beside the GCNet of the same training."""

import re
from pathlib import Path

import pytest

from gcseg.zoo import catalogue
from gcseg.zoo.matched import differences, matched_table

CONTEXT = Path(__file__).resolve().parents[2] / "docs" / "context.md"


def test_only_trainings_that_differ_in_the_head_alone_are_compared():
    names = ("mmseg/gcnet_r50_voc_20k", "mmseg/nonlocal_r50_voc_20k", "mmseg/nonlocal_r101_voc_20k",
             "mmseg/nonlocal_r50_voc_40k", "paddleseg/gcnet_r50_voc")  # fmt: skip
    records = [catalogue.find(name) for name in names]
    (plain,) = differences(records, "mmseg", "nonlocal", "none")
    assert plain == pytest.approx(76.20 - 76.42)
    (both,) = differences(records, "mmseg", "nonlocal", "msflip")
    assert both == pytest.approx(77.12 - 77.51)
    assert differences(records, "mmseg", "nonlocal", "flip") == []
    assert matched_table(records).splitlines()[2:] == [
        "| mmseg | nonlocal | plain | 1 | 0 | -0.22 | -0.22 | -0.22 |",
        "| mmseg | nonlocal | multi-scale + flip | 1 | 0 | -0.39 | -0.39 | -0.39 |",
    ]


def test_corrected_scores_are_compared():
    record = catalogue.find("paddleseg/gcnet_r50_voc")
    assert differences([record], "paddleseg", "gcnet", "msflip") == [0.0]


def test_the_page_says_what_the_lists_say_of_non_local_blocks():
    said = " ".join(CONTEXT.read_text().split())
    for mode, form in {
        "none": r"block is above its GCNet in (\d+) of (\d+) matched rows, by (\S+) points",
        "msflip": r"with multi-scale and flip in (\d+) of (\d+), by (\S+) points",
    }.items():
        found = differences(catalogue.records(), "mmseg", "nonlocal", mode)
        above, count, mean = re.search(form, said).groups()
        assert (int(above), int(count)) == (sum(round(d, 2) > 0 for d in found), len(found))
        assert mean == f"{sum(found) / len(found):+.2f}".replace("-", "−")
