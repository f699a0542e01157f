"""Division of a split: complete, seeded, balanced by class, whole groups, independent of order."""

import time

import numpy as np
import pytest

from gcseg.data.divide import Division
from gcseg.errors import ConfigError, DataError

NAMES = [f"seq{index % 7}/{index:03d}" for index in range(103)]
GENERATOR = np.random.default_rng(0)
PRESENT = GENERATOR.random((103, 5)) < (1.0, 0.8, 0.3, 0.15, 0.1)


def scored(names=NAMES, present=PRESENT, **settings):
    _, val = Division(**settings).parts(names, present)
    return {names[index] for index in val}


def test_folds_are_a_partition_of_equal_sizes():
    folds = [scored(fold=(number, 5)) for number in range(5)]
    assert sorted(name for fold in folds for name in fold) == sorted(NAMES)
    assert sorted(map(len, folds)) == [20, 20, 21, 21, 21]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5, 0.9])
def test_a_share_is_what_was_asked_for(share):
    training, val = Division(val_fraction=share).parts(NAMES, PRESENT)
    assert sorted([*training, *val]) == list(range(103))
    assert len(val) == pytest.approx(103 * share, abs=1)


def test_classes_are_spread_by_their_share():
    for number in range(5):
        _, val = Division(fold=(number, 5)).parts(NAMES, PRESENT)
        counts = PRESENT[val].sum(0)
        assert np.abs(counts - PRESENT.sum(0) / 5).max() <= 2
        assert (counts > 0).all()  # of the rarest too


def test_chance_would_spread_them_worse():
    def worst(parts):
        return max(np.abs(PRESENT[one].sum(0) - PRESENT.sum(0) / 5).max() for one in parts)

    ours = worst([Division(fold=(n, 5)).parts(NAMES, PRESENT)[1] for n in range(5)])
    others = [
        worst(np.array_split(np.random.default_rng(s).permutation(103), 5)) for s in range(50)
    ]
    assert ours < min(others)


def test_the_order_of_the_files_plays_no_part():
    order = GENERATOR.permutation(len(NAMES))
    names = [NAMES[index] for index in order]
    for settings in (
        {"val_fraction": 0.1},
        {"fold": (2, 5)},
        {"fold": (1, 3), "group": "{group}/*"},
    ):
        assert scored(names, PRESENT[order], **settings) == scored(**settings)


def test_the_division_is_pinned():
    """The same on every machine and in every version: a run is scored on what it did not see."""
    assert sorted(scored(val_fraction=0.05)) == PINNED
    assert scored(val_fraction=0.1, seed=1) != scored(val_fraction=0.1)


PINNED = ["seq0/000", "seq1/008", "seq2/086", "seq3/003", "seq6/013"]


def test_groups_stay_together():
    folds = [scored(fold=(number, 3), group="{group}/*") for number in range(3)]
    groups = [{name.partition("/")[0] for name in fold} for fold in folds]
    assert sum(map(len, groups)) == 7 and len(set.union(*groups)) == 7
    assert sum(map(len, folds)) == 103 and min(map(len, folds)) >= 29
    seventh = [scored(fold=(number, 7), group="{group}/*") for number in range(7)]
    assert all(len({name.partition("/")[0] for name in fold}) == 1 for fold in seventh)


def test_a_fraction_is_of_what_is_trained_on():
    whole, val = Division(fold=(0, 5)).parts(NAMES, PRESENT)
    some, same = Division(fold=(0, 5), fraction=0.1).parts(NAMES, PRESENT)
    assert same == val and set(some) < set(whole) and len(some) == 8
    assert (PRESENT[some].sum(0) > 0).all()
    alone, none = Division(fraction=0.001).parts(NAMES, PRESENT)
    assert len(alone) == 1 and none == []


def test_without_labels_it_divides_by_names():
    nothing = np.zeros((103, 0), bool)
    assert len(scored(present=nothing, val_fraction=0.1)) == 10


def test_large_splits_take_little_time():
    names = [str(index) for index in range(5000)]
    present = np.random.default_rng(1).random((5000, 150)) < 0.1
    began = time.perf_counter()
    Division(fold=(0, 5)).parts(names, present)
    assert time.perf_counter() - began < 10  # with the square of the number, minutes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fold": (0, 200)}, "^103 pictures can't be divided into 200 parts: give fewer folds"),
        (
            {"fold": (0, 2), "group": "video{group}_*"},
            r"^dataset.group=video\{group\}_\* fits 0 of the 103 names, and not seq0/000: write",
        ),
        ({"fold": (0, 2), "group": "{group}/0*"}, "fits 100 of the 103 names, and not seq2/100"),
        (
            {"fold": (0, 8), "group": "{group}/*"},
            r"^dataset.group=\{group\}/\* makes 7 groups of the names, too few for 8 parts",
        ),
    ],
)
def test_what_can_not_be_divided(settings, message):
    with pytest.raises(DataError, match=message):
        scored(**settings)


def test_one_way_to_divide():
    with pytest.raises(ConfigError, match=r"^dataset.val_fraction=0.1 with dataset.fold=0/5: give"):
        Division(val_fraction=0.1, fold=(0, 5))
