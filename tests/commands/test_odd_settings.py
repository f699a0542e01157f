"""Settings with values that their table does not allow: one line each, by every command."""

from __future__ import annotations

import contextlib
import hashlib
import math
import shutil
import signal

import pytest

from gcseg.config.table import TABLE
from tests.running import SCENES, TINY

COMMANDS = ("train", "eval", "predict", "attention", "report", "data check", "data stats")
SECONDS = 20
ODD = {
    "null": "null",
    "a switch": "true",
    "a negative number": "-1",
    "a huge number": "1e99",
    "a number of 400 digits": "9" * 400,
    "not a number": "nan",
    "infinity": "-inf",
    "text": "abc",
    "no text": "''",
    "a list": "[1,abc]",
    "an empty list": "[]",
    "a mapping": "{a:1}",
    "a fraction": "0.123",
    "odd characters": "'a[/b]\\x1b'",
}
VALUES = {
    "null": None,
    "a switch": True,
    "a negative number": -1,
    "a huge number": 1e99,
    "a number of 400 digits": int("9" * 400),
    "not a number": math.nan,
    "infinity": -math.inf,
    "text": "abc",
    "no text": "",
    "a list": [1, "abc"],
    "an empty list": [],
    "a mapping": {"a": 1},
    "a fraction": 0.123,
    "odd characters": "a[/b]\\x1b",
}


def cases():
    """A command, a setting of it and an odd value, the same ones each time."""
    for row in TABLE:
        if "*" in row.name or row.added:
            continue
        for command in COMMANDS:
            # The backbone of the tests takes what it likes; that of data is gcseg's own.
            others = row.name.startswith("backbone.") and not command.startswith("data")
            if command.split()[0] not in row.commands or others:
                continue
            for odd in ODD:
                key = f"{command} {row.name} {odd}"
                yield hashlib.sha256(key.encode()).hexdigest(), command, row, odd


def drawn(count, *, only_refused):
    wanted = [case for case in cases() if not only_refused or not case[2].takes(VALUES[case[3]])]
    return [case[1:] for case in sorted(wanted, key=lambda case: case[0])[:count]]


@contextlib.contextmanager
def no_longer_than(seconds):
    def end(number, frame):
        raise TimeoutError(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome_of(run, training, tmp_path, command, name, odd):
    """A command with all that it needs, and the odd setting last."""
    given = {"train": TINY, "data": SCENES}
    if command in ("eval", "predict", "attention", "report"):
        copied = tmp_path / "copied"
        shutil.copytree(training.folder, copied)
        named = "run" if command == "report" else "checkpoint"
        usual = (f"{named}={copied}", "trust=true")
        usual += ("accelerator=cpu",)
        usual += ("limit=1",) if command in ("predict", "attention") else ()
    else:
        usual = given[command.split()[0]]
    module, *action = command.split()
    with no_longer_than(SECONDS):
        return run(module, *action, *usual, f"{name}={ODD[odd]}")


def judge(outcome, row, odd):
    """Right is one line, or the value being one that the table allows."""
    if outcome.status == 0:
        assert row.takes(VALUES[odd]), f"{row.name}={ODD[odd]} passes: {outcome.out}"
        return
    assert outcome.status == 1, outcome
    last = outcome.err.splitlines()[-1]
    assert last.startswith("error: "), outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "row", "odd"),
    drawn(300, only_refused=False),
    ids=lambda one: getattr(one, "name", one),
)
def test_one_line_or_a_value_of_the_table(command, row, odd, run, training, tmp_path):
    judge(outcome_of(run, training, tmp_path, command, row.name, odd), row, odd)


@pytest.mark.parametrize(
    ("command", "row", "odd"),
    drawn(20, only_refused=True),
    ids=lambda one: getattr(one, "name", one),
)
def test_what_the_table_refuses(command, row, odd, run, training, tmp_path):
    """A few of them before anything is done."""
    judge(outcome_of(run, training, tmp_path, command, row.name, odd), row, odd)


@pytest.mark.parametrize("extra", ["+limit=1", "+anything=1", "+optim.width=3", "logger=null"])
@pytest.mark.parametrize("command", ["train", "data check"])
def test_nothing_that_is_not_read(command, extra, run, training, tmp_path):
    module, *action = command.split()
    outcome = run(module, *action, *TINY, extra)
    assert outcome.status == 1 and outcome.err.startswith("error: "), outcome
