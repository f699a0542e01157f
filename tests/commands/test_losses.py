"""Trainings with other losses, and with class weights by rule."""

import re

import pytest
import torch
import yaml

from gcseg.config.compose import source_folder
from tests import running
from tests.running import TINY, only_run

NAMES = sorted(path.stem for path in (source_folder("conf") / "loss").glob("*.yaml"))


def settings_of(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_trains(train, tmp_path, name):
    outcome = train(f"loss={name}", "class_weights=auto", "precision=bf16-mixed")
    assert outcome.status == 0, outcome.err
    assert f"loss: {name}" in outcome.out
    folder = only_run(tmp_path / "runs")
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())
    assert not [key for key in state if not key.startswith("model.")]


def test_by_rule_is_as_by_the_numbers(train, data, tmp_path):
    """Killed and given again, by rule or as the list that `stats` prints: the same to the bit."""
    overrides = ("loss=ce_lovasz", "iters=4", "val_every=2")
    by_rule = (*overrides, "class_weights=median_frequency")
    assert train(*by_rule, "run_root=whole").status == 0
    whole = only_run(tmp_path / "whole")
    weights = settings_of(whole)["class_weights"]
    assert len(weights) == 19 and 1.0 in weights and min(weights) < 0.9 < 1.1 < max(weights)

    with running.killed_in_step(3):
        running.run(
            *("train", *TINY, *by_rule, "run_root=again"), cwd=tmp_path, GCSEG_DATA=str(data)
        )
    pasted = f"class_weights=[{','.join(map(str, weights))}]"
    outcome = train(*overrides, pasted, "run_root=again")
    assert "resumes from step 2/4" in outcome.err + outcome.out
    again = only_run(tmp_path / "again")
    assert again.name == whole.name
    ours, theirs = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (whole, again)
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_what_a_rule_says(train, tmp_path):
    outcome = train("class_weights=auto", "iters=1")
    (line,) = [one for one in outcome.err.splitlines() if one.startswith("class_weights=auto: ")]
    assert "(road)" in line and "; 1 for what the training split never has: " in line
    (summary,) = [one for one in outcome.out.splitlines() if one.startswith("loss: ")]
    weights = settings_of(only_run(tmp_path / "runs"))["class_weights"]
    assert summary == f"loss: cross_entropy, class weights {min(weights):.4g} to {max(weights):.4g}"


def test_hard_pixels_that_are_all_pixels(train):
    outcome = train("loss=ohem", "iters=1")
    (summary,) = [one for one in outcome.out.splitlines() if one.startswith("loss: ")]
    words = r"loss: ohem, all pixels are kept, since a forward pass has [\d,]+ and min_kept=100000"
    assert re.fullmatch(words, summary)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("class_weights=median",), "class_weights=median: give a list of numbers"),
        (("loss=dice", "count_ignored=true"), "count_ignored=true is not defined for loss=dice, "),
        (("loss=ce_dice", "count_ignored=true"), "count_ignored=true is not defined for "
         "loss.parts.dice, whose loss is gcseg.losses.Dice: leave count_ignored out"),
        (("loss=ce_dice", "loss.parts.dice.weight=0", "loss.parts.cross_entropy=null"),
         "loss=ce_dice has no part with a weight above 0"),
        (("loss=focal", "loss.gamma=-1"), "loss.gamma=-1: give a number, 0 to 100"),
        (("loss=ohem", "loss.threshold=0"), "loss.threshold=0: give a number above 0"),
        (("loss=dice", "loss.classes=some"), "loss.classes=some: use present or all"),
        (("loss=dice", "+loss.gamma=2"), "gcseg.losses.Dice: got an unexpected keyword argument "
         "'gamma': it takes smooth, "),
        (("loss=ce_dice", "+loss.parts.focal={_target_: gcseg.losses.Focal}"),
         "loss.parts.focal.weight is not set"),
    ],
)  # fmt: skip
def test_wrong_settings(train, tmp_path, overrides, message):
    assert train(*overrides).error.startswith(message)
    assert not (tmp_path / "runs").exists()
