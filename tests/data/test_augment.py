"""The published augmentation: what it draws, how often, and that image and label stay together."""

import math
import random
import warnings

import albumentations as A
import cv2
import numpy as np
import pytest

from gcseg.data.augment import (
    RandomScaledCrop,
    color_distortion,
    evaluation_pipeline,
    training_pipeline,
)
from gcseg.data.label_spaces import VOC
from gcseg.errors import ConfigError

HALF = (0.5, 0.5, 0.5)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
NO_COLOR = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "probability": 0}
COLOR = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 18, "probability": 0.5}
SEEDS = (0, 1, 2)


def published(height, width, *, mean=HALF, std=HALF, scale=(0.5, 2.0, 0.25), color=COLOR, **more):
    more.setdefault("flip", 0.5)
    return training_pipeline(
        height=height,
        width=width,
        mean=mean,
        std=std,
        scale=dict(zip(("min", "max", "step"), scale, strict=True)),
        color=color,
        **more,
    )


def draws(pipeline, seed, count, image, label=None):
    """The pipeline's outputs, each from a random state of its own."""
    if isinstance(pipeline, A.BasicTransform):
        pipeline = A.Compose([pipeline])
    label = np.zeros(image.shape[:2], np.uint8) if label is None else label
    for index in range(count):
        generator = np.random.default_rng((seed, index))
        pipeline.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        outputs = pipeline(image=image, mask=label)
        yield outputs["image"], outputs["mask"]


def assert_uniform(counts):
    """Chi-square at the 0.9999 quantile (by Wilson and Hilferty's approximation)."""
    counts = np.asarray(counts)
    freedom = counts.size - 1
    mean = counts.sum() / counts.size
    chi_square = ((counts - mean) ** 2 / mean).sum()
    spread = 2 / (9 * freedom)
    assert chi_square < freedom * (1 - spread + 3.72 * math.sqrt(spread)) ** 3, counts


