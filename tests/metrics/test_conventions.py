"""Each framework's mIoU from areas, against that framework's way written out on pixels."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.functional.segmentation import mean_iou

from gcseg.metrics.conventions import cityscapes_categories, conventions, image_scores
from gcseg.metrics.scores import scores

CLASSES = 6
NAMES = "abcdef"


def drawn(seed, images=5, present=CLASSES):
    """Predictions that are right in most pixels, and labels with ignored pixels."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(images):
        some = rng.choice(present, size=rng.integers(1, present + 1), replace=False)
        label = rng.choice(some, (21, 33))
        wrong = rng.random(label.shape) < 0.3
        predicted = np.where(wrong, rng.choice(present, label.shape), label)
        label[rng.random(label.shape) < 0.1] = 255
        pairs.append((predicted, label))
    return pairs


def areas_of(pairs, classes=CLASSES):
    found = []
    for predicted, label in pairs:
        counted = label != 255
        masks = [((predicted == c) & counted, label == c) for c in range(classes)]
        found.append([[(p & t).sum() for p, t in masks], [p.sum() for p, _ in masks],
                      [t.sum() for _, t in masks]])  # fmt: skip
    return torch.from_numpy(np.array(found, np.int64))


def paddleseg(pairs):
    """calculate_area of each image, summed as integers; a union of 0 has IoU 0."""
    sums = np.zeros((3, CLASSES), np.int64)
    for predicted, label in pairs:
        for c in range(CLASSES):
            p, t = (predicted == c) & (label != 255), label == c
            sums[:, c] += (p & t).sum(), p.sum(), t.sum()
    ious = []
    for hit, predicted, labelled in sums.T:
        union = predicted + labelled - hit
        ious.append(hit / union if union else 0)
    return np.mean(ious)


def mmsegmentation(pairs):
    """Histograms of each image in float32, Python's sum of them, nanmean, two decimals."""
    hits, unions = [], []
    for predicted, label in pairs:
        predicted, label = (torch.from_numpy(x[label != 255]) for x in (predicted, label))

        def histogram(values):
            return torch.histc(values.float(), bins=CLASSES, min=0, max=CLASSES - 1)

        hit = histogram(predicted[predicted == label])
        hits.append(hit)
        unions.append(histogram(predicted) + histogram(label) - hit)
    iou = (sum(hits) / sum(unions)).numpy()
    assert iou.dtype == np.float32
    return np.round(float(np.nanmean(iou)) * 100, 2)


@pytest.mark.parametrize("present", [CLASSES, 4])
@pytest.mark.parametrize("seed", range(4))
def test_against_pixels(seed, present):
    pairs = drawn(seed, present=present)
    found = conventions(areas_of(pairs), NAMES)
    miou = {name: convention["miou"] for name, convention in found.items()}
    assert all(type(value) is float for value in miou.values())

    confusion = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    metric = MulticlassJaccardIndex(CLASSES, average="macro", ignore_index=255)
    by_image = []
    for predicted, label in pairs:
        counted = label != 255
        np.add.at(confusion.numpy(), (label[counted], predicted[counted]), 1)
        metric.update(*map(torch.from_numpy, (predicted, label)))
        p, t = (torch.from_numpy(x[counted]).reshape(1, 1, -1) for x in (predicted, label))
        by_image.append(mean_iou(p, t, num_classes=CLASSES, input_format="index").item())
    assert miou["gcseg"] == miou["cityscapes"] == scores(confusion, NAMES).miou
    assert miou["paddleseg"] == pytest.approx(paddleseg(pairs), abs=1e-15)
    assert 100 * miou["mmsegmentation"] == pytest.approx(mmsegmentation(pairs), abs=1e-12)
    assert miou["torchmetrics"] == pytest.approx(metric.compute().item(), abs=1e-7)
    assert miou["per_image"] == pytest.approx(np.mean(by_image), abs=1e-6)
    assert abs(miou["per_image"] - miou["gcseg"]) > 1e-3


def test_reasons_say_what_differs_here():
    whole = conventions(areas_of(drawn(0)), NAMES)
    assert whole["paddleseg"]["miou"] == whole["gcseg"]["miou"]
    assert whole["paddleseg"]["reason"].startswith("Equal: ")
    part = conventions(areas_of(drawn(0, present=4)), NAMES)
    assert part["paddleseg"]["miou"] == pytest.approx(part["gcseg"]["miou"] * 4 / 6)
    assert "here e, f, 2 of 6." in part["paddleseg"]["reason"]
    assert "class 4, class 5" in conventions(areas_of(drawn(0, present=4)))["paddleseg"]["reason"]
    assert "Equal but for rounding" in part["mmsegmentation"]["reason"]
    assert "over 5 images" in part["per_image"]["reason"]
    assert "Equal" in conventions(areas_of(drawn(0, images=1)))["per_image"]["reason"]
    for convention in (*whole.values(), *part.values()):
        assert convention["reason"][0].isupper() and convention["reason"].endswith(".")


def test_float32_loses_pixels_of_a_large_split():
    """One more pixel leaves 2^24 in float32 as it is, 8000 times."""
    areas = torch.zeros(8001, 3, 2, dtype=torch.int64)
    areas[0, :, 0] = 1 << 24
    areas[1:, 1, 1] = areas[1:, 2, 0] = 1  # a pixel of the first class, taken for the second
    found = conventions(areas, "ab")
    assert found["gcseg"]["miou"] == (1 << 24) / ((1 << 24) + 8000) / 2
    assert found["mmsegmentation"]["miou"] == 0.5
    assert (
        "exact to 16,777,216, and a class here has 16,785,216" in found["mmsegmentation"]["reason"]
    )


def test_without_a_labelled_pixel():
    nothing = torch.zeros(2, 3, CLASSES, dtype=torch.int64)
    assert {convention["miou"] for convention in conventions(nothing).values()} == {None}
    some = conventions(torch.ones(2, 3, CLASSES, dtype=torch.int64))
    assert list(conventions(nothing)) == list(some)
    assert image_scores(nothing, NAMES) == [None, None]


def test_scores_of_images():
    (predicted, label), *_ = pairs = drawn(3, present=4)
    pairs[1][1][:] = 255
    found = image_scores(areas_of(pairs), NAMES)
    assert [image is None for image in found] == [False, True, False, False, False]
    assert found[0].pixel_accuracy == pytest.approx((predicted == label)[label != 255].mean())
    union = ((predicted == 1) & (label != 255)) | (label == 1)
    iou = ((predicted == 1) & (label == 1)).sum() / union.sum()
    assert found[0].class_iou["b"] == pytest.approx(iou)
    assert found[0].class_iou["f"] is None
    occurring = [iou for iou in found[0].class_iou.values() if iou is not None]
    assert found[0].miou == pytest.approx(np.mean(occurring))
    means = [image.miou for image in found if image]
    assert conventions(areas_of(pairs))["per_image"]["miou"] == pytest.approx(np.mean(means))


def test_categories_by_hand():
    confusion = torch.zeros(19, 19, dtype=torch.int64)
    confusion[0, 1] = 3  # road as sidewalk: both flat
    confusion[1, 8] = 1  # sidewalk as vegetation
    confusion[8, 8] = 4
    confusion[13, 14] = 2  # car as truck
    found = cityscapes_categories(confusion)
    assert found == {"flat": 3 / 4, "construction": None, "object": None, "nature": 4 / 5,
                     "sky": None, "human": None, "vehicle": 1.0}  # fmt: skip
    with pytest.raises(ValueError, match=r"matrix of \(3, 3\), not of 19 x 19 classes"):
        cityscapes_categories(torch.zeros(3, 3))
