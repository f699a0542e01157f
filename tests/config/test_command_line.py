"""What users write on command lines, before Hydra reads it."""

import pytest

from gcseg.config.command_line import home_expanded, options_first


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a=1 -m b=2", "-m a=1 b=2"),
        ("a=1 --cfg job b=2 --resolve", "--cfg job --resolve a=1 b=2"),
        ("a=1 --cfg=job b=2", "--cfg=job a=1 b=2"),
        ("a=1 --config-dir mine b=2", "--config-dir mine a=1 b=2"),
        ("a=1 --info b=2", "--info a=1 b=2"),
        ("a=1 --info plugins b=2", "--info plugins a=1 b=2"),
        ("a=1 -m --resolved x.yaml", "--resolved x.yaml -m a=1"),
        ("~a a=1 -cd", "-cd ~a a=1"),
        ("-m a=1 b=2", "-m a=1 b=2"),
        ("", ""),
    ],
)
def test_options_come_first(given, expected):
    assert options_first(given.split()) == expected.split()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("root=~/x", "root=/home/me/x"),
        ("root='~/x'", "root='/home/me/x'"),
        ('root="~/x y"', 'root="/home/me/x y"'),
        ("root=~", "root=/home/me"),
        ("root=~,~/y", "root=/home/me,/home/me/y"),
        ("source=[~/a,'~/b']", "source=[/home/me/a,'/home/me/b']"),
        ("+a.b=~/x", "+a.b=/home/me/x"),
        ("--config-dir=~/x", "--config-dir=/home/me/x"),
        ("~/x", "/home/me/x"),
        ("~optim", "~optim"),
        ("~optim.lr=1", "~optim.lr=1"),
        ("name=a~/b", "name=a~/b"),
        ("name=~x", "name=~x"),
        ("root=/a/~/b", "root=/a/~/b"),
    ],
)
def test_home(given, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert home_expanded(given) == expected
