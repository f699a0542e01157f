"""classes.yaml: what it may say, and what is said about it where it is wrong."""

import pytest

from gcseg.data.class_list import read_classes
from gcseg.data.label_spaces import VOC
from gcseg.errors import ConfigError, DataError


def read(tmp_path, text):
    path = tmp_path / "classes.yaml"
    path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
    return read_classes(path)


def test_names_alone(tmp_path):
    space = read(tmp_path, "classes: [road, sky, other things]\n")
    assert space.names == ("road", "sky", "other things")
    assert space.values == {0: 0, 1: 1, 2: 2}
    assert space.colors == VOC.colors[:3]
    assert space.lookup[[0, 2, 3, 255]].tolist() == [0, 2, 254, 255]


def test_values_colours_and_ignored(tmp_path):
    space = read(
        tmp_path,
        "classes:\n- {name: a, value: 9, color: [1, 2, 3]}\n- {name: b, color: [4, 5, 6]}\n"
        "ignore: [0, 255, 200]\n",
    )
    assert space.values == {9: 0, 1: 1}
    assert space.colors == ((1, 2, 3), (4, 5, 6))
    assert space.lookup[[9, 1, 0, 200, 255, 2]].tolist() == [0, 1, 255, 255, 255, 254]


def test_names_and_mappings_may_be_mixed(tmp_path):
    assert read(tmp_path, "classes: [a, {name: b, value: 7}]\n").values == {0: 0, 7: 1}


