"""Links in a folder that was unpacked lead nothing out of it: no write, no removal, no record."""

import html
import json
import shutil
from dataclasses import replace

import pytest

from gcseg.errors import OutputError
from gcseg.report.sweep.trainings import read_trainings
from gcseg.report.sweep.write import write_summary
from gcseg.runs.folder import run_folder_of
from gcseg.runs.results import merge_results
from gcseg.sweeps.ledger import shown_jobs
from gcseg.sweeps.process import JobProcess
from gcseg.system.links import leads_out, refuse_links
from tests.security.payloads import snapshot
from tests.sweeps.commands import stubs_path, use_stubs
from tests.sweeps.jobs import grid, ledger


@pytest.fixture
def folder(training, tmp_path):
    """A run folder of a stranger's."""
    return shutil.copytree(training.folder, tmp_path / "given")


@pytest.fixture
def outside(tmp_path):
    """A folder of one's own, with a file that a killed process seems to have left."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / ".mine.png.4194304.1.partial").write_text("mine")
    return path


def link(path, target):
    """Put a link in the place of what is there."""
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        shutil.move(path, path.with_name(f"{path.name}.before"))
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("command", "place", "options"),
    [
        ("predict", "predictions", ["limit=1"]),
        ("predict", "predictions/masks", ["limit=1"]),
        ("predict", "predictions/pictures", ["limit=1"]),
        ("attention", "attention/pictures", ["limit=1"]),
        ("eval", "confusion", []),
        ("eval", "analysis", ["explain=true"]),
    ],
)
def test_no_folder_of_outputs_leads_out(command, place, options, run, folder, outside, tmp_path):
    link(folder / place, outside)
    before = snapshot(tmp_path)
    error = run(command, f"checkpoint={folder}", *options).error
    assert f"{folder / place} is a link to a place outside {folder}: remove it" in error
    assert snapshot(tmp_path) == before


def test_where_one_says_output_it_goes(run, folder, outside):
    link(folder / "predictions", outside)
    outcome = run("predict", f"checkpoint={folder}", "limit=1", f"output={outside}")
    assert outcome.status == 0, outcome.err
    assert (outside / "overview.png").exists()


@pytest.mark.parametrize("settings", [True, False])
@pytest.mark.parametrize("place", ["checkpoints", "checkpoints/best.ckpt"])
def test_a_checkpoint_of_another_run_folder_writes_nothing_into_it(
    place, settings, run, training, folder, tmp_path
):
    """As a link in the folder it is no checkpoint of that folder either."""
    victim = shutil.copytree(training.folder, tmp_path / "victim")
    link(folder / place, victim / place)
    if not settings:
        (folder / "config.yaml").unlink()
    before = snapshot(victim, folder)
    for command in ("eval", "predict"):
        outcome = run(command, f"checkpoint={folder}", "run_root=mine")
        assert outcome.status == 0, outcome.err
    assert snapshot(victim, folder) == before
    (mine,) = (tmp_path / "mine").iterdir()
    assert {"results.json", "predictions"} <= {path.name for path in mine.iterdir()}


def test_links_that_one_names_are_followed(run, training, folder, tmp_path):
    """To a run folder as a whole; to a checkpoint alone, whose results go to run_root=."""
    (tmp_path / "whole").symlink_to(folder)
    outcome = run("predict", "checkpoint=whole", "limit=1")
    assert outcome.status == 0, outcome.err
    assert (folder / "predictions" / "overview.png").exists()
    (tmp_path / "one.ckpt").symlink_to(folder / "checkpoints" / "best.ckpt")
    before = snapshot(folder)
    outcome = run("predict", "checkpoint=one.ckpt", "limit=1", "run_root=mine")
    assert outcome.status == 0, outcome.err
    assert snapshot(folder) == before
    (mine,) = (tmp_path / "mine").iterdir()
    assert mine.name.startswith("one-") and (mine / "predictions" / "overview.png").exists()


def test_links_that_stay_in_the_folder_are_followed(folder):
    checkpoints = folder / "checkpoints"
    (folder / "kept").mkdir()
    (checkpoints / "best.ckpt").rename(folder / "kept" / "best.ckpt")
    (checkpoints / "best.ckpt").symlink_to("../kept/best.ckpt")
    refuse_links(folder)
    found = run_folder_of(checkpoints / "best.ckpt")
    assert found is not None and found.path == folder


def test_links_of_all_kinds(folder, outside):
    (folder / "circle").symlink_to("circle")
    assert leads_out(folder / "circle", folder)
    (folder / "nothing").symlink_to("nowhere")
    assert not leads_out(folder / "nothing" / "below", folder)
    (folder / "up").symlink_to("..")
    assert leads_out(folder / "up" / "outside", folder)
    assert not leads_out(folder / "up" / folder.name / "config.yaml", folder)


@pytest.mark.parametrize("place", ["checkpoints", "analysis", "confusion", "metrics.csv"])
def test_no_training_goes_on_outside(place, train, training, outside, tmp_path):
    """In an unfinished run folder, which the same command finds."""
    folder = tmp_path / "runs" / training.folder.name
    shutil.copytree(training.folder, folder)
    (folder / "results.json").unlink()
    if place == "metrics.csv":
        outside = outside / "table.csv"
        shutil.copy(folder / place, outside)
    link(folder / place, outside)
    before = snapshot(tmp_path)
    error = train().error
    assert f"{place} is a link to a place outside " in error
    assert snapshot(tmp_path) == before


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.json"
    path.write_text('{"token": "correct-horse-battery"}')
    return path


def test_results_are_not_gone_on_with_where_a_link_leads(run, train, folder, secret, tmp_path):
    link(folder / "results.json", secret)
    before = snapshot(tmp_path)
    error = run("eval", f"checkpoint={folder}").error
    assert f"{folder / 'results.json'} is a link to a place outside {folder}" in error
    assert snapshot(tmp_path) == before
    with pytest.raises(OutputError, match="a link to a place outside its folder"):
        merge_results(folder / "results.json", {"evaluations": {}})


def test_settings_are_not_read_where_a_link_leads(run, folder, training, tmp_path):
    shutil.copy(folder / "config.yaml", tmp_path)
    link(folder / "config.yaml", tmp_path / "config.yaml")
    for key, command in {"run": "report", "checkpoint": "eval"}.items():
        error = run(command, f"{key}={folder}").error
        assert f"{folder / 'config.yaml'} is damaged (it is a link to a place outside" in error
    (folder / "config.yaml").unlink()
    link(folder / "checkpoints", training.folder / "checkpoints")
    assert "is not a run folder" in run("report", f"run={folder}").error


@pytest.mark.parametrize("place", ["analysis/none.csv", "checkpoints"])
def test_a_report_shows_nothing_that_a_link_leads_to(place, run, folder, tmp_path):
    assert run("eval", f"checkpoint={folder}", "explain=true").status == 0
    (folder / place).rename(tmp_path / "elsewhere")
    (folder / place).symlink_to(tmp_path / "elsewhere")
    outcome = run("report", f"run={folder}")
    assert outcome.status == 0, outcome.err
    assert "There are no pictures" in outcome.err and "a link to a place outside" in outcome.err


def test_a_run_root_may_be_a_link(train, tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "runs").symlink_to("scratch")
    outcome = train("iters=1")
    assert outcome.status == 0, outcome.err
    (folder,) = (tmp_path / "scratch").iterdir()
    assert json.loads((folder / "results.json").read_text())["evaluations"]


@pytest.mark.parametrize(
    "place", ["jobs", "jobs/0", "jobs/0/console.log", "multirun.yaml", "ledger.sqlite"]
)
def test_no_sweep_goes_on_outside(place, run, monkeypatch, outside, tmp_path):
    use_stubs(monkeypatch)
    folder = tmp_path / "given"
    options = ["-m", "accelerator=cpu", "seed=0,1", f"hydra.sweep.dir={folder}"]
    (folder / "jobs" / "0").mkdir(parents=True)
    if place.count("."):
        outside = outside / "mine"
        outside.write_text("mine\n")
    link(folder / place, outside)
    before = snapshot(tmp_path)
    outcome = run("train", *options, PYTHONPATH=stubs_path())
    assert f"{folder / place} is a link to a place outside {folder}" in outcome.error
    assert snapshot(tmp_path) == before


def test_a_sweep_folder_may_be_a_link(run, monkeypatch, tmp_path):
    use_stubs(monkeypatch)
    (tmp_path / "scratch").mkdir()
    (tmp_path / "given").symlink_to("scratch")
    options = ["-m", "accelerator=cpu", "seed=0,1", "hydra.sweep.dir=given"]
    outcome = run("train", *options, PYTHONPATH=stubs_path())
    assert outcome.status == 0, outcome.err
    assert (tmp_path / "scratch" / "jobs" / "1" / "console.log").exists()


def test_no_console_log_is_a_link(tmp_path):
    """Not even one within the folder of the sweep, which may be any file of it."""
    (tmp_path / "0").mkdir()
    (tmp_path / "mine").write_text("mine\n")
    (tmp_path / "0" / "console.log").symlink_to("../mine")
    with pytest.raises(
        OutputError, match=(r"console\.log can't be written " r"\(it is not a regular file")
    ):
        JobProcess({}, tmp_path / "0", tmp_path, {})
    assert (tmp_path / "mine").read_text() == "mine\n"


@pytest.fixture
def sweep(tmp_path):
    """The folder of a stranger's sweep whose one job names one's own run folder as its run."""

    def sweep(run):
        (done,) = grid(modes=["none"])
        job = replace(done, run=str(run), log=str(tmp_path / "log"))
        return ledger(tmp_path / "stranger" / "sweeps" / "s", [job])

    return sweep


@pytest.mark.parametrize("how", ["named", "link", "job", "parent"])
def test_a_sweep_shows_no_run_folder_elsewhere(how, run, sweep, training, tmp_path):
    """Whether the ledger names it, or a link that the sweep came with leads to it."""
    victim = shutil.copytree(training.folder, tmp_path / "victim")
    environment = json.loads((victim / "environment.json").read_text())
    (victim / "environment.json").write_text(json.dumps({**environment, "gpus": ["mine"]}))
    named = {"link": tmp_path / "stranger" / "r", "parent": tmp_path / "stranger" / ".." / "victim"}
    given = sweep(named.get(how, victim if how == "named" else tmp_path / "nowhere"))
    if how == "link":
        (tmp_path / "stranger" / "r").symlink_to(victim)
    if how == "job":
        (given / "jobs").mkdir()
        (given / "jobs" / "0").symlink_to(victim)
    outcome = run("report", f"sweep={given}")
    assert outcome.status == 0, outcome.err
    page = (given / "report.html").read_text()
    assert "val_every" not in page and str(training.folder.parent) not in page
    told = "is gone" if how == "job" else f"is not in {tmp_path / 'stranger'}"
    assert told in html.unescape(page)
    trainings = read_trainings(given, shown_jobs(given / "ledger.sqlite", []))
    (found,) = trainings.values()
    assert not (found.config or found.results or found.environment or found.curve())
    write_summary(given, shown_jobs(given / "ledger.sqlite", []))
    assert str(json.loads((victim / "results.json").read_text())["training"]["seconds"]) not in (
        (given / "sweep.csv").read_text()
    )


def test_run_folders_elsewhere_are_shown_where_one_says_run_root(run, sweep, training, tmp_path):
    victim = shutil.copytree(training.folder, tmp_path / "victim")
    given = sweep(victim)
    assert run("report", f"sweep={given}", f"run_root={tmp_path}").status == 0
    assert "is not in" not in (given / "report.html").read_text()
    (found,) = read_trainings(given, shown_jobs(given / "ledger.sqlite", []), tmp_path).values()
    assert found.folder == victim and found.config["val_every"] == 2
