"""python -m gcseg.sweeps, and seeds= of python -m gcseg.train."""

import json
import sys
from dataclasses import replace

import pytest
import yaml

from gcseg.commands.sweeps import main
from gcseg.config.seeds import expand_seeds
from gcseg.report.sweep import scores
from gcseg.report.sweep.costs import read_timings
from tests.sweeps.jobs import grid, ledger


@pytest.fixture
def sweeps(capsys):
    """Run `python -m gcseg.sweeps`, and return what it prints."""

    def run(*arguments):
        main([str(argument) for argument in arguments])
        return capsys.readouterr().out

    return run


@pytest.fixture
def error(capsys):
    """Run it, and return the one line of its error."""

    def run(*arguments):
        with pytest.raises(SystemExit, match="1"):
            main([str(argument) for argument in arguments])
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("error: ")

    return run


def runs(folder, *scores, seeds=None, **settings):
    """Run folders with these scores of plain and, half a point higher, flip."""
    folder.mkdir(parents=True)
    for number, score in enumerate(scores):
        seed = number if seeds is None else seeds[number]
        evaluations = {"none": {"miou": score}, "flip": {"miou": score + 0.005}}
        results = {"dataset": "camvid", "iters": 20, "seed": seed, **settings}
        path = folder / f"run{number}" / "results.json"
        path.parent.mkdir()
        path.write_text(json.dumps({**results, "evaluations": evaluations}))
    return f"{folder}/*"


def better(combination, seed, mode):
    return 0.6 + 0.02 * (combination[0] == "r50") + 0.001 * seed


def test_list_counts_the_jobs(sweeps, tmp_path):
    ledger(tmp_path / "sweeps" / "one", grid(backbone=["r18", "r50"], fail=[1]))
    ledger(tmp_path / "sweeps" / "two", grid(fail=[0, 1], state="pending"))
    (tmp_path / "sweeps" / "damaged").mkdir()
    (tmp_path / "sweeps" / "damaged" / "ledger.sqlite").write_text("no database at all" * 100)
    lines = sweeps("list", "--run-root", tmp_path).splitlines()
    (one,) = [line for line in lines if "sweeps/one" in line]
    (two,) = [line for line in lines if "sweeps/two" in line]
    assert [cell.strip() for cell in one.split("│")][-4:-1] == ["6", "5", "1"]
    assert [cell.strip() for cell in two.split("│")][-5:-1] == ["2 pending", "3", "1", "0"]
    assert "backbone=r18,r50 tta=none,flip,msflip" in one
    assert lines[-1].startswith("damaged: ") and "can't be read" in lines[-1]


def test_each_jobs_overrides_are_taken_apart_once(sweeps, tmp_path, monkeypatch):
    ledger(tmp_path / "sweeps" / "one", grid(backbone=["r18", "r50"], head=["fcn", "gc"]))
    taken = []
    known = scores._overrides
    monkeypatch.setattr(scores, "_overrides", lambda job: taken.append(job.number) or known(job))
    sweeps("list", "--run-root", tmp_path)
    assert sorted(taken) == list(range(12))


def test_list_without_sweeps(error, tmp_path):
    assert error("list", "--run-root", tmp_path) == (
        f"there is no sweep in {tmp_path}/sweeps: give another --run-root"
    )


def test_show_says_what_became_of_each_job_and_the_scores(sweeps, tmp_path):
    folder = ledger(tmp_path / "a", grid(backbone=["r18", "r50"], fail=[1], scores=better))
    out = sweeps("show", folder)
    (failed,) = [line for line in out.splitlines() if "console.log" in line and "│ 1 " in line]
    assert all(word in failed for word in ("r18", "flip", "failed", "jobs/1/"))
    assert "62.00" in out and f"{folder}: 6 jobs" in out
    assert out.splitlines()[-1].startswith("failed: job 1 (backbone=r18 tta=flip): out of memory")
    assert not (folder / "sweep.csv").exists()


def test_show_of_chosen_classes(sweeps, error, tmp_path):
    def with_classes(job):
        of = {"pole": job.settings["seed"] / 100 + 0.2, "sign": None, "road": 0.9}
        records = {mode: {**record, "class_iou": of} for mode, record in job.evaluations.items()}
        return replace(job, evaluations=records)

    jobs = grid(backbone=["r18", "r50"], modes=["none"], seeds=(0, 2))
    folder = ledger(tmp_path / "a", list(map(with_classes, jobs)))
    out = sweeps("show", folder, "--classes", "pole,sign")
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines()]
    assert ["plain", "r50", "21.00 ± 1.41", "-", "21.00 ± 1.41"] in cells
    message = error("show", folder, "--classes", "pole,mole")
    assert message == "--classes mole: no job has a score of that class: use pole, sign, road"