SHAPE = "write 'classes:' with one name per line, and 'ignore: \\[value, ...\\]' if needed$"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "classes: [a\nb: {",
            rf"^class list \S+classes.yaml can't be read \(it is not YAML: .*line 2.*\): {SHAPE}",
        ),
        (b"\xff\xfe\x00classes", rf"classes.yaml can't be read \(it is not UTF-8\): {SHAPE}"),
        ("", rf"^class list \S+classes.yaml has no list 'classes': {SHAPE}"),
        ("[a, b]", rf"^class list \S+classes.yaml has no list 'classes': {SHAPE}"),
        ("classes: {a: 0}", rf"^class list \S+classes.yaml has no list 'classes': {SHAPE}"),
        ("classes: [a]\nignored: [1]", rf"classes.yaml has unknown keys \['ignored'\]: {SHAPE}"),
        (
            "classes: [{name: a, colour: [0, 0, 0]}]",
            rf"classes.yaml has classes with unknown keys \['colour'\]: {SHAPE}",
        ),
        ("classes: [{value: 1}]", rf"classes.yaml has a wrong entry \('name'\): {SHAPE}"),
        ("classes: [{name: a, value: x}]", r"a wrong entry \(value 'x' is not a whole number\): "),
        (
            "classes: [a]\nignore: 5",
            r"classes.yaml has a wrong entry " r"\(ignore: 5 is not a list\): ",
        ),
        ("classes: [{name: a, value: true}]", r"\(value 'True' is not a whole number\): "),
        ("classes: [{name: a, value: 1.5}]", r"\(value '1.5' is not a whole number\): "),
        ("classes: [a]\nignore: [x]", r"a wrong entry \(value 'x' is not a whole number\): "),
        (
            "classes: [{name: a, color: [0, 0]}]",
            r"a wrong entry \(colour \[0, 0\] is not \[red, green, blue\]\)",
        ),
        (
            "classes: [{name: a, color: [0, 0, 256]}]",
            r"a wrong entry \(colour \[0, 0, 256\] is not within 0 to 255\)",
        ),
        ("classes: [{name: a, color: red}]", r"a wrong entry \(colour red is not \[red"),
        (
            "classes: [{name: a, color: [0, 0, 0]}, b]",
            "classes.yaml: 1 colours for 2 classes: give one colour per class$",
        ),
        (
            "classes: [{name: a, value: 1}, b]",
            "classes.yaml gives one value to two classes: use each once$",
        ),
        ("classes: [a, a]", "classes.yaml: class names repeat: a: make each name unique$"),
        ("classes: []", "classes.yaml: 0 classes in the class list: give 2 to 254 names$"),
        (
            "classes: [a, b]\nignore: [1]",
            r"classes.yaml: label values \[1\] are both a class and ignored: ",
        ),
        (
            "classes: [{name: a, value: 300}, b]",
            "classes.yaml: label value 300 in the class list: use 0 to 255$",
        ),
        (
            "classes: [a, {name: b, value: 255}]\nignore: [255]",
            r"classes.yaml: label values \[255\] are both a class and ignored: ",
        ),
        (
            "classes: [{name: road, value: 1}]\nignore: [0]",
            "classes.yaml: the only class in the class list is road, so any network would be "
            "right everywhere: list the background too: {name: background, value: 0}$",
        ),
    ],
)
def test_wrong_lists(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read(tmp_path, text)
    assert "\n" not in str(raised.value)


def test_255_may_be_a_class(tmp_path):
    space = read(tmp_path, "classes:\n- background\n- {name: road, value: 255}\nignore: [7]\n")
    assert space.values == {0: 0, 255: 1}
    assert space.lookup[[0, 7, 254, 255]].tolist() == [0, 255, 254, 1]
    assert space.ignored_values == (7,)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "no",
            "false, which is what YAML makes of no, off, false without.*: - 'no' or 'off' or 'f",
        ),
        (
            "OFF",
            "false, which is what YAML makes of no, off, false without.*: - 'no' or 'off' or 'f",
        ),
        (
            "yes",
            "true, which is what YAML makes of yes, on, true without.*: - 'yes' or 'on' or 't",
        ),
        ("null", "null, which is what YAML makes of null, ~ and an empty value: .*: - 'null'$"),
        ("", "null, which is what YAML makes of null, ~ and an empty value: .*: - 'null'$"),
        ("1.5", "the number 1.5: put quotes around the name: - '1.5'$"),
        ("17", "the number 17: put quotes around the name: - '17'$"),
        ("[a, b]", "a list: give each class one name$"),
    ],
)
def test_names_that_yaml_does_not_read_as_text(tmp_path, name, message):
    """Both as a line and as a mapping's name; quoted, any is a name."""
    said = rf"^class list \S+ has names that are not text: class 2 is {message}"
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, f"classes:\n- road\n- {name}\n")
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, f"classes:\n- road\n- name: {name}\n  value: 3\n")
    if name:
        assert read(tmp_path, f"classes:\n- road\n- '{name}'\n").names == ("road", name)


def test_all_names_that_are_not_text_are_named_at_once(tmp_path):
    with pytest.raises(ConfigError, match=r"class 1 is true, .*; class 6 is the number 5; and 3 m"):
        read(tmp_path, "classes: [on, a, 2, 3, 4, 5, 6, {name: {b: c}}, []]")


def test_a_date_is_a_name(tmp_path):
    assert read(tmp_path, "classes: [a, 2024-01-01]").names == ("a", "2024-01-01")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("''", "classes.yaml: the name of class 2 is empty: give each class a name$"),
        ("'  '", "classes.yaml: the name of class 2 is empty"),
        (r'"a\tb\e[31m"', r"the name of class 2 has control characters: a\\tb\\x1b\[31m: write"),
        (r'"a\nb"', r"the name of class 2 has control characters: a\\nb: write"),
    ],
)
def test_names_that_can_not_be_shown(tmp_path, name, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, f"classes: [a, {name}]")


def test_names_of_any_language_and_with_brackets(tmp_path):
    assert read(tmp_path, "classes: [straße, '道路', 'car [/van]']").names[1:] == (
        "道路",
        "car [/van]",
    )


def test_missing_list(tmp_path):
    with pytest.raises(DataError, match=rf"^class list {tmp_path}/c.yaml does not exist: {SHAPE}"):
        read_classes(tmp_path / "c.yaml")
