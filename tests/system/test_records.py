"""Small files of settings and results: read as data, within limits, whatever they are."""

import os
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

from gcseg.system import records
from gcseg.system.records import (
    MOST_LEVELS,
    MOST_VALUES,
    RecordError,
    parse_json,
    parse_yaml,
    plain_values,
    read_json,
    read_text,
    read_yaml,
)


def unfolding(first, line):
    """YAML of 11 lines, each of which stands for nine times as much as the one before it."""
    lines = [f"a0: &a0 {first}"]
    for number in range(1, 11):
        many = ", ".join([f"*a{number - 1}"] * 9)
        lines.append(f"a{number}: &a{number} {line.replace('MANY', many)}")
    return "\n".join(lines)


@pytest.fixture(params=["C", "Python"])
def parser(request, monkeypatch):
    """Either of PyYAML's parsers."""
    if request.param == "C":
        assert yaml.__with_libyaml__
        assert issubclass(records._Loader, yaml.CSafeLoader)
        return

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = records._Loader.yaml_implicit_resolvers

    monkeypatch.setattr(records, "_Loader", Loader)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing", None),
        ("a: 1\nb: [true, null, 0.5, x]", {"a": 1, "b": [True, None, 0.5, "x"]}),
        ("a: &a {x: 1}\nb: {<<: *a, y: 2}", {"a": {"x": 1}, "b": {"x": 1, "y": 2}}),
        ("day: 2024-01-01", {"day": "2024-01-01"}),  # is no date
        ('{"on": 1}', {"on": 1}),
        ("- " * MOST_LEVELS + "1", None),
        (f"a: {'9' * 400}", {"a": int("9" * 400)}),
        ("# " + "x" * 200_000, None),
    ],
)
def test_yaml_is_plain_values(text, value):
    if text.startswith("- "):
        for _ in range(MOST_LEVELS):
            value = [1 if value is None else value]
    assert parse_yaml(text) == value


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (unfolding("[x, x]", "[MANY]"), "it unfolds to more than 100,000 values"),
        (unfolding("{x: 1, y: 2}", "{<<: [MANY]}"), "it unfolds to more than 100,000 values"),
        ("&a [1, *a]", "it unfolds to more than 100,000 values"),
        ("&a {<<: *a}", "it unfolds to more than 100,000 values"),
        ("a: &a {b: *a}", "it unfolds to more than 100,000 values"),
        (f"&a [{'1, ' * 20_000}*a]", "it unfolds to more than 100,000 values"),  # in little memory
        (f"[&a {'x' * 100_000}{', *a' * 20}]", "it unfolds to more than 2,097,152 characters"),
        (f"[&a 0x{'f' * 3000}{', *a' * 2000}]", "it unfolds to more than 2,097,152 characters"),
        (f"? {'x' * 100_000}\n: [{'1, ' * 21}]", "it unfolds to more than 2,097,152 characters"),
        ("[" * 1000 + "]" * 1000, "it is nested in more than 50 levels"),
        ("- " * 100_000, "it is nested in more than 50 levels"),
        ("{a: " * 1000 + "}" * 1000, "it is nested in more than 50 levels"),
        ("x" * 300_000, "it is YAML of more than 262,144 characters"),
        (f"a: {'9' * 5000}", "it holds a number of thousands of digits"),
        (f"a: 0x{'f' * 5000}", "it holds a number of thousands of digits"),
        (f"a: 1{':59' * 80_000}", "it holds a number of thousands of digits"),  # takes minutes
        (f"a: 1{':59' * 1000}.5", "it is not YAML: int too large"),
        ("1: a", "a name in it is 1, not text"),
        ("no: a", "a name in it is False, not text"),
        ("~: a", "a name in it is None, not text"),
        ("? [a]\n: b", "it is not YAML: while constructing a mapping"),
        ("a: !!binary aGVsbG8=", "it holds a value of type tag:yaml.org,2002:binary"),
        ("!!set {a, b}", "it holds a value of type tag:yaml.org,2002:set"),
        ("!!timestamp 2024-01-01", "it holds a value of type tag:yaml.org,2002:timestamp"),
        ("!!python/object/apply:os.system [ls]", "it holds a value of type tag:yaml.org"),
        ("!!python/name:os.system", "it holds a value of type tag:yaml.org"),
        ("!mine x", "it holds a value of type !mine"),
        ("a: !!bool x", "it is not YAML"),
        ('a: !!int ""', "it is not YAML"),
        ("a: !!float x", "it is not YAML"),
        ("a: !!str [x]", "it is not YAML"),
        ("a: 1\n---\nb: 2", "it is not YAML: expected a single document"),
        ("a: [", "it is not YAML"),
        ("a: *b", "it is not YAML"),
        ("a\0b", "it is not YAML"),
    ],
)
def test_other_yaml_is_refused_in_few_words(text, reason):
    with pytest.raises(RecordError) as error:
        parse_yaml(text)
    assert str(error.value).startswith(reason)
    assert len(str(error.value)) < 300
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("[1] [2]", "it is not JSON"),
        ("9" * 5000, "it is not JSON: Exceeds the limit"),
        ("[" * 100, "it is not JSON"),
        ("[" * 60 + "]" * 60, "it is nested in more than 50 levels"),
        ("[" * 100_000 + "]" * 100_000, "it is nested in more than 50 levels"),
        ('{"a":' * 500 + "1" + "}" * 500, "it is nested in more than 50 levels"),
        (f"[{','.join(['1'] * 1_000_001)}]", "it unfolds to more than 1,000,000 values"),
    ],
)
def test_other_json_is_refused_in_few_words(text, reason):
    with pytest.raises(RecordError, match=reason):
        parse_json(text)


