"""The home folder in paths."""

from pathlib import Path

import pytest

from gcseg.system.files import at_home


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~", "/home/me"),
        ("~/x/y", "/home/me/x/y"),
        ("~//x", "/home/me/x"),
        ("~nobody/x", "~nobody/x"),
        ("~x.ckpt", "~x.ckpt"),
        ("a/~/b", "a/~/b"),
        ("/a", "/a"),
    ],
)
def test_at_home(given, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert at_home(given) == at_home(Path(given)) == Path(expected)


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("eval", "checkpoint='~none.ckpt'"),
        ("train", "dataset=folder dataset.root='~none/data'"),
        ("report", "run='~none'"),
        ("report", "sweep='~none'"),
        ("weights", "~none"),
    ],
)
def test_no_other_users_folder_is_looked_up(run, command, given):
    action = ("info",) if command == "weights" else ()
    assert "~none" in run(command, *action, *given.split(), GCSEG_CACHE="~none").error
