"""What a checkpoint records beside its weights is plain data, or refused in one line."""

import json

import pytest
import torch
from safetensors.torch import save_file

from gcseg.commands.weights import main
from gcseg.data.label_spaces import LabelSpace
from gcseg.errors import WeightsError
from gcseg.runs.classes import check_classes, trained_classes
from gcseg.weights import describe, network_settings, own_record, read_checkpoint_file
from tests.commands.test_weights import narrow, network  # noqa: F401
from tests.weights.files import LEGACY


def shared(levels: int) -> list:
    """A list that takes a few bytes for each level, and unfolds to 10 ** levels values."""
    inner = ["x"] * 10
    for _ in range(levels - 1):
        inner = [inner] * 10
    return inner


def cyclic() -> dict:
    record = {"config": {}}
    record["config"]["again"] = record
    return record


def deep(levels: int) -> list:
    inner = []
    for _ in range(levels):
        inner = [inner]
    return inner


NOT_PLAIN = {
    "a name that is a number": ({"config": {"dataset": {1: "a"}}}, "1, not text"),
    "billions of values": ({"config": {"a": shared(9)}}, "unfolds to more than"),
    "a cycle": (cyclic(), "nested in more than"),
    "many levels": ({"config": {"a": deep(200)}}, "nested in more than"),
    "too many classes": ({"classes": ["x"] * 150_000, "colors": []}, "unfolds to more than"),
    "a tensor": ({"config": {"iters": torch.ones(3)}}, "type Tensor"),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
@pytest.mark.parametrize("arguments", [{}, LEGACY], ids=["zip", "legacy"])
def test_a_record_that_is_no_plain_data_is_refused(tmp_path, name, arguments):
    record, reason = NOT_PLAIN[name]
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"weight": torch.ones(3)}, "gcseg": record}, path, **arguments)
    with pytest.raises(WeightsError, match=reason) as error:
        read_checkpoint_file(path)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_record_in_safetensors_is_refused_likewise(tmp_path):
    for text, reason in (("{", "not JSON"), (json.dumps({"a": deep(200)}), "nested in")):
        save_file({"weight": torch.ones(3)}, tmp_path / "x", {"gcseg": text})
        with pytest.raises(WeightsError, match=reason):
            read_checkpoint_file(tmp_path / "x")


def test_a_record_is_a_copy_of_plain_values():
    colour = (1, 2, 3)
    record = own_record({"meta": {"gcseg": {"colors": [colour, colour]}}})
    assert record == {"colors": [[1, 2, 3], [1, 2, 3]]}
    assert record["colors"][0] is not record["colors"][1]
    for nothing in ({}, {"gcseg": [1]}, {"gcseg": None}, {"meta": [{"gcseg": {}}]}):
        assert own_record(nothing) == {}


ODD = (None, 5, -1, "8", [8], {"a": 8}, float("nan"), True)


def test_a_network_that_none_can_be(narrow):  # noqa: F811
    state = network(variant="v1c").state_dict()
    for value in ODD:
        for part, key in (("backbone", "output_stride"), ("backbone", "multi_grid"),
                          ("head", "dropout"), ("auxiliary_head", "dropout"),
                          ("head", "align_corners")):  # fmt: skip
            if (key, value) in (("align_corners", True), ("multi_grid", None)):
                continue
            with pytest.raises(WeightsError, match=rf"the file's record says {part}\.{key}="):
                describe(state, {"gcseg": {"config": {part: {key: value}}}})


NO_NAMES = ([], "text", 3, {"a": 1}, [[1, 2]], [1, 2], ["a", "a"], ["x"] * 300, None)
NO_COLORS = (["a"], "text", 3, {"a": 1}, [[1, 2]], [[1, 2, 999]], [[0, 0, 0.5]], [["0", 0, 0]])


def test_classes_that_are_none(tmp_path):
    odd = [{"classes": names, "colors": []} for names in NO_NAMES]
    odd += [{"classes": ["a", "b"], "colors": colors} for colors in NO_COLORS]
    for record in odd:
        with pytest.raises(WeightsError, match=r"^the checkpoint's c"):
            trained_classes({"gcseg": record})
        with pytest.raises(WeightsError, match=r"x\.ckpt: the checkpoint's c"):
            check_classes({"gcseg": record}, LabelSpace(("a", "b")), tmp_path / "x.ckpt")
    assert trained_classes({"gcseg": {"classes": ["a", "b"], "colors": []}}).names == ("a", "b")


RECORDS = (
    {"config": {"normalize": {"mean": "text"}, "backbone": []}},
    {"config": {"normalize": {"mean": [1, 2, 3], "std": [1, 2, float("inf")]}, "head": {"a": 1}}},
    {"network": {"backbone": {"variant": {"vd": 1}}, "protocol": {"name": ["a"]}}, "classes": 7},
)


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_commands_on_odd_records_end_in_one_line_or_well(narrow, tmp_path, capsys, record):  # noqa: F811
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": network(variant="v1c").state_dict(), "gcseg": record}, path)
    assert network_settings(describe(read_checkpoint_file(path).tensors, {"gcseg": record}))
    targets = [[str(tmp_path / f"y{suffix}")] for suffix in (".ckpt", ".safetensors", ".pth")]
    for arguments in (["info", str(path)], *(["convert", str(path), *to] for to in targets)):
        try:
            main(arguments)
        except SystemExit as end:
            assert end.code == 1
            assert "the file's record says" in capsys.readouterr().err
    for [target] in targets[:2]:
        read_checkpoint_file(target)


def test_what_is_shown_of_a_file_acts_on_no_terminal(narrow, tmp_path, capsys):  # noqa: F811
    path = tmp_path / "x.ckpt"
    state = {**network().state_dict(), "\x1b[31mred.mask": torch.ones(1)}
    torch.save({"state_dict": state, "\x1b[2J": 1, 7: 2}, path)
    main(["info", str(path)])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2J" in out
    assert "\\x1b[31mred.mask" in out
