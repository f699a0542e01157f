"""classes.yaml: what it may say, and what is said about it where it is wrong."""

import pytest

from gcseg.data.folder import read_classes
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
        ("classes: [a\nb: {", rf"^class list \S+classes.yaml is not YAML \(.*line 2.*\): {SHAPE}"),
        (b"\xff\xfe\x00classes", rf"^class list \S+classes.yaml is not YAML \(.*\): {SHAPE}"),
        ("", rf"^class list \S+classes.yaml has no list 'classes': {SHAPE}"),
        ("[a, b]", rf"^class list \S+classes.yaml has no list 'classes': {SHAPE}"),
        ("classes: {a: 0}", rf"^class list \S+classes.yaml has no list 'classes': {SHAPE}"),
        ("classes: [a]\nignored: [1]", rf"classes.yaml has unknown keys \['ignored'\]: {SHAPE}"),
        (
            "classes: [{name: a, colour: [0, 0, 0]}]",
            rf"classes.yaml has classes with unknown keys \['colour'\]: {SHAPE}",
        ),
        ("classes: [{value: 1}]", rf"classes.yaml has a wrong entry \('name'\): {SHAPE}"),
        ("classes: [{name: a, value: x}]", r"classes.yaml has a wrong entry \(.*'x'\): "),
        ("classes: [a]\nignore: 5", r"classes.yaml has a wrong entry \(.*not iterable\): "),
        ("classes: [a]\nignore: [x]", r"classes.yaml has a wrong entry \(.*'x'\): "),
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
        ("classes: []", "classes.yaml: 0 classes in the class list: give 1 to 254 names$"),
        (
            "classes: [a, b]\nignore: [1]",
            r"classes.yaml: label values \[1\] are both a class and ignored: ",
        ),
        (
            "classes: [{name: a, value: 300}]",
            "classes.yaml: label value 300 in the class list: use 0 to 255$",
        ),
        (
            "classes: [{name: a, value: 255}]",
            "classes.yaml: label value 255 stands for class a, but always",
        ),
    ],
)
def test_wrong_lists(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read(tmp_path, text)
    assert "\n" not in str(raised.value)


def test_missing_list(tmp_path):
    with pytest.raises(DataError, match=rf"^class list {tmp_path}/c.yaml does not exist: {SHAPE}"):
        read_classes(tmp_path / "c.yaml")
