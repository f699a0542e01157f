"""Names and values out of files, as messages and tables show them."""

import pytest

from gcseg.system.text import brief, listed


@pytest.mark.parametrize(
    "value",
    [
        *("", "a", "a'b\n", "x" * 100, 1, -1.5, True, None, float("nan")),
        *([], {}, [1, "a", None], {"a": [0.5, {"b": "c\n"}], "d": True}, [[[["it's"]]]]),
    ],
    ids=repr,
)
def test_short_values_are_written_as_python_does(value):
    assert brief(value) == str(value)


class Untouched(dict):
    """Fails who asks what is in it."""

    def items(self):
        raise AssertionError


@pytest.mark.parametrize(
    ("value", "begins"),
    [
        ("x" * 101, "xxx"),
        (["x" * 10**6, Untouched()], "['xxx"),
        ([*range(100), Untouched()], "[0, 1, 2, "),
        ({"a": "x" * 100, "b": Untouched()}, "{'a': 'xxx"),
        ({"x" * 200: Untouched()}, "{'xxx"),
    ],
    ids=["text", "list of texts", "long list", "mapping", "name"],
)
def test_of_long_values_only_what_is_shown_is_written(value, begins):
    text = brief(value)
    assert text.startswith(begins)
    assert text.endswith("...")
    assert len(text) == 103
    assert brief(value, 5) == text[:5] + "..."


def test_numbers_that_python_does_not_write():
    assert brief(10**5000) == "a huge number"
    assert brief([10**5000, -1]) == "[a huge number, -1]"


def test_of_many_words_the_first_are_listed():
    assert listed("abc") == "a, b, c"
    assert listed([]) == ""
    assert listed(map(str, range(12)), "; ", 3) == "0; 1; 2; and 9 more"
