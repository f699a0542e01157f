"""Hydra with less work finds the same."""

import re
from unittest import mock

import pytest
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra

from gcseg.config.compose import compose, source_folder
from gcseg.config.quicker import quicker_hydra
from tests import running

GET_MODE = Hydra.get_mode


@pytest.mark.parametrize(
    ("arguments", "spared"),
    [
        ([], True),
        (["-m", "seed=1,2"], True),
        (["dataset=camvid", "+optim.x=1", "~loss", "dataset.root=/hydra", "--multirun"], True),
        (["dataset=camvid", "hydra.mode=MULTIRUN"], False),
        (["+hydra.searchpath=[mine]", "seed=1"], False),
        (["sweep=backbone_iters_tta"], False),
        (["+ablation@_global_=mine"], False),
        (["--config-dir", "mine"], False),
        (["--config-name=mine"], False),
    ],
)
def test_the_mode_is_asked_for_only_where_it_can_be_set(arguments, spared):
    with quicker_hydra(arguments):
        assert (Hydra.get_mode is not GET_MODE) == spared
    assert Hydra.get_mode is GET_MODE
    assert not hasattr(ConfigRepository, "__deepcopy__")


def test_only_experiments_set_the_mode():
    for path in source_folder("conf").rglob("*.yaml"):
        text = path.read_text()
        assert not re.search(r"^(  )?mode:|hydra\.mode", text, re.MULTILINE), path
        defaults = text.partition("defaults:")[2]
        for folder in source_folder("experiments").iterdir():
            assert not re.search(rf"- (optional )?/?{folder.name}: (?!null\b)\w", defaults), path


def test_a_command_is_composed_once(tmp_path):
    compose_config = Hydra.compose_config
    with mock.patch.object(Hydra, "compose_config", autospec=True) as composed:
        composed.side_effect = compose_config
        missing = ("dataset=camvid", "dataset.root=no/such")
        assert "no/such" in running.run("train", *missing, cwd=tmp_path).error
    assert len(composed.mock_calls) == 1
    assert Hydra.get_mode is GET_MODE


def test_the_same_configuration():
    plain = compose("train", ["dataset=camvid", "seed=3"], with_hydra=True)
    with quicker_hydra([]):
        quick = compose("train", ["dataset=camvid", "seed=3"], with_hydra=True)
        again = compose("train", ["dataset=camvid", "seed=3"], with_hydra=True)
    assert quick == plain == again
