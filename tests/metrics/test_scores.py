"""Scores against sets of pixels counted one by one."""

import numpy as np
import pytest
import torch

from gcseg.metrics.scores import Scores, scores


def test_by_hand():
    found = scores(torch.tensor([[3, 1, 0], [2, 4, 0], [0, 0, 0]]), ["a", "b", "absent"])
    assert found == Scores(
        miou=pytest.approx((3 / 6 + 4 / 7) / 2),
        pixel_accuracy=pytest.approx(7 / 10),
        class_iou={"a": pytest.approx(3 / 6), "b": pytest.approx(4 / 7), "absent": None},
        mean_f1=pytest.approx((6 / 9 + 8 / 11) / 2),
        mean_precision=pytest.approx((3 / 5 + 4 / 5) / 2),
        mean_recall=pytest.approx((3 / 4 + 4 / 6) / 2),
        class_f1={"a": pytest.approx(6 / 9), "b": pytest.approx(8 / 11), "absent": None},
        class_precision={"a": pytest.approx(3 / 5), "b": pytest.approx(4 / 5), "absent": None},
        class_recall={"a": pytest.approx(3 / 4), "b": pytest.approx(4 / 6), "absent": None},
    )
    named = found.by_name()
    assert named["miou"] == found.miou and named["mean_f1"] == found.mean_f1
    assert named["iou/a"] == found.class_iou["a"] and named["f1/b"] == found.class_f1["b"]
    assert named["precision/b"] == pytest.approx(4 / 5) and named["recall/absent"] is None
    assert len(named) == 5 + 4 * 3


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("classes", [1, 2, 5, 19])
def test_against_sets_of_pixels(seed, classes):
    rng = np.random.default_rng(seed)
    present = rng.choice(classes, size=max(1, classes - 2), replace=False)
    truth, prediction = rng.choice(present, 300), rng.choice(present, 300)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (truth, prediction), 1)

    wanted = {}
    for index in range(classes):
        true, predicted = (set(np.flatnonzero(part == index)) for part in (truth, prediction))
        union = len(true | predicted)
        wanted[f"class {index}"] = len(true & predicted) / union if union else None
    occurring = [iou for iou in wanted.values() if iou is not None]

    found = scores(torch.from_numpy(confusion), [f"class {index}" for index in range(classes)])
    assert found.class_iou == pytest.approx(wanted)
    assert list(found.class_iou) == list(wanted)
    assert found.miou == pytest.approx(np.mean(occurring))
    assert found.pixel_accuracy == pytest.approx((truth == prediction).mean())
    assert all(type(value) is float for value in occurring) and type(found.miou) is float


def test_rows_are_the_truth():
    """A class that is predicted but never true has IoU 0; so has one never found."""
    found = scores(torch.tensor([[2, 2, 0], [0, 0, 0], [0, 0, 0]]), ["true", "invented", "absent"])
    assert found.class_iou == {"true": 0.5, "invented": 0.0, "absent": None}
    assert found.class_f1 == {"true": pytest.approx(2 / 3), "invented": 0.0, "absent": None}
    assert found.class_precision == {"true": 1.0, "invented": 0.0, "absent": None}
    assert found.class_recall == {"true": 0.5, "invented": 0.0, "absent": None}
    assert (found.mean_f1, found.mean_precision) == (pytest.approx(1 / 3), 0.5)
    assert (found.miou, found.pixel_accuracy) == (0.25, 0.5)
    missed = scores(torch.tensor([[2, 0], [3, 0]]), ["found", "missed"])
    assert missed.class_iou == {"found": 0.4, "missed": 0.0}
    assert missed.class_precision == {"found": 0.4, "missed": 0.0}


def test_perfect_and_empty():
    assert scores(torch.eye(3, dtype=torch.int64) * 7, "abc").miou == 1
    nothing = scores(torch.zeros(2, 2, dtype=torch.int64), ["a", "b"])
    none: dict[str, float | None] = {"a": None, "b": None}
    assert nothing == Scores(None, None, none, None, None, None, none, none, none)


def test_counts_of_a_whole_split_are_exact():
    """500 images of Cityscapes are 1e9 pixels, too many for float32 to tell one more apart."""
    count = 2**33
    found = scores(torch.tensor([[count, 1], [0, count]]), ["a", "b"])
    assert found.class_iou["a"] == count / (count + 1) < 1
    assert found.pixel_accuracy == 2 * count / (2 * count + 1) < 1


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_names_must_fit(names):
    with pytest.raises(ValueError, match="zip"):
        scores(torch.eye(2, dtype=torch.int64), names)