def test_show_has_short_names_of_folders_and_logs(sweeps, tmp_path):
    folder = tmp_path / "a"
    (job,) = grid(modes=["none"])
    log = str(folder / "jobs" / "0" / "console.log")
    ledger(folder, [replace(job, run=f"{tmp_path}/runs/r18-gc", log=log)])
    row = sweeps("show", folder).splitlines()[4]
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    assert cells == ["0", "done", "2 s", "r18-gc", "jobs/0/console.log"]


def test_list_shortens_what_varies(sweeps, tmp_path):
    ledger(tmp_path / "sweeps" / "one", grid(modes=["none"], lr=[n / 1000 for n in range(1, 40)]))
    out = sweeps("list", "--run-root", tmp_path)
    assert "lr=0.001,0.002," in out and "0.038" not in out and "… │" in out


def test_show_while_nothing_is_finished(sweeps, tmp_path):
    folder = ledger(tmp_path / "a", grid(fail=range(3), state="pending"))
    assert sweeps("show", folder).splitlines()[-1] == "pending: 3 jobs (0, 1, 2)"


def test_watch_ends_when_all_jobs_have(sweeps, tmp_path, monkeypatch):
    jobs = grid(modes=["none"], fail=[0], state="pending")
    folder = ledger(tmp_path / "a", jobs)
    waits = []

    def finish(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            ledger(folder, grid(modes=["none"]))

    monkeypatch.setattr("gcseg.commands.sweeps.time.sleep", finish)
    out = sweeps("show", folder, "--watch", "5")
    assert waits == [5.0, 5.0] and out.count(": 1 job\n") == 3 and "50.00" in out


def test_show_of_another_folder(error, tmp_path):
    message = error("show", tmp_path)
    assert message.startswith(f"{tmp_path} is not a sweep folder (no ledger.sqlite): ")
    assert list(tmp_path.iterdir()) == []


def test_compare_runs_that_differ(sweeps, tmp_path):
    first = runs(tmp_path / "a", 0.600, 0.601, 0.602)
    out = sweeps("compare", first, runs(tmp_path / "b", 0.620, 0.621, 0.622))
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines()]
    assert ["plain", "A", "3", "60.10", "0.10", "59.85 to 60.35"] in cells
    assert ["", "B - A", "", "+2.00", "", "+1.77 to +2.23"] in cells
    sentence = "B is higher by 2.00, which is more than the noise (+1.77 to +2.23)."
    assert out.splitlines()[-2:] == [f"plain: {sentence}", f"flip: {sentence}"]


def test_compare_runs_within_the_noise_in_one_mode(sweeps, tmp_path):
    first = runs(tmp_path / "a", 0.60, 0.62, 0.61)
    out = sweeps("compare", first, runs(tmp_path / "b", 0.61, 0.63, 0.60), "--mode", "flip")
    assert "plain" not in out
    assert out.splitlines()[-1].startswith("flip: the difference of +0.33 is within the noise (-")


def test_compare_single_runs(sweeps, tmp_path):
    out = sweeps("compare", runs(tmp_path / "a", 0.6), runs(tmp_path / "b", 0.59))
    assert out.splitlines()[-2] == (
        "plain: B is lower by 1.00, but A and B have one run each, which tells nothing about "
        "noise; seeds=3 trains several."
    )


def test_compare_takes_sweeps_settings_of_them_and_lists(sweeps, tmp_path):
    two = grid(backbone=["r18", "r50"], seeds=(0, 1, 2), modes=["none"], scores=better)
    folder = ledger(tmp_path / "two", two)
    one = ledger(tmp_path / "one", grid(seeds=(0, 1), modes=["none"], scores=lambda *_: 0.6))
    out = sweeps("compare", f"{folder}:backbone=r18", f"{folder}:backbone=r50")
    assert "B is higher by 2.00, which is more than the noise" in out
    runs(tmp_path / "c", 0.7, 0.71)
    listed = ",".join(f"{tmp_path}/c/run{number}" for number in (0, 1, 1))
    out = sweeps("compare", one, listed)
    assert "plain: B is higher by 10.50" in out and "│ B     │    2 │" in out


def test_compare_says_what_speaks_against_it(sweeps, tmp_path):
    first = runs(tmp_path / "a", 0.60, 0.61, seeds=[4, 4])
    second = runs(tmp_path / "b", 0.60, 0.61, dataset="voc")
    (tmp_path / "b" / "begun").mkdir()
    (tmp_path / "b" / "begun" / "config.yaml").touch()
    results = tmp_path / "b" / "run0" / "results.json"
    results.write_text(results.read_text().replace('"iters": 20', '"iters": 40'))
    notes = [line for line in sweeps("compare", first, second).splitlines() if "note: " in line]
    assert notes == [
        "note: several runs of A have seed 4, and may be alike for that reason",
        "note: without a score in plain: 1 of the 3 runs of B",
        "note: without a score in flip: 1 of the 3 runs of B",
        "note: the runs of B differ in iters: 20, 40",
        "note: A is of camvid, B of voc",
    ]


