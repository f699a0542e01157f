"""The record of an export is data, and is checked."""

import json

import pytest

from gcseg.errors import WeightsError
from gcseg.exports.record import as_text, checked_record
from tests.exports.test_form import form

RECORD = {"export": {"precision": "fp32", **form().plain()}, "proof": None}


def test_a_record_is_read_back():
    assert checked_record(as_text(RECORD), "a.onnx") == RECORD


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("output", "files"),
        ("preprocessing", 1),
        ("mean", [1e99]),
        ("std", [0, 0, 0]),
        ("std", [1, 1]),
        ("full", -1),
        ("num_classes", 10**9),
        ("precision", None),
    ],
)
def test_a_damaged_record_is_refused(name, value):
    export = {**RECORD["export"], name: value}
    with pytest.raises(WeightsError, match=r"the record in a\.onnx is damaged"):
        checked_record(json.dumps({**RECORD, "export": export}), "a.onnx")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"export": 1}', '{"export": {}, "proof": 3}'])
def test_another_text_is_refused(text):
    with pytest.raises(WeightsError, match="damaged"):
        checked_record(text, "a.onnx")


def test_a_file_without_a_record_is_refused():
    with pytest.raises(WeightsError, match="has no record of gcseg"):
        checked_record(None, "a.onnx")
