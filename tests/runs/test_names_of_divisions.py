"""Names of runs with settings of 0.2.0: what decides the weights is in them, written in one way."""

import pytest

from gcseg.config.checks import check_one
from gcseg.config.plain import plain
from gcseg.errors import ConfigError
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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("optim.backbone_lr_factor=2",), ("optim.backbone_lr_factor=2.0",)),
        (("dataset.nodata=0",), ("dataset.nodata=-0.0",)),
        (("loss=ce_dice", "loss.parts.dice=null"), ("loss=ce_dice", "~loss.parts.dice")),
        (("loss=ce_dice", "loss.parts.dice=null"), ("loss=ce_dice", "loss.parts.dice.weight=0")),
    ],
)
def test_one_training_has_one_name(one, other):
    assert print_of(*one) == print_of(*other) != print_of()


@pytest.mark.parametrize("fold", ["00/5", "0/05", "٠/٥", "5/5", "0/1", "-1/5", " 0/5"])
def test_a_fold_is_written_in_one_way(fold):
    with pytest.raises(ConfigError, match="give the number of a fold"):
        check_one("dataset.fold", fold)
