"""The report of a training, python -m gcseg.report, and gcseg.eval explain=true."""

import csv
import json
import shutil

import pytest

from tests.running import TINY, only_run, start

SCENES = ("num_workers=0", "accelerator=cpu")


@pytest.fixture(scope="module")
def reported(data, tmp_path_factory):
    """A finished training with its report, not to be changed."""
    from tests import running

    cwd = tmp_path_factory.mktemp("reported")
    outcome = running.run("train", *TINY, "report=true", cwd=cwd, GCSEG_DATA=str(data))
    assert outcome.status == 0, outcome.err
    return only_run(cwd / "runs"), outcome


@pytest.fixture
def folder(reported, tmp_path):
    return shutil.copytree(reported[0], tmp_path / "runs" / reported[0].name)


def evaluations(folder):
    return json.loads((folder / "results.json").read_text())["evaluations"]


def test_a_training_ends_with_a_report_and_an_analysis(reported):
    folder, outcome = reported
    page = (folder / "report.html").read_text()
    assert folder.name in page and page.count("data:image") >= 9, "pictures of three images"
    assert f"report.html: runs/{folder.name}/report.html" in outcome.out
    record = evaluations(folder)["none"]
    found = json.loads((folder / record["analysis"]).read_text())
    assert record["boundary_miou"] == found["boundary"]["miou"]
    assert record["ece"] == found["calibration"]["ece"]
    assert found["conventions"]["gcseg"]["miou"] == record["miou"]
    assert set(found["categories"]) >= {"flat", "sky", "vehicle"}, "its classes are Cityscapes'"
    with (folder / found["images"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == [0, 1, 2]
    model = json.loads((folder / "results.json").read_text())["model"]
    assert model["parameters"] > 1000 and model["flops"] > 1e6 and model["height"] == 64


def test_curves_end_with_the_scores(reported):
    folder, _ = reported
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    *_, validation, last = rows
    record = evaluations(folder)["none"]
    assert last["step"] == "3" and float(last["eval/none/miou"]) == record["miou"]
    assert float(last["eval/none/boundary_miou"]) == record["boundary_miou"]
    assert float(validation["val/iou/road"]) >= 0
    steps = [row for row in rows if row["train/loss"]]
    assert len(steps) == 3 and all(float(row["train/gradient_norm"]) > 0 for row in steps)


def test_explain(run, folder):
    outcome = run("eval", f"checkpoint={folder}", "tta=flip", "explain=true", *SCENES)
    assert outcome.status == 0, outcome.err
    for word in ("paddleseg", "mmsegmentation", "boundary IoU", "expected calibration error"):
        assert word in outcome.out
    assert "category flat" in outcome.out
    record = evaluations(folder)["flip"]
    assert record["analysis"] == "analysis/flip.json"
    assert (folder / "analysis/none.json").is_file(), "another evaluation's is left alone"


def test_without_explain_nothing_is_analysed(run, folder):
    assert run("eval", f"checkpoint={folder}", "tta=flip", *SCENES).status == 0
    assert "analysis" not in evaluations(folder)["flip"]
    assert not (folder / "analysis/flip.json").exists()


def test_the_report_anew(run, folder):
    before = (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    outcome = run("report", f"run={folder}", "accelerator=cpu")
    assert outcome.status == 0, outcome.err
    page = (folder / "report.html").read_text()
    assert outcome.out == f"report: {folder}/report.html\n"
    assert page.count("data:image") == before.count("data:image")
    outcome = run("report", f"run={folder}", "examples=0", "output=here/page.html")
    assert outcome.out == "report: here/page.html\n"


def test_without_the_dataset_there_is_all_but_the_pictures(run, folder, tmp_path):
    arguments = (f"run={folder}", "accelerator=cpu", "dataset=camvid", "dataset.root=nowhere")
    assert run("report", *arguments).status == 0
    page = (folder / "report.html").read_text()
    assert "There are no pictures: " in page and "nowhere" in page
    assert "Calibration" in page


def test_help_and_settings_import_nothing_heavy(folder, tmp_path):
    for arguments, words in (
        (["--help"], "python -m gcseg.report sweep="),
        (["--cfg", "job", f"run={folder}"], "examples: 2"),
    ):
        done = start("report", *arguments, cwd=tmp_path, options=("-X", "importtime"))
        assert done.returncode == 0 and words in done.stdout, done.stderr
        modules = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
        assert "gcseg.config.command" in modules
        assert not modules & {"torch", "numpy", "matplotlib", "pytorch_lightning", "wandb", "rich"}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (None, "run is not set: give run=runs/<name>, or sweep=runs/sweeps/<name>"),
        ("rn=nothing", "there is no setting 'rn': did you mean run?"),
        ("swep=nothing", "there is no setting 'swep': did you mean sweep?"),
        ("run=nothing", "run=nothing is not a run folder: give run=runs/<name>"),
        ("sweep=nothing", "nothing is not a sweep"),
        ("examples=-1", "examples=-1: give a whole number of images, 0 to 100"),
    ],
)
def test_what_is_no_run(run, folder, argument, message):
    given = [] if argument is None else [argument]
    outcome = run("report", *([f"run={folder}"] if "examples=-1" in given else []), *given)
    assert message in outcome.error


def test_the_same_scores_again_keep_their_analysis(run, folder):
    before = evaluations(folder)["none"]
    assert run("eval", f"checkpoint={folder}", "tta=none", *SCENES).status == 0
    after = evaluations(folder)["none"]
    assert {**after, "seconds": 0} == {**before, "seconds": 0} and "analysis" in after
    damaged = json.loads((folder / "results.json").read_text())
    damaged["evaluations"]["none"]["miou"] = 0.5  # as of other weights
    (folder / "results.json").write_text(json.dumps(damaged))
    assert run("eval", f"checkpoint={folder}", "tta=none", *SCENES).status == 0
    assert not {"analysis", "ece", "boundary_miou"} & evaluations(folder)["none"].keys()


def test_what_is_damaged_is_told_on_the_console_too(run, folder):
    (folder / "environment.json").write_text("{")
    (folder / "metrics.csv").unlink()
    outcome = run("report", f"run={folder}", "accelerator=cpu", "examples=0")
    assert outcome.status == 0 and outcome.out == f"report: {folder}/report.html\n"
    told = outcome.err.splitlines()
    assert [line.partition(" ")[0] for line in told] == ["environment.json", "metrics.csv"]
    page = (folder / "report.html").read_text()
    assert "environment.json is damaged" in told[0] and "metrics.csv" in told[1]
    assert all(line.partition(" (")[0] in page for line in told)


@pytest.mark.parametrize(
    "record",
    [
        5,
        {"miou": 0.5, "analysis": "analysis/none.json", "split": "val", "checkpoint": 5},
    ],
)
def test_a_damaged_record_costs_the_pictures_only(run, folder, record):
    results = json.loads((folder / "results.json").read_text())
    results["evaluations"]["none"] = record
    (folder / "results.json").write_text(json.dumps(results))
    outcome = run("report", f"run={folder}", "accelerator=cpu")
    assert outcome.status == 0, outcome.err
    page = (folder / "report.html").read_text()
    assert folder.name in page and "data:image/jpeg" not in page


def test_settings_are_those_of_the_checkpoint_where_config_yaml_is_lost(run, folder):
    (folder / "config.yaml").write_text("[")
    assert "move it away" in run("report", f"run={folder}").error
    (folder / "config.yaml").unlink()
    assert run("report", f"run={folder}", "accelerator=cpu").status == 0
    assert (folder / "report.html").read_text().count("data:image") >= 9


def test_other_evaluations_have_no_pictures(run, folder):
    """What weights and settings they had is not in their records."""
    (folder / "results.json").unlink()
    outcome = run(
        "eval", f"checkpoint={folder}", "split=train", "tta=none", "explain=true", *SCENES
    )
    assert outcome.status == 0, outcome.err
    outcome = run("report", f"run={folder}", "accelerator=cpu")
    assert "There are no pictures: none@train is not an evaluation by the training" in outcome.err


def test_without_checkpoints_there_is_all_but_the_pictures(run, folder):
    shutil.rmtree(folder / "checkpoints")
    assert run("report", f"run={folder}", "accelerator=cpu").status == 0
    page = (folder / "report.html").read_text()
    assert "There are no pictures: " in page and "best.ckpt" in page


def test_a_report_that_fails_does_not_fail_the_training(run, monkeypatch, tmp_path):
    def broken(*_):
        raise ZeroDivisionError("of the report's making")

    monkeypatch.setattr("gcseg.commands.run_report.write_report", broken)
    outcome = run("train", *TINY, "iters=1", "report=true")
    assert outcome.status == 0, outcome.err
    assert "no report.html (ZeroDivisionError: of the report's making)" in outcome.err
    assert "none" in evaluations(only_run(tmp_path / "runs"))
