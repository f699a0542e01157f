"""What divides a split is in the name of a run where it is used, and only there."""

import pytest

from gcseg.config.plain import plain
from gcseg.runs.name import fingerprint, training_settings
from tests.running import compose

USUAL = ("dataset=folder", "dataset.root=own")


def print_of(*given):
    return fingerprint(training_settings(plain(compose("train", *USUAL, *given))))


@pytest.mark.parametrize(
    "given",
    [
        ("dataset.fold=0/5",),
        ("dataset.fold=1/5",),
        ("dataset.val_fraction=0.1",),
        ("dataset.fraction=0.5",),
        ("dataset.fold=0/5", "dataset.split_seed=1"),
        ("dataset.fold=0/5", "dataset.group='{group}_*'"),
        ("dataset.reader.unknown_colors=nearest",),
        ("dataset.reader.label_ending=_mask",),
    ],
)
def test_what_decides_the_pictures_is_in_the_name(given):
    assert print_of(*given) not in (print_of(), print_of(*given[:-1]))


@pytest.mark.parametrize(
    "given",
    [
        "dataset.fraction=1",
        "dataset.split_seed=3",
        "dataset.group='{group}_*'",
        "dataset.fold=null",
    ],
)
def test_what_has_no_effect_is_not(given):
    assert print_of(given) == print_of()
