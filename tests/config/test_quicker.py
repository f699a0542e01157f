"""Hydra with less work finds the same."""

import re
from unittest import mock

import hydra
import pytest
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException

from gcseg.config.compose import compose, register_resolvers, source_folder
from gcseg.config.composing import composing_quickly
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


def plainly_composed(*overrides):
    """As Hydra does it without gcseg."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(source_folder("conf")), version_base="1.3"):
        return hydra.compose("train", list(overrides), return_hydra_config=True)


def test_the_same_configuration():
    register_resolvers()
    for overrides in (["dataset=camvid", "seed=3"], [], ["~loss", "published=mmseg_r50_voc_20k"]):
        plain = plainly_composed(*overrides)
        for _ in range(3):
            again = compose("train", overrides, with_hydra=True)
            assert again == plain
            again.iters = 1  # of this one alone


def test_files_that_change_are_read_again(tmp_path):
    (tmp_path / "small").mkdir()
    overrides = [f"hydra.searchpath=[file://{tmp_path}]", "small=mine"]

    def composed():
        with composing_quickly():
            return plainly_composed(*overrides).iters

    (tmp_path / "small" / "mine.yaml").write_text("# @package _global_\niters: 7\n")
    assert [composed(), composed()] == [7, 7]
    (tmp_path / "small" / "mine.yaml").write_text("# @package _global_\niters: 81\n")
    assert composed() == 81
    (tmp_path / "small" / "mine.yaml").unlink()
    with pytest.raises(HydraException):
        composed()


def test_choices_that_defaults_name(tmp_path):
    """By `${...}`, as files of one's own may."""
    for folder in ("mine", "parts"):
        (tmp_path / folder).mkdir()
    for name, iters in (("a", 7), ("b", 8)):
        (tmp_path / "mine" / f"{name}.yaml").write_text("defaults: [{/parts: 'of-${mine}'}]\n")
        text = f"# @package _global_\niters: {iters}\n"
        (tmp_path / "parts" / f"of-{name}.yaml").write_text(text)
    for name, iters in (("a", 7), ("b", 8)):
        with composing_quickly():
            composed = plainly_composed(f"hydra.searchpath=[file://{tmp_path}]", f"+mine={name}")
        assert composed.iters == iters