def coordinates(height, width):
    """An image that holds its column, row and 0, and a label that holds the column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.dstack([columns, rows, np.zeros_like(rows)]), columns


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("scale", "factors"),
    [
        ((0.5, 2.0, 0.25), [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]),
        ((0.5, 2.0, 0.4), [0.5, 0.9, 1.3, 1.7]),  # 2.1 would be too large
        ((0.1, 0.7, 0.1), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),  # 0.1 has no exact binary form
    ],
)
def test_each_scale_is_as_likely(seed, scale, factors):
    image = np.zeros((40, 60, 3), np.uint8)
    sizes = [
        out.shape[:2] for out, _ in draws(RandomScaledCrop(200, 200, *scale), seed, 700, image)
    ]
    wanted = [(int(40 * factor + 0.5), int(60 * factor + 0.5)) for factor in factors]
    assert set(sizes) == set(wanted)
    assert_uniform([sizes.count(size) for size in wanted])


@pytest.mark.parametrize("seed", SEEDS)
def test_without_steps_the_scale_is_uniform(seed):
    image = np.zeros((1000, 2, 3), np.uint8)
    crop = RandomScaledCrop(4000, 4, 0.5, 2.0, 0)
    count = 400
    scales = np.sort([out.shape[0] / 1000 for out, _ in draws(crop, seed, count, image)])
    assert scales[0] >= 0.5 and scales[-1] <= 2.0
    gap = np.abs((scales - 0.5) / 1.5 - (np.arange(count) + 0.5) / count).max()
    assert gap < 2.2 / math.sqrt(count), "Kolmogorov and Smirnov's at the 0.9999 quantile"


@pytest.mark.parametrize("seed", SEEDS)
def test_each_position_is_as_likely(seed):
    image, label = coordinates(12, 16)
    counts = np.zeros((5, 9))
    for out, _ in draws(RandomScaledCrop(8, 8, 1, 1, 0), seed, 1800, image, label):
        assert out.shape == (8, 8, 3)
        counts[out[0, 0, 1], out[0, 0, 0]] += 1
    assert_uniform(counts)


@pytest.mark.parametrize("seed", SEEDS)
def test_flips_depend_neither_on_the_crop_nor_on_the_scale(seed):
    image, label = coordinates(40, 60)
    pipeline = published(30, 30, scale=(1, 2, 1), color=COLOR)
    count = 700
    drawn = []
    for _, out in draws(pipeline, seed, count, image, label):
        low, high = out[0].min(), out[0].max()
        drawn.append((out[0, 0] > out[0, -1], low, high - low > 20))
    flipped, left, small = np.array(drawn, float).T
    assert abs(flipped.mean() - 0.5) < 3.9 * 0.5 / math.sqrt(count)
    assert abs(small.mean() - 0.5) < 3.9 * 0.5 / math.sqrt(count)
    for scale in (0, 1):
        at_scale = small == scale
        correlation = np.corrcoef(flipped[at_scale], left[at_scale])[0, 1]
        assert abs(correlation) < 3.9 / math.sqrt(at_scale.sum())
    assert abs(np.corrcoef(flipped, small)[0, 1]) < 3.9 / math.sqrt(count)


@pytest.mark.parametrize("flip", [0, 0.25, 1])
def test_flip_has_its_probability(flip):
    image, label = coordinates(8, 8)
    pipeline = published(8, 8, scale=(1, 1, 0), flip=flip)
    share = np.mean([out[0, 0] == 7 for _, out in draws(pipeline, 0, 400, image, label)])
    assert abs(share - flip) <= 3.9 * math.sqrt(flip * (1 - flip) / 400)


@pytest.mark.parametrize("size", [(20, 30), (48, 64), (100, 40), (33, 200), (24, 32), (1, 1)])
@pytest.mark.parametrize("seed", SEEDS)
def test_output_has_the_crops_size(size, seed):
    image, label = coordinates(*size)
    for out, out_label in draws(published(48, 64), seed, 12, image, label % 7):
        assert out.shape == (48, 64, 3) and out.dtype == np.float32
        assert out_label.shape == (48, 64) and out_label.dtype == np.uint8
        assert np.isfinite(out).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_is_zero_and_ignored(seed):
    image = np.full((40, 60, 3), 255, np.uint8)
    padded = 0
    for out, label in draws(published(50, 70, color=NO_COLOR), seed, 60, image):
        ignored = label == 255
        assert (out[ignored] == 0).all(), "127.5 is exactly 0 after mean = std = 0.5"
        assert (out[~ignored] == 1).all()
        assert set(np.unique(label)) <= {0, 255}
        padded += ignored.any()
    assert 10 < padded < 60


def test_padding_is_at_the_bottom_and_right_before_the_flip():
    image = np.full((10, 20, 3), 9, np.uint8)
    for flip, columns in ((0, slice(0, 20)), (1, slice(10, 30))):
        pipeline = published(15, 30, scale=(1, 1, 0), flip=flip)
        ((_, label),) = draws(pipeline, 0, 1, image)
        wanted = np.full((15, 30), 255)
        wanted[:10, columns] = 0
        np.testing.assert_array_equal(label, wanted)


def test_padding_is_grey_under_other_normalisations():
    image = np.zeros((10, 20, 3), np.uint8)
    pipeline = published(15, 30, scale=(1, 1, 0), flip=0, **IMAGENET)
    ((out, label),) = draws(pipeline, 0, 1, image)
    grey = (0.5 - np.array(IMAGENET["mean"])) / IMAGENET["std"]
    black = -np.array(IMAGENET["mean"]) / IMAGENET["std"]
    np.testing.assert_allclose(out[label == 255], np.tile(grey, (250, 1)), rtol=1e-5)
    np.testing.assert_allclose(out[label == 0], np.tile(black, (200, 1)), rtol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_image_and_label_stay_aligned(seed):
    """Each class has its colour; away from the borders between classes it must still."""
    label = np.random.default_rng(seed).integers(0, 21, (6, 8), dtype=np.uint8)
    label = label.repeat(16, axis=0).repeat(16, axis=1)
    image = VOC.palette[label]
    checked = 0
    for out, out_label in draws(published(64, 80, color=NO_COLOR), seed, 60, image, label):
        pixels = np.rint((out * 0.5 + 0.5) * 255)
        inside = cv2.erode(out_label, np.ones((5, 5))) == cv2.dilate(out_label, np.ones((5, 5)))
        inside &= out_label != 255
        inside[:2] = inside[-2:] = inside[:, :2] = inside[:, -2:] = False  # what is next to them?
        np.testing.assert_array_equal(pixels[inside], VOC.palette[out_label[inside]])
        assert set(np.unique(out_label)) <= {*np.unique(label), 255}, "classes are not mixed"
        checked += inside.mean()
    assert checked / 60 > 0.3


def test_scale_one_keeps_the_pixels():
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    label = np.random.default_rng(1).integers(0, 19, (16, 20), dtype=np.uint8)
    pipeline = published(16, 20, scale=(1, 1, 0), color=NO_COLOR, flip=0)
    ((out, out_label),) = draws(pipeline, 0, 1, image, label)
    np.testing.assert_array_equal(np.rint((out * 0.5 + 0.5) * 255), image)
    np.testing.assert_array_equal(out_label, label)


KINDS = ("brightness", "contrast", "saturation", "hue")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("probability", [0, 0.5, 1])
def test_each_distortion_has_its_probability(kind, probability):
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    settings = {**NO_COLOR, kind: COLOR[kind], "probability": probability}
    pipeline = A.Compose([color_distortion(**settings)])
    changed = np.mean([(out != image).any() for out, _ in draws(pipeline, 0, 400, image)])
    if probability == 0.5:
        assert abs(changed - 0.5) < 3.9 * 0.5 / 20
    else:
        assert abs(changed - probability) < 0.1, "a tiny distortion may change no byte"


@pytest.mark.parametrize("seed", SEEDS)
def test_distortions_are_independent_and_in_random_order(seed):
    pipeline = A.Compose([color_distortion(**COLOR)], save_applied_params=True)
    image = np.random.default_rng(0).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    count, subsets, orders = 800, [], []
    for index in range(count):
        generator = np.random.default_rng((seed, index))
        pipeline.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        applied = []
        for _, params in pipeline(image=image)["applied_transforms"]:
            neutral = {"brightness": 1, "contrast": 1, "saturation": 1, "hue": 0}
            (kind,) = (kind for kind in KINDS if params[kind] != neutral[kind])
            limit = 18 / 360 if kind == "hue" else 0.4
            assert abs(params[kind] - neutral[kind]) <= limit
            applied.append(kind)
        assert len(set(applied)) == len(applied), "none is applied twice"
        subsets.append(tuple(kind in applied for kind in KINDS))
        if len(applied) == 4:
            orders.append(tuple(applied))
    assert_uniform([subsets.count(subset) for subset in np.ndindex(2, 2, 2, 2)])
    assert len(set(orders)) > 12, "of 24"


@pytest.mark.parametrize("hue", [18, 90])
def test_hue_turns_by_degrees(hue):
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 1] = 255  # green is at 120 degrees
    pipeline = A.Compose([color_distortion(**{**NO_COLOR, "hue": hue, "probability": 1})])
    hues = [
        2.0 * cv2.cvtColor(out, cv2.COLOR_RGB2HSV)[0, 0, 0]
        for out, _ in draws(pipeline, 0, 300, image)
    ]
    assert 120 - hue - 2 <= min(hues) < 120 - 0.85 * hue
    assert 120 + 0.85 * hue < max(hues) <= 120 + hue + 2


def test_brightness_is_relative():
    image = np.full((2, 2, 3), 100, np.uint8)
    pipeline = A.Compose([color_distortion(**{**NO_COLOR, "brightness": 0.4, "probability": 1})])
    greys = [int(out[0, 0, 0]) for out, _ in draws(pipeline, 0, 300, image)]
    assert 60 <= min(greys) < 64 and 136 < max(greys) <= 140
    assert abs(np.mean(greys) - 100) < 6


def test_colours_leave_the_label_alone():
    label = np.random.default_rng(0).integers(0, 19, (8, 8), dtype=np.uint8)
    image = VOC.palette[label]
    pipeline = published(8, 8, scale=(1, 1, 0), color={**COLOR, "probability": 1}, flip=0)
    changed = 0
    for out, out_label in draws(pipeline, 0, 20, image, label):
        np.testing.assert_array_equal(out_label, label)
        changed += (np.rint((out * 0.5 + 0.5) * 255) != image).any()
    assert changed == 20


def test_extra_transforms_see_the_bytes_of_the_crop():
    seen = []

    def invert(image, **_):
        seen.append((image.shape, image.dtype))
        return 255 - image

    image = np.full((30, 40, 3), 255, np.uint8)
    pipeline = published(
        8, 10, scale=(1, 1, 0), color=NO_COLOR, extra=[A.Lambda(image=invert, p=1.0)]
    )
    ((out, _),) = draws(pipeline, 0, 1, image)
    assert seen == [((8, 10, 3), np.uint8)]
    assert (out == -1).all()


@pytest.mark.parametrize("scale", [(2.0, 0.5, 0.25), (0, 1.0, 0.25), (-1.0, 1.0, 0)])
def test_impossible_scales_are_refused(scale):
    with pytest.raises(
        ConfigError,
        match=rf"^augment\.scale from {scale[0]} to {scale[1]}: give 0 < min <= max$",
    ):
        published(8, 8, scale=scale)


def test_pipelines_are_made_without_warnings():
    """albumentations only warns about arguments that it does not know."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        published(8, 8)
        evaluation_pipeline(mean=HALF, std=HALF, pad_height=8, pad_width=0)


