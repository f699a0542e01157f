"""Commands that ask for what can't be, each with one line."""

import shutil

import pytest

from gcseg.config.messages import errors_in_one_line
from tests.data.check.test_survey import OWN, tree
from tests.running import SCENES, SMALL, only_run


def test_a_page_is_no_results_file(run, training, tmp_path):
    folder = shutil.copytree(training.folder, tmp_path / "copied")
    before = (folder / "results.json").read_bytes()
    error = run("report", f"run={folder}", f"output={folder}/results.json").error
    assert error.endswith("results.json is not an .html file: give output=NAME.html")
    assert (folder / "results.json").read_bytes() == before


def test_two_reports(run):
    error = run("report", "run=runs/a", "sweep=runs/sweeps/b").error
    assert error == "run= and sweep= write different reports: give one of them"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("hydra=null", "hydra=null replaces all of Hydra's settings"),
        ("hydra=3", "hydra=3 replaces all of Hydra's settings"),
        ("hydra.run.dir=/proc/x", "Hydra can't make /proc/x ("),
    ],
)
def test_settings_of_hydra(train, given, message):
    assert train(given).error.startswith(message)


def test_one_value_per_channel(run, tmp_path):
    small = [one for one in SMALL if not one.startswith(("dataset.crop", "batch_size"))]
    given = (*small, *SCENES, "dataset.crop.height=32", "dataset.crop.width=32", "batch_size=1")
    error = run("train", *given, "backbone=r18", "backbone.output_stride=32").error
    assert error.startswith(
        "one image of 32x32 pixels per pass is one value per channel with backbone.output_stride=32"
    )
    assert not (tmp_path / "runs").exists()


def test_an_option_with_resolved_settings(run, training):
    error = run("train", "--resolved", f"{training.folder}/config.yaml", "backbone=r18").error
    assert error.startswith("backbone=r18 chooses an option, but resolved settings have no options")
    assert "change single settings, such as backbone.freeze, backbone.name" in error


@pytest.mark.parametrize("rank", ["0", "1"])
def test_another_process_has_ended(rank, monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", rank)
    text = "[third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [::1]:7"
    with pytest.raises(SystemExit) as left, errors_in_one_line("train"):
        raise RuntimeError(text)
    told = "error: another process of the command has ended: see its error\n"
    assert left.value.code == 1
    assert capsys.readouterr().err == (told if rank == "0" else "")
    with pytest.raises(RuntimeError, match="something else"), errors_in_one_line("train"):
        raise RuntimeError("something else closed")


def test_a_checkpoint_of_another_training(train, training, tmp_path):
    """In the place of its own, as after a mistaken copy."""
    assert train("seed=3").status == 0
    folder = only_run(tmp_path / "runs")
    shutil.rmtree(folder / "checkpoints")
    (folder / "checkpoints").mkdir()
    (folder / "results.json").unlink()
    shutil.copyfile(training.folder / "checkpoints/best.ckpt", folder / "checkpoints/last.ckpt")
    error = train("seed=3").error
    assert "last.ckpt belongs to another training: its settings differ: put back" in error


def test_class_lists(run, tmp_path):
    root = tree(tree(tmp_path / "data", [0, 1]), [0, 1], split="val")
    own = (*OWN, f"dataset.root={root}")
    (root / "classes.yaml").write_text("classes: [a, b]\nclasses: [c, d]\n")
    assert "it has classes twice in one mapping" in run("train", *own).error
    (root / "classes.yaml").write_text(
        "classes: [{name: a, color: [1, 2, 3]}, {name: b, color: [1, 2, 3]}]\n"
    )
    outcome = run("train", *own)
    assert outcome.status == 0, outcome.err
    assert "warning: classes a and b have the same colour [1, 2, 3]: give one of" in outcome.err
