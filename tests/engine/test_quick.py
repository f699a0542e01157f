"""A quick try: all stages on two images, apart from all other trainings."""

import json

import pytest

from gcseg.config.sweep_name import sweep_name
from gcseg.data.class_index import class_index
from tests.running import only_run

LONG = ("iters=80000", "val_every=1000", "optim.warmup_iters=1000", "batch_size=4")


def test_all_stages_are_run(train, run, tmp_path):
    outcome = train(*LONG, "quick=true", "report=true", "tta=flip")
    assert outcome.status == 0, outcome.err
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["quick"]
    folder = only_run(tmp_path / "runs" / "quick")
    assert folder.name.startswith("r18-gc-scenes-2it-s0-")
    results = json.loads((folder / "results.json").read_text())
    assert results["training"]["iters"] == 2
    assert results["evaluations"]["flip"]["images"] == 2
    assert (folder / "report.html").is_file() and (folder / "checkpoints/best.ckpt").is_file()
    assert outcome.out.splitlines()[-1].startswith("quick=true: all stages work. Its scores, of 2")
    again = train(*LONG, "quick=true", "tta=none")
    assert "resumes" not in again.out and "only scored" not in again.out
    results = json.loads((folder / "results.json").read_text())
    assert list(results["evaluations"]) == ["none"], "nothing is left of the first"
    assert run("report", f"run={folder}").status == 0


def test_the_training_itself_knows_nothing_of_it(train, tmp_path):
    assert train("quick=true", "iters=2").status == 0
    outcome = train("iters=2")
    assert "only scored" not in outcome.out
    assert {path.name for path in (tmp_path / "runs").iterdir()} > {"quick"}


def test_class_weights_are_those_of_its_images(train, monkeypatch):
    """So that it is quick, however many labels there are."""
    from gcseg.builders import loss

    indexed = []

    def index(dataset, *given, **options):
        indexed.append(len(dataset))
        return class_index(dataset, *given, **options)

    monkeypatch.setattr(loss, "class_index", index)
    outcome = train(*LONG, "quick=true", "class_weights=auto")
    assert outcome.status == 0, outcome.err
    assert indexed == [2]
    told = next(one for one in outcome.err.splitlines() if one.startswith("class_weights=auto"))
    assert "1 for what the 2 images of quick=true never have: " in told


def test_it_finds_what_is_wrong(train):
    for wrong in ("monitor=iou/raod", "optim.warmup_iters=90000", "dataset.splits.val=nowhere"):
        assert train(*LONG, "quick=true", wrong).status == 1


@pytest.mark.slow
def test_a_sweep_of_quick_tries_has_another_name(train, tmp_path):
    outcome = train("quick=true", "seed=0,1", "-m", "iters=5")
    assert outcome.status == 0, outcome.err
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    assert sweep.name.startswith("quick-seed-")
    assert len(list((tmp_path / "runs" / "quick").iterdir())) == 2


def test_the_name_of_such_a_sweep():
    assert sweep_name(["-m", "seed=0,1", "quick=true"]).startswith("quick-seed-")
    assert sweep_name(["-m", "seed=0,1"]).startswith("seed-")