def test_unknown_arguments_do_not_merely_warn_in_these_tests():
    with pytest.raises(UserWarning, match="'probability' are not valid for transform"):
        A.HorizontalFlip(probability=1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: RandomScaledCrop(8, 8, scale_maximum=2),
        lambda: color_distortion(**COLOR, sharpness=1),
        lambda: published(8, 8, color={**COLOR, "gamma": 1}),
        lambda: published(8, 8, vertical_flip=0.5),
        lambda: published(8, 8, color={"brightness": 0.4}),
    ],
)
def test_unknown_and_missing_arguments_are_errors(call):
    with pytest.raises(TypeError, match="argument"):
        call()


@pytest.mark.parametrize(
    ("size", "pad", "wanted"),
    [
        ((5, 7), (0, 0), (5, 7)),
        ((5, 7), (8, 6), (8, 7)),
        ((5, 7), (4, 16), (5, 16)),
        ((5, 7), (8, 16), (8, 16)),
    ],
)
def test_evaluation_normalises_and_pads(size, pad, wanted):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    pipeline = evaluation_pipeline(**IMAGENET, pad_height=pad[0], pad_width=pad[1])
    out = pipeline(image=image)["image"]
    assert out.shape == (*wanted, 3) and out.dtype == np.float32
    normalised = (image / 255 - IMAGENET["mean"]) / IMAGENET["std"]
    np.testing.assert_allclose(out[: size[0], : size[1]], normalised, atol=1e-5)
    grey = ((0.5 - np.array(IMAGENET["mean"])) / IMAGENET["std"]).astype(np.float32)
    for padding in (out[size[0] :], out[:, size[1] :]):
        np.testing.assert_allclose(padding, np.broadcast_to(grey, padding.shape), rtol=1e-5)


def test_evaluation_padding_is_exactly_zero_in_the_published_normalisation():
    image = np.full((5, 7, 3), 200, np.uint8)
    pipeline = evaluation_pipeline(mean=HALF, std=HALF, pad_height=9, pad_width=9)
    out = pipeline(image=image)["image"]
    assert not out[5:].any() and not out[:, 7:].any()
    assert out[:5, :7].all()
