"""results.json: merged, never half written, never thrown away; and its table."""

import json
from pathlib import Path

import pytest

from gcseg.engine.results import evaluation_record, merge_results, print_table, read_results
from gcseg.errors import OutputError
from gcseg.metrics import Scores


def record(miou=0.5):
    scores = Scores(miou, 0.75, {"sky": miou, "train": None})
    return evaluation_record(
        scores, split="val", images=3, seconds=1.23456, checkpoint=Path("a/best.ckpt")
    )


def test_record_has_what_the_file_promises():
    assert record() == {
        "split": "val",
        "checkpoint": "best.ckpt",
        "miou": 0.5,
        "pixel_accuracy": 0.75,
        "class_iou": {"sky": 0.5, "train": None},
        "images": 3,
        "seconds": 1.235,
    }


def test_evaluations_of_other_names_are_kept(tmp_path):
    path = tmp_path / "results.json"
    assert read_results(path) == {}
    merge_results(path, {"name": "a", "training": {"iters": 3}})
    merge_results(path, {"evaluations": {"none": record(0.1), "flip": record(0.2)}})
    merge_results(path, {"evaluations": {"flip": record(0.3)}})
    content = json.loads(path.read_text())
    assert content == read_results(path)
    assert content["name"] == "a" and content["training"] == {"iters": 3}
    assert content["evaluations"] == {"none": record(0.1), "flip": record(0.3)}
    assert list(tmp_path.iterdir()) == [path], "no temporary file stays"


@pytest.mark.parametrize("content", ["", "[1]", '{"name": "a"', "\x00"])
def test_a_damaged_file_is_kept(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(OutputError, match=r"results\.json is damaged \(.*\): move it away"):
        merge_results(path, {"name": "a"})
    assert path.read_text() == content


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    merge_results(path, {"name": "a"})
    before = path.read_text()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"results\.json can't be written \(No space left"):
        merge_results(path, {"name": "b"})
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_table_in_percent(capsys):
    print_table({"none": record(0.1234), "flip": record(0.5)}, title="a very long title " * 9)
    out = capsys.readouterr().out
    assert "a very long title " * 8 in out, "not wrapped"
    (sky,) = (line for line in out.splitlines() if "sky" in line)
    assert "12.34" in sky and "50.00" in sky
    (absent,) = (line for line in out.splitlines() if "train" in line)
    assert absent.count("-") == 2
    assert "mIoU" in out and "pixel accuracy" in out and "75.00" in out
