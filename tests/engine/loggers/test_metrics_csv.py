"""metrics.csv: columns as they come, and what a continued run keeps."""

import csv
import random

import pytest

from gcseg.engine.loggers.metrics_csv import ContinuedCurves, MetricsCSV
from gcseg.errors import OutputError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "metrics.csv"


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def go_on(curves, checkpoint):
    """Begin a training that goes on from a checkpoint."""
    callback = ContinuedCurves(curves)
    callback.load_state_dict(checkpoint)
    callback.on_train_start(None, None)


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
        if step == 3:
            checkpoint = ContinuedCurves(curves).state_dict()
        curves.log_metrics({"loss": step / 2}, step=step)
    with path.open("a") as file:
        file.write("5,2.")  # the torn end of a run that was killed
    curves = MetricsCSV(path)
    go_on(curves, checkpoint)
    assert [row["step"] for row in rows(path)] == ["0", "1", "2"]
    curves.log_metrics({"loss": 9.0}, step=3)
    curves.log_metrics({"miou": 0.5}, step=3)
    assert rows(path)[2:] == [
        {"step": "2", "loss": "1.0", "miou": ""},
        {"step": "3", "loss": "9.0", "miou": ""},
        {"step": "3", "loss": "", "miou": "0.5"},
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_end_is_the_same_whatever_was_made_anew(path, seed):
    """Interrupted anywhere, also between two rows of one step, and where a column is new."""
    logged = []
    for step in range(12):
        logged.append(({"loss": step / 3, "epoch": 0, "train/images_per_second": seed}, step))
        if step % 4 == 3:
            logged.append(({"miou": step / 7, "epoch": 0}, step))

    def log(curves, first, last):
        for metrics, step in logged[first:last]:
            curves.log_metrics(metrics, step=step)

    log(MetricsCSV(path), 0, None)
    whole = path.read_bytes()
    assert b"images_per_second" not in whole and b"epoch" not in whole
    path.unlink()
    random_ = random.Random(seed)
    curves, checkpoint, saved = MetricsCSV(path), {"rows": 0}, 0
    for _ in range(6):
        go_on(curves, checkpoint)
        first, last = sorted(random_.randint(saved, len(logged)) for _ in "ab")
        log(curves, saved, first)
        checkpoint, saved = ContinuedCurves(curves).state_dict(), first
        log(curves, first, last)
        curves = MetricsCSV(path)
    go_on(curves, checkpoint)
    log(curves, saved, None)
    assert path.read_bytes() == whole


def test_rows_that_are_gone(path):
    """As where somebody removed the file: it goes on with what is there."""
    curves = MetricsCSV(path)
    curves.log_metrics({"loss": 1.0}, step=0)
    go_on(curves, {"rows": 7})
    assert curves.rows == 1
    curves.log_metrics({"loss": 1.0}, step=7)
    assert [row["step"] for row in rows(path)] == ["0", "7"]


def test_nothing_to_continue(path):
    curves = MetricsCSV(path)
    ContinuedCurves(curves).on_train_start(None, None)
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


def test_scores_of_the_end_are_one_row_however_often_they_are_made(path):
    curves = MetricsCSV(path)
    curves.log_metrics({"loss": 0.5}, step=7)
    curves.log_metrics({"eval/none/miou": 0.25}, step=8)
    again = MetricsCSV(path)  # as of another process, which scores the same training
    again.log_metrics({"eval/flip/miou": 0.5}, step=8)
    again.log_metrics({"eval/flip/miou": 0.75}, step=8)
    scored = {"eval/none/miou": "0.25", "eval/flip/miou": "0.75"}
    assert rows(path)[1:] == [{"step": "8", "loss": "", **scored}]


def test_scores_alone(path):
    MetricsCSV(path).log_metrics({"eval/none/miou": 0.25}, step=8)
    assert rows(path) == [{"step": "8", "eval/none/miou": "0.25"}]


def test_what_differs_from_run_to_run_is_left_out(path):
    MetricsCSV(path).log_metrics({"loss": 1.0, "train/memory_bytes": 2.0}, step=0)
    assert rows(path) == [{"step": "0", "loss": "1.0"}]
