"""What a checkpoint or a run folder of a stranger says is data, whatever it says."""

import json
import time

import pytest

from gcseg.config.recorded import GROUPS, _callables
from tests.security.payloads import PAYLOADS, SECRET, TOKEN, WRITERS, settings, snapshot

COMMANDS = ("eval", "predict", "attention")


def _given(kind, payload, tmp_path, training):
    config = settings(training.folder)
    PAYLOADS[payload][0](config, tmp_path / "appeared")
    (tmp_path / "given").mkdir()
    return WRITERS[kind](tmp_path / "given" / "strangers", training.folder, config)


SHARED = ("a list that unfolds to billions", "a group that is itself")
"""What JSON can't say."""

KINDS = tuple(WRITERS)
CASES = [
    (payload, KINDS[2 * (number % 2) if payload in SHARED else number % 3])
    for number, payload in enumerate(PAYLOADS)
]
"""Each payload by one kind of file, and the first by all."""
CASES += [("a backbone that is a command", kind) for kind in KINDS[1:]]


@pytest.mark.parametrize(("payload", "kind"), CASES)
def test_nothing_is_run_written_or_told(payload, kind, run, training, tmp_path):
    """By one of the commands in turn."""
    given = _given(kind, payload, tmp_path, training)
    number = list(PAYLOADS).index(payload) + list(WRITERS).index(kind)
    command = COMMANDS[number % len(COMMANDS)]
    before = snapshot(tmp_path, training.cwd)
    start = time.monotonic()
    outcome = run(command, f"checkpoint={given}", "trust=false", **{SECRET: TOKEN})
    assert PAYLOADS[payload][1] in outcome.error
    assert time.monotonic() - start < 20
    assert snapshot(tmp_path, training.cwd) == before
    assert TOKEN not in outcome.out + outcome.err


@pytest.mark.parametrize("payload", ["a head that is a command", "the environment in a root"])
def test_no_report_of_a_strangers_run(payload, run, training, tmp_path):
    given = _given("run folder", payload, tmp_path, training)
    before = snapshot(tmp_path, training.cwd)
    outcome = run("report", f"run={given}", "trust=false", **{SECRET: TOKEN})
    assert PAYLOADS[payload][1] in outcome.error
    assert snapshot(tmp_path, training.cwd) == before


def test_a_report_draws_no_scenes(run, training, tmp_path):
    """It has everything but pictures, and says why."""
    given = _given("run folder", "drawn scenes elsewhere", tmp_path, training)
    results = json.loads((given / "results.json").read_text())
    before = snapshot(tmp_path, training.cwd)
    outcome = run("report", f"run={given}", "trust=false", "backbone._target_=tests.tiny.backbone")
    assert outcome.status == 0, outcome.err
    after = snapshot(tmp_path, training.cwd)
    assert {path for path in after if after[path] != before.get(path)} <= {
        *map(str, (given, given / "report.html"))
    }
    assert results["evaluations"]


@pytest.mark.parametrize("payload", ["a backbone that is a command", "the environment in a name"])
def test_settings_can_be_looked_at(payload, run, training, tmp_path):
    given = _given("checkpoint", payload, tmp_path, training)
    outcome = run("eval", f"checkpoint={given}", "trust=false", "--cfg", "job", **{SECRET: TOKEN})
    assert TOKEN not in outcome.out and "os.system" not in outcome.out
    assert not (tmp_path / "appeared").exists()


def test_weights_are_described_and_started_from(run, training, train, tmp_path):
    """Neither needs the settings' callables."""
    given = _given("checkpoint", "a backbone that is a command", tmp_path, training)
    outcome = train(f"checkpoint={given}", "iters=1")
    assert outcome.status == 0, outcome.err
    assert not (tmp_path / "appeared").exists()


def test_a_network_of_ones_own_is_called_on_ones_own_word(run, training):
    """By naming it, or by trusting the file; without, the line says how."""
    path = f"checkpoint={training.folder}"
    refused = run("predict", path, "limit=1", "trust=false").error
    assert "says backbone._target_=tests.tiny.backbone, which is outside gcseg" in refused
    assert "backbone._target_=... on the command line, or trust=true" in refused
    named = run("predict", path, "limit=1", "trust=false", "backbone._target_=tests.tiny.backbone",
                "output=here")  # fmt: skip
    assert named.status == 0, named.err
    trusted = run("predict", path, "limit=1", "trust=true", "output=there")
    assert trusted.status == 0, trusted.err


def test_another_target_on_the_command_line_leaves_the_others_refused(run, training, tmp_path):
    given = _given("checkpoint", "a head that is a command", tmp_path, training)
    own = "backbone._target_=tests.tiny.backbone"
    error = run("eval", f"checkpoint={given}", "trust=false", own).error
    assert "says head._target_=os.system" in error
    assert not (tmp_path / "appeared").exists()


def test_the_option_trained_by_name_is_still_the_files(run, training, tmp_path):
    given = _given("checkpoint", "a backbone that is a command", tmp_path, training)
    error = run("eval", f"checkpoint={given}", "trust=false", "backbone=trained").error
    assert "says backbone._target_=os.system" in error


def test_the_list_is_what_conf_names():
    """So that a new option needs no second list, and nothing else is on it."""
    found = {name: targets for group in GROUPS for name, targets in _callables(group).items()}
    assert set(found) == {"backbone._target_", "backbone.context._target_", "head._target_",
                          "head.context._target_", "auxiliary_head._target_",
                          "dataset.reader._target_"}  # fmt: skip
    blocks = found["head.context._target_"]
    assert found["backbone.context._target_"] == blocks
    assert all(one is None or one.startswith("gcseg.models.") for one in blocks)
    assert found["backbone._target_"] == {"gcseg.models.resnet", "gcseg.models.timm_backbone"}
    assert "gcseg.data.folder.folder" in found["dataset.reader._target_"]
