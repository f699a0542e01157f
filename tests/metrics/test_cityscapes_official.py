"""Scores against those of the official evaluation of Cityscapes, from the same files."""

import contextlib
import io
import json
import math
import os
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gcseg.data.label_spaces import CAMVID, CITYSCAPES, CITYSCAPES_LABEL_IDS
from gcseg.data.reading import read_label
from gcseg.metrics.conventions import cityscapes_categories, conventions
from gcseg.metrics.scores import scores
from gcseg.predictor.files import file_values
from tests.data.trees import cityscapes_tree, write

EVALUATION = "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"

CAMVID_IDS = np.array([23, 11, 17, 7, 8, 21, 20, 13, 26, 24, 33], np.uint8)
"""Cityscapes' label ids of CamVid's classes."""


@pytest.fixture
def official(monkeypatch):
    """The official evaluation of files: its results and what it prints."""
    # Its module looks at these while it is imported.
    for name in ("CITYSCAPES_DATASET", "CITYSCAPES_RESULTS", "CITYSCAPES_EXPORT_DIR"):
        monkeypatch.delenv(name, raising=False)
    module = pytest.importorskip(EVALUATION)
    args = SimpleNamespace(**vars(module.args))
    args.evalInstLevelScore = False  # needs a function that NumPy 2.4 no longer has
    args.JSONOutput = args.colorized = False
    args.bold = args.nocol = ""

    def official(predictions, labels):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            found = module.evaluateImgLists(
                list(map(str, predictions)), list(map(str, labels)), args
            )
        return found, printed.getvalue()

    return official


def compare(official, folder, pairs):
    """Write label ids and predictions of label ids; both evaluations must agree on the files."""
    labels, predictions, areas = [], [], []
    confusion = torch.zeros(19, 19, dtype=torch.int64)
    for index, (ids, classes) in enumerate(pairs):
        stem = f"city/city_{index:06d}_000019"
        labels.append(write(folder / f"gtFine/val/{stem}_gtFine_labelIds.png", ids))
        values = file_values(CITYSCAPES_LABEL_IDS)[classes]
        predictions.append(write(folder / f"predictions/{stem}.png", values))

        label = read_label(labels[-1], CITYSCAPES_LABEL_IDS)
        predicted = read_label(predictions[-1], CITYSCAPES_LABEL_IDS)
        np.testing.assert_array_equal(predicted, classes)
        counted = label != 255
        matrix = torch.zeros_like(confusion)
        np.add.at(matrix.numpy(), (label[counted], predicted[counted]), 1)
        confusion += matrix
        areas.append(torch.stack([matrix.diagonal(), matrix.sum(0), matrix.sum(1)]))

    found, printed = official(predictions, labels)
    ours = scores(confusion, CITYSCAPES.names)
    categories = cityscapes_categories(confusion)
    for wanted, mine in (
        (found["classScores"], ours.class_iou),
        (found["categoryScores"], categories),
    ):
        assert mine.keys() <= wanted.keys()
        for name, value in wanted.items():
            if mine.get(name) is None:
                assert math.isnan(value), name
                continue
            assert mine[name] == pytest.approx(value, abs=1e-12), name
            assert f"{name:<14}: {mine[name]:>5.3f} " in printed
    occurring = [iou for iou in categories.values() if iou is not None]
    averages = ours.miou, sum(occurring) / len(occurring)
    assert averages == pytest.approx(
        (found["averageScoreClasses"], found["averageScoreCategories"]), abs=1e-12
    )
    lines = [line for line in printed.splitlines() if line.startswith("Score Average")]
    assert [line.split()[3] for line in lines] == [f"{average:.3f}" for average in averages]
    assert conventions(torch.stack(areas))["cityscapes"]["miou"] == pytest.approx(
        found["averageScoreClasses"], abs=1e-12
    )
    return found


def test_generated_labels_of_all_ids(official, tmp_path):
    """Ignored ids are in the truth, and a few classes nowhere."""
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(4):
        ids = rng.choice(
            [value for value in range(34) if value not in (16, 31, 32)], (30, 40 + index)
        )
        classes = CITYSCAPES_LABEL_IDS.lookup[ids]
        wrong = (classes == 255) | (rng.random(ids.shape) < 0.4)
        some = rng.choice([value for value in range(19) if value not in (16, 5)], ids.shape)
        pairs.append((ids, np.where(wrong, some, classes)))
    found = compare(official, tmp_path, pairs)
    assert math.isnan(found["classScores"]["train"]) and found["classScores"]["pole"] > 0
    assert 0.3 < found["averageScoreClasses"] < found["averageScoreCategories"] < 1


@pytest.mark.camvid
def test_camvid_as_cityscapes(official, tmp_path):
    """Predictions are the labels moved by a few pixels, with a class taken for the next one."""
    root = Path(os.environ.get("GCSEG_DATA", "data")) / "camvid"
    if not root.is_dir():
        pytest.skip(f"CamVid is not in {root.parent}; set GCSEG_DATA to the folder with camvid/")
    pairs = []
    for index, path in enumerate(sorted((root / "valannot").glob("*.png"))):
        label = read_label(path, CAMVID)
        ids = np.where(label == 255, index % 7, CAMVID_IDS[label % 11])  # 0 to 6 are ignored
        classes = CITYSCAPES_LABEL_IDS.lookup[CAMVID_IDS[np.roll(label % 11, 3 + index, axis=1)]]
        classes[::5] = (classes[::5] + 1) % 19
        pairs.append((ids, classes))
    assert len(pairs) == 101
    compare(official, tmp_path, pairs)


@pytest.mark.slow
def test_predictions_as_the_server_wants_them(official, run, training, tmp_path):
    """Masks of gcseg.predict and gcseg.submit, scored officially, are what gcseg.eval says."""
    folder = shutil.copytree(training.folder, tmp_path / "runs" / training.folder.name)
    root = cityscapes_tree(tmp_path / "tree")
    given = (f"checkpoint={folder}", "dataset=cityscapes", f"dataset.root={root}")
    given += ("inference.window=null", "accelerator=cpu")
    before = json.loads((folder / "results.json").read_text())["evaluations"]
    commands = (
        ("predict", "mask_values=dataset", "output=out"),
        ("submit", "split=val", "output=packed"),
        ("eval", "tta=none"),
    )
    for command in commands:
        outcome = run(*command, *given)
        assert outcome.status == 0, outcome.err
    after = json.loads((folder / "results.json").read_text())["evaluations"]
    (ours,) = [record for name, record in after.items() if before.get(name) != record]

    module = pytest.importorskip(EVALUATION)
    labels = sorted(map(str, root.glob("gtFine/val/*/*_gtFine_labelIds.png")))
    with zipfile.ZipFile(tmp_path / "packed" / "cityscapes-val-none.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    scores = []
    for place in (tmp_path / "out" / "masks", tmp_path / "unpacked"):
        args = SimpleNamespace(predictionPath=str(place), predictionWalk=None)
        found, _ = official([module.getPrediction(args, label) for label in labels], labels)
        scores.append(found["classScores"])
    assert str(scores[0]) == str(scores[1])
    assert ours["images"] == len(labels) > 0
    assert ours["miou"] == pytest.approx(found["averageScoreClasses"], abs=1e-12)
    for name, iou in ours["class_iou"].items():
        value = found["classScores"][name]
        assert iou == pytest.approx(value, abs=1e-12) if iou is not None else math.isnan(value)
