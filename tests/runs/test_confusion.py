"""Confusion matrices as files."""

import csv

import pytest
import torch

from gcseg.runs.confusion import keep_confusion, safe_name


@pytest.mark.parametrize("name", ["none", "msflip", "my-mode.2"])
def test_a_plain_name_stays(name):
    assert safe_name(name) == name


def test_any_name_becomes_a_file_name_of_its_own():
    names = [
        "msflip@0.5,1.0@probabilities",
        "msflip@0.5,1.0:probabilities",
        "msflip_0.5_1.0_probabilities",
        "none@../../up",
        "none@" + "x" * 300,
        "none@" + "x" * 301,
        "none@mean[0.5, 0.5]std[1, 1]",
    ]
    files = [safe_name(name) for name in names]
    assert len(set(files)) == len(names)
    for file in files:
        assert "/" not in file and len(file) < 100 and file.isascii() and not file.startswith(".")


def test_each_record_names_its_file(tmp_path):
    first, second = torch.tensor([[2**40, 1], [0, 3]]), torch.tensor([[1, 2], [3, 4]])
    evaluations = {"none": {"miou": 0.5}, "flip@0.5,1.0": {"miou": 0.6}}
    matrices = {"none": first, "flip": second}
    records = keep_confusion(tmp_path / "results.json", evaluations, matrices, ["a, b", "c"])
    assert list(records) == list(evaluations)
    for (name, record), wanted in zip(records.items(), (first, second), strict=True):
        assert record["miou"] == evaluations[name]["miou"]
        with (tmp_path / record["confusion"]).open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["true \\ predicted", "a, b", "c"]
        assert [row[0] for row in rows[1:]] == ["a, b", "c"]
        assert [[int(count) for count in row[1:]] for row in rows[1:]] == wanted.tolist()
    assert "confusion" not in evaluations["none"], "what was given is left as it is"