def test_compare_refuses_what_has_no_answer(error, tmp_path):
    one = runs(tmp_path / "a", 0.6)
    assert error("compare", one, tmp_path / "none").startswith(
        f"{tmp_path}/none is neither a run folder nor a sweep folder: "
    )
    assert error("compare", one, one, "--mode", "msflip") == (
        "--mode msflip is not scored on both sides; both have none, flip: use one of those"
    )
    folder = ledger(tmp_path / "s", grid(backbone=["r18", "r50"]))
    assert error("compare", folder, one) == (
        f"{folder} is 2 settings of the sweep: choose one as FOLDER:'NAME=VALUE ...', of "
        "backbone=r18; backbone=r50"
    )
    assert f"{folder}:backbone=r34 is no setting of the sweep" in error(
        "compare", f"{folder}:backbone=r34", one
    )
    empty = ledger(tmp_path / "e", grid(fail=range(3)))
    assert "has no score yet" in error("compare", one, empty)
    (tmp_path / "a" / "run0" / "results.json").write_text('{"evaluations": [')
    assert "results.json is damaged" in error("compare", one, one)


def expanded(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gcseg.train", *arguments])
    expand_seeds(arguments)
    return sys.argv[1:]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("iters=3", "iters=3"),
        ("seeds=3", "seed=0,1,2 --multirun"),
        ("-m iters=3,4 seeds=2", "-m seed=0,1 iters=3,4"),
        ("seeds=2 backbone=r18,r50 seed=5", "seed=5,6 backbone=r18,r50 --multirun"),
        ("seeds=1", "seed=0 --multirun"),
        ("seeds=2 sweep=backbone_iters_tta", "seed=0,1 sweep=backbone_iters_tta --multirun"),
        ("seeds=null iters=3", "iters=3"),
        ("seeds=3 --cfg job", "--cfg job"),
        ("seeds=3 --cfg=job", "--cfg=job"),
    ],
)
def test_seeds_are_a_multirun(monkeypatch, given, expected):
    assert expanded(monkeypatch, *given.split()) == expected.split()


@pytest.mark.parametrize("given", ["-m iters=6,12", "--multirun iters=6,12 seeds=2", "iters=6"])
def test_information_on_a_multirun_is_that_on_its_first_job(run, given):
    outcome = run("train", *given.split(), "--cfg", "job")
    assert outcome.status == 0, outcome.err
    assert yaml.safe_load(outcome.out)["iters"] == 6


def test_seeds_count_from_that_of_a_file(monkeypatch, tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "mine.yaml").write_text("# @package _global_\nseed: 7\n")
    options = ("small=mine", "--config-dir", str(tmp_path))
    assert expanded(monkeypatch, "seeds=2", *options) == ["seed=7,8", *options, "--multirun"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("seeds=3 seed=1,2", "seeds=3 with seed=1,2: give one of the two"),
        ("seeds=0", "seeds=0: give a whole number of seeds, 1 to 1,000, or null"),
        ("seeds=2,3", "seeds=2,3: give one number"),
        ("seeds=true", "seeds=true: give a whole number of seeds, 1 to 1,000, or null"),
        ("seeds=two", "seeds=two: give a whole number of seeds, 1 to 1,000, or null"),
        ("seeds=2 seed=-1", "seed=-1: give a whole number, 0 or more"),
        ("seeds=2 seed=4294967295", "seeds=2 from seed=4294967295: the largest seed is 4294967295"),
    ],
)
def test_wrong_seeds_are_one_line(run, given, message):
    assert run("train", *given.split()).error == message


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("seeds: 3", "", "seeds=3 in a file: give it on the command line, or sweep seed"),
        (
            "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}}",
            "seeds=2",
            "seeds=2 where a file sweeps seed=1,2: give one of the two",
        ),
        (
            "hydra: {sweeper: {_target_: somewhere.OptunaSweeper}}",
            "seeds=2",
            "seeds=2 with somewhere.OptunaSweeper, which would search for a seed: search first",
        ),
    ],
)
def test_seeds_and_files(run, tmp_path, content, arguments, message):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "mine.yaml").write_text(f"# @package _global_\n{content}\n")
    outcome = run("train", "small=mine", "--config-dir", str(tmp_path), *arguments.split())
    assert outcome.error.startswith(message)


@pytest.mark.slow
def test_seeds_train_and_are_summed_up(train, tmp_path):
    outcome = train("seeds=2", "tta=none,flip")
    assert outcome.status == 0, outcome.err
    names = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "runs").glob("*-gc-*"))
    assert [name[-2:] for name in names] == ["s0", "s1"]
    (folder,) = (tmp_path / "runs" / "sweeps").iterdir()
    text = (folder / "sweep.txt").read_text()
    assert "mean ± standard deviation over seeds" in text and "| plain | " in text
    assert "networks in turn" in text and len(read_timings(folder)["networks"]) == 1
    alone = train("seed=1")  # the same run: the number of seeds is not part of its name
    assert alone.status == 0 and len(list((tmp_path / "runs").glob("*-gc-*"))) == 2
