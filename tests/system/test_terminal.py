"""Progress in a log: numbers, rate and time left."""

from gcseg.system import terminal
from gcseg.system.terminal import progress_bar


def test_rate_and_time_left(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    with progress_bar("predicting", "images") as progress:
        for done in range(1, 8):
            now[0] = 4.0 * done
            progress(done, 1000)
        now[0] += 10
        progress(8, None)
    assert capsys.readouterr().err.splitlines() == [
        "predicting 3/1000, 0.25 images/s, 1:06:28 left",
        "predicting 6/1000, 0.25 images/s, 1:06:16 left",
        "predicting 8, 0.206 images/s",
    ]


def test_without_a_unit_there_is_no_rate(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    with progress_bar("checking") as progress:
        for done in (1, 2):
            now[0] += 12
            progress(done, 2)
    assert capsys.readouterr().err.splitlines() == ["checking 1/2", "checking 2/2"]
