"""What a sweep's report reads of run folders."""

import json

from gcseg.report.sweep import trainings as module
from gcseg.report.sweep.trainings import read_trainings
from gcseg.sweeps.ledger import Job


def test_a_run_folder_is_read_once_by_however_many_jobs_it_is_named(tmp_path, monkeypatch):
    run, sweep = tmp_path / "run", tmp_path / "sweeps" / "s"
    run.mkdir()
    (run / "config.yaml").write_text("batch_size: 2")
    (run / "results.json").write_text(json.dumps({"training": {"iters": 3, "seconds": 36.0}}))
    (run / "metrics.csv").write_text("step,val/miou\n1,0.5\n")
    (tmp_path / "link").symlink_to(run)
    names = [str(run), f"{run}/../run", str(tmp_path / "link")]
    jobs = [Job(f"k{n}", n, (), f"t{n}", {}, "done", run=name) for n, name in enumerate(names)]
    read = []
    for name in ("shown_record", "shown_curves"):
        known = getattr(module, name)

        def counted(*arguments, known=known, **options):
            read.append(arguments[1:2])
            return known(*arguments, **options)

        monkeypatch.setattr(module, name, counted)
    found = read_trainings(sweep, jobs)
    assert [one.curve() for one in found.values()] == [{2: 0.5}] * 3
    assert [one.hours for one in found.values()] == [0.01] * 3
    assert len(read) == 4  # config.yaml, environment.json, results.json, metrics.csv


def test_what_is_lost_is_told_for_each_training(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("batch_size: 2")
    jobs = [
        Job("a", 0, (), "t", {}, "done", run=str(run)),
        Job("b", 1, (), "u", {}, "running", run=str(run)),
    ]
    found = read_trainings(tmp_path / "sweeps" / "s", jobs)
    assert [one.lost for one in found.values()] == [["results.json is missing"], []]
