"""The network's name says its context blocks, wherever a run is described."""

import json

import pytest

from gcseg.runs.name import backbone_name, head_name
from tests.running import only_run

BLOCK = {"name": "nl", "_target_": "gcseg.models.NonLocalBlock"}
NONE = {"name": "none", "_target_": None}


@pytest.mark.parametrize(
    ("context", "ending"),
    [
        ({}, ""),
        ({"context": NONE}, ""),
        ({"context": None}, ""),
        ({"context": BLOCK}, "nl"),
    ],
)
def test_names_of_parts(context, ending):
    assert head_name({"name": "fcn", **context}) == "fcn" + (ending and f"-{ending}")
    assert backbone_name({"name": "r50", **context}) == "r50" + (ending and f"+{ending}")


def test_results_and_summary_name_the_block(train, tmp_path):
    outcome = train("head=fcn", "context=snl", "iters=1", "val_every=1", cwd=tmp_path)
    assert outcome.status == 0, outcome
    assert "fcn-snl head" in outcome.out
    results = json.loads((only_run(tmp_path / "runs") / "results.json").read_text())
    assert results["head"] == "fcn-snl"