def test_json_is_as_python_writes_it():
    assert parse_json('{"a": [1, 0.5, null, true, 1e400, -Infinity]}') == {
        "a": [1, 0.5, None, True, float("inf"), float("-inf")]
    }
    assert parse_json("9" * 400) == int("9" * 400)
    assert parse_json("NaN") != parse_json("NaN")


def test_plain_values_are_a_copy_in_which_nothing_is_shared():
    shared = [1]
    found = plain_values(OrderedDict(a=(shared, shared), b=MappingProxyType({"c": None})))
    assert found == {"a": [[1], [1]], "b": {"c": None}}
    assert type(found) is dict
    assert found["a"][0] is not found["a"][1]


class Text(str):
    """Is no plain text, as what an object of a checkpoint may be."""


def test_values_that_are_not_plain_are_refused():
    cycle = {}
    cycle["a"] = [cycle]
    shared = [0] * 10
    for _ in range(10):
        shared = [shared] * 10
    deep = []
    for _ in range(100):
        deep = [deep]
    for value, reason in (
        (cycle, "levels"),
        (shared, "it unfolds to more than 100,000 values"),
        ([0] * (MOST_VALUES + 1), "it unfolds to more than 100,000 values"),
        (deep, "levels"),
        (["x" * 1000] * 2100, "it unfolds to more than 2,097,152 characters"),
        ({"x" * 1000: {"y" * 1000: [1] * 1050}}, "it unfolds to more than 2,097,152 characters"),
        ({1: 2}, "a name in it is 1, not text"),
        ({10**5000: 2}, "a name in it is a number, not text"),
        ({Text("a"): 2}, "a name in it is"),
        ([10**5000], "thousands of digits"),
        ({"a": Text("b")}, "it holds"),
        ({"a": b"b"}, "it holds an object of type bytes"),
        ({"a": {1, 2}}, "it holds an object of type set"),
        (object(), "it holds an object of type object"),
        (1j, "it holds an object of type complex"),
    ):
        with pytest.raises(RecordError, match=reason):
            plain_values(value)


def test_halves_of_characters_become_escapes():
    assert parse_json('{"a\\ud800": ["\\udce9", "\\ud83d\\ude00 \u00e4"]}') == {
        "a\\ud800": ["\\udce9", "\U0001f600 \u00e4"]
    }
    assert plain_values({"\udfff": "\ud800"}) == {"\\udfff": "\\ud800"}


def test_files_are_read_in_utf_8_with_and_without_a_mark(tmp_path):
    path = tmp_path / "a.yaml"
    for content, text in (
        (b"a: \xc3\xa4", "a: ä"),
        (b"\xef\xbb\xbfa: 1\r\n", "a: 1\r\n"),
        (b"", ""),
    ):
        path.write_bytes(content)
        assert read_text(path) == text
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_text(link) == read_text(link, within=tmp_path) == ""
    with pytest.raises(RecordError, match="it is a link to a place outside its folder"):
        read_text(link, within=tmp_path / "other")
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(RecordError, match="it is not UTF-8"):
        read_text(path)
    assert read_text(path, errors="replace") == "name: \ufffd\n"
    path.write_bytes("a: 1".encode("utf-16"))
    with pytest.raises(RecordError, match="it is not UTF-8"):
        read_yaml(path)
    path.write_bytes(b'{"a": 1}')
    assert read_json(path) == read_yaml(path) == {"a": 1}


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    pipe, folder, loop = tmp_path / "pipe", tmp_path / "folder", tmp_path / "loop"
    os.mkfifo(pipe)
    folder.mkdir()
    loop.symlink_to(loop)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path, reason in (
        (pipe, "it is not a regular file"),
        (Path("/dev/zero"), "it is not a regular file"),
        (folder, "it is a folder"),
        (loop, "symbolic links"),
        (tmp_path / ("x" * 300), "too long"),
        (tmp_path / "a\0b", "null"),
        (pipe / "inside", "Not a directory"),
    ):
        with pytest.raises(RecordError, match=reason):
            read_text(path)
    for path in (tmp_path / "none", tmp_path / "none" / "none"):
        with pytest.raises(FileNotFoundError):
            read_text(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before  # none stays open


def test_large_files_are_refused_unread(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RecordError, match="it has more than 67,108,864 bytes"):
        read_text(path)
    with pytest.raises(RecordError, match="it has more than 262,144 bytes"):
        read_yaml(path)
    path.write_bytes(b"x" * 10)
    assert read_text(path, 10) == "x" * 10
    with pytest.raises(RecordError, match="it has more than 9 bytes"):
        read_text(path, 9)
    with pytest.raises(RecordError, match="it has more than 9 bytes"):
        read_text(Path("/proc/self/status"), 9)  # whose size is told to be 0
