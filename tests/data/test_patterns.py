"""Patterns of paths and names, compared with the standard library's where it has the same."""

import fnmatch
import itertools
import time

import pytest

from gcseg.data.patterns import fixed_part, group_of, matched_name, matched_path


@pytest.mark.parametrize(
    ("pattern", "path", "texts"),
    [
        ("*.jpg", "a.jpg", ["a"]),
        ("*.jpg", "b/a.jpg", None),
        ("*/img/*.jpg", "oslo/img/a.b.jpg", ["oslo", "a.b"]),
        ("**/*.jpg", "a.jpg", ["a"]),
        ("**/*.jpg", "x/y/a.jpg", ["x/y", "a"]),
        ("x/**", "x/y/z", ["y/z"]),
        ("**/img/*_l.png", "r/img/s/img/7_l.png", ["r/img/s", "7"]),
        ("im?ge*.png", "image7.png", ["a", "7"]),
        ("[a]*.png", "[a]7.png", ["7"]),
        ("a/b.png", "a/b.png", []),
    ],
)
def test_what_wildcards_stand_for(pattern, path, texts):
    assert matched_path(pattern, path) == texts


def test_the_same_names_match_as_in_the_standard_library():
    names = ["".join(name) for size in range(5) for name in itertools.product("ab", repeat=size)]
    patterns = ["".join(one) for size in range(5) for one in itertools.product("ab*?", repeat=size)]
    for pattern in patterns:
        ours = [name for name in names if matched_name(pattern, name) is not None]
        assert ours == [name for name in names if fnmatch.fnmatchcase(name, pattern)], pattern


def test_no_pattern_takes_long():
    began = time.perf_counter()
    assert matched_name("*a" * 40 + "b", "a" * 250) is None
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("template", "name", "group"),
    [
        ("{group}_*", "0001TP_006690", "0001TP"),
        ("{group}/*", "oslo/left/1", "oslo"),
        ("*/{group}-?", "a/seq12-3", "seq12"),
        ("{group}_*", "single", None),
        ("video{group}", "video", ""),
    ],
)
def test_groups_of_names(template, name, group):
    assert group_of(template, name) == group


def test_the_folder_before_the_wildcards():
    assert fixed_part("train/img/*.jpg") == ("train/img", "*.jpg")
    assert fixed_part("*/img") == ("", "*/img")
