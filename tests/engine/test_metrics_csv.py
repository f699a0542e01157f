"""metrics.csv: columns as they come, and what a continued run keeps."""

import csv

import pytest

from gcseg.engine.metrics_csv import MetricsCSV
from gcseg.errors import OutputError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "metrics.csv"


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_and_columns_appear_as_they_are_logged(path):
    curves = MetricsCSV(path)
    curves.log_metrics({"loss": 2.5, "epoch": 0}, step=0)
    curves.log_metrics({"loss": 1.5, "epoch": 0}, step=1)
    curves.log_metrics({"miou": 0.25}, step=1)
    curves.log_metrics({"loss": 0.0}, step=2)
    assert rows(path) == [
        {"step": "0", "loss": "2.5", "miou": ""},
        {"step": "1", "loss": "1.5", "miou": ""},
        {"step": "1", "loss": "", "miou": "0.25"},
        {"step": "2", "loss": "0.0", "miou": ""},
    ]
    assert path.read_bytes().count(b"\r\n") == 5, "one line ending throughout"


def test_an_interrupted_run_goes_on_in_its_file(path):
    curves = MetricsCSV(path)
    for step in range(5):
        curves.log_metrics({"loss": step / 2}, step=step)
    curves = MetricsCSV(path)
    curves.continue_from(3)  # the checkpoint was written when steps 0, 1 and 2 were done
    assert [row["step"] for row in rows(path)] == ["0", "1", "2"]
    curves.log_metrics({"loss": 9.0}, step=3)
    curves.log_metrics({"miou": 0.5}, step=3)
    assert rows(path)[2:] == [
        {"step": "2", "loss": "1.0", "miou": ""},
        {"step": "3", "loss": "9.0", "miou": ""},
        {"step": "3", "loss": "", "miou": "0.5"},
    ]


def test_nothing_to_continue(path):
    curves = MetricsCSV(path)
    curves.continue_from(0)
    assert not path.exists()
    curves.log_metrics({"loss": 1.0}, step=0)
    assert len(rows(path)) == 1


def test_names_that_need_quotes(path):
    curves = MetricsCSV(path)
    names = ["iou/traffic sign, back", 'iou/"other"']
    curves.log_metrics({names[0]: 0.5}, step=0)
    curves.log_metrics({names[1]: 0.25}, step=1)
    assert [row[names[0]] for row in rows(path)] == ["0.5", ""]
    assert [row[names[1]] for row in rows(path)] == ["", "0.25"]


def test_the_logger_has_the_name_of_its_run(path):
    curves = MetricsCSV(path)
    assert (curves.name, curves.version) == ("run", "")
    curves.log_hyperparams({"lr": 0.1})
    assert not path.exists()


def test_unwritable(tmp_path):
    (tmp_path / "file").write_text("")
    curves = MetricsCSV(tmp_path / "file" / "metrics.csv")
    with pytest.raises(OutputError, match=r"file/metrics\.csv can't be written \(.+\): free space"):
        curves.log_metrics({"loss": 1.0}, step=0)


def test_the_file_turns_unwritable(path, monkeypatch):
    curves = MetricsCSV(path)
    curves.log_metrics({"loss": 1.0}, step=0)
    path.unlink()
    path.mkdir()  # root may write to any file
    with pytest.raises(OutputError, match=r"metrics\.csv can't be written \(Is a directory\)"):
        curves.log_metrics({"loss": 1.0}, step=1)
