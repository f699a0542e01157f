"""Training augmentation: what it draws, how often, and that image and label stay together."""

import math
import random
import warnings

import albumentations as A
import cv2
import numpy as np
import pytest

from gcseg import build_data
from gcseg.data.augment import (
    PhotometricDistortion,
    RandomScaledCrop,
    color_distortion,
    evaluation_pipeline,
    training_pipeline,
)
from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import VOC
from gcseg.data.sampling import TrainingSamples
from gcseg.errors import ConfigError
from gcseg.inference import Fit
from gcseg.train import training_settings
from tests.commands import compose
from tests.data import trees

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
        color=color_distortion(**color),
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


def test_the_default_augmentation_is_the_published_one(tmp_path):
    """What the settings say that published recipes do not name is off."""
    cfg = compose("train", "dataset.crop.height=32", "dataset.crop.width=40")
    configured = build_data.training_augmentation(cfg, one_picture(tmp_path, 48, 64))
    image, label = trees.picture(0, 48, 64), trees.mask(0, range(19), 48, 64)
    pairs = zip(
        draws(configured, 0, 20, image, label),
        draws(published(32, 40), 0, 20, image, label),
        strict=True,
    )
    for (ours, our_label), (theirs, their_label) in pairs:
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(our_label, their_label)


def one_picture(folder, height, width, classes=19):
    """A split of one random picture."""
    image = trees.write(folder / "a.png", trees.picture(0, height, width))
    label = trees.write(folder / "b.png", trees.mask(0, range(classes), height, width))
    return SegmentationDataset([Pair("a", image, label, VOC)], VOC, "somewhere")


@pytest.mark.parametrize("scale", [0.5, 0.7331, 1.0, 1.618, 2.0])
@pytest.mark.parametrize("rectangle", [(2048, 512), (256, 128), (131, 131), (131, 67)])
@pytest.mark.parametrize("size", [(37, 50), (50, 37), (33, 33), (64, 128), (20, 200), (31, 7)])
def test_images_are_fitted_into_the_scaled_rectangle(scale, rectangle, size):
    rectangle = [side // 4 for side in rectangle] if max(rectangle) == 2048 else list(rectangle)
    long, short = (math.floor(side * scale) for side in rectangle)
    factor = min(long / max(size), short / min(size))
    wanted = tuple(math.floor(length * factor + 0.5) for length in size)
    crop = RandomScaledCrop(2000, 2000, scale, scale, 0, fit=Fit(*rectangle))
    ((image, label),) = draws(crop, 0, 1, np.zeros((*size, 3), np.uint8))
    assert image.shape[:2] == label.shape == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_the_scale_of_the_rectangle_is_uniform(seed):
    crop = RandomScaledCrop(4000, 4, 0.5, 2.0, 0, fit=Fit(1000, 1000))
    image = np.zeros((500, 2, 3), np.uint8)
    count = 400
    scales = np.sort([out.shape[0] / 1000 for out, _ in draws(crop, seed, count, image)])
    assert scales[0] >= 0.498 and scales[-1] <= 2.0
    gap = np.abs((scales - 0.5) / 1.5 - (np.arange(count) + 0.5) / count).max()
    assert gap < 2.2 / math.sqrt(count), "Kolmogorov and Smirnov's at the 0.9999 quantile"


class Recorder(random.Random):
    """Notes the whole numbers that it draws."""

    def __init__(self, seed):
        super().__init__(seed)
        self.drawn = []

    def randint(self, a, b):
        self.drawn.append(super().randint(a, b))
        return self.drawn[-1]


def windows(crop, seed, label):
    """The corners that a crop of a label draws, and the one that it takes."""
    image, _ = coordinates(*label.shape)
    recorder = Recorder(seed)
    crop.set_random_state(np.random.default_rng(seed), recorder)
    outputs = crop(image=image, mask=label)
    taken = tuple(outputs["image"][0, 0, 1::-1].tolist())
    np.testing.assert_array_equal(
        outputs["mask"], label[taken[0] :, taken[1] :][: crop.height, : crop.width]
    )
    return list(zip(recorder.drawn[::2], recorder.drawn[1::2], strict=True)), taken


def is_mixed(label, most):
    """Whether no class has `most` of the labelled pixels or more."""
    labelled = label[label != 255].tolist()
    shares = [labelled.count(value) / len(labelled) for value in set(labelled)]
    return len(shares) > 1 and max(shares) < most


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("most", [0.6, 0.75, 0.9])
def test_a_dominated_window_is_drawn_again_until_one_is_mixed(seed, most):
    label = np.full((40, 120), 3, np.uint8)
    label[:, 100:] = 7
    label[:6] = 255
    crop = RandomScaledCrop(30, 40, 1, 1, 0, cat_max_ratio=most)
    lengths, met = [], 0
    for index in range(150):
        drawn, taken = windows(crop, 1000 * seed + index, label)
        assert taken == drawn[-1]
        mixed = [is_mixed(label[t : t + 30, left : left + 40], most) for t, left in drawn]
        assert not any(mixed[:-1]), "the first that is mixed is taken"
        assert mixed[-1] or len(drawn) == 11
        lengths.append(len(drawn))
        met += mixed[-1]
    assert min(lengths) == 1 and max(lengths) > 2
    assert met > 35


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("value", [5, 255])
def test_after_ten_draws_in_vain_the_next_window_is_taken(seed, value):
    label = np.full((40, 120), value, np.uint8)
    label[0] = 255
    drawn, taken = windows(RandomScaledCrop(30, 40, 1, 1, 0, cat_max_ratio=0.75), seed, label)
    assert len(drawn) == 11 and taken == drawn[-1]


@pytest.mark.parametrize(
    ("first", "second", "unlabelled", "mixed"),
    [
        (30, 70, 0, True),
        (25, 75, 0, False),  # as much as the limit
        (26, 74, 0, True),
        (5, 5, 90, True),  # of what is labelled
        (1, 9, 90, False),
        (0, 10, 90, False),
        (0, 100, 0, False),
    ],
)
def test_shares_are_of_the_labelled_pixels(first, second, unlabelled, mixed):
    label = np.repeat(np.array([0, 254, 255], np.uint8), (first, second, unlabelled))
    crop = RandomScaledCrop(10, 10, 1, 1, 0, cat_max_ratio=0.75)
    drawn, _ = windows(crop, 0, label.reshape(10, 10))
    assert (len(drawn) == 1) == mixed


def test_any_window_is_taken_without_a_limit():
    drawn, _ = windows(RandomScaledCrop(30, 40, 1, 1, 0), 0, np.zeros((40, 120), np.uint8))
    assert len(drawn) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_limit_holds_at_the_scaled_size(seed):
    """The halves of a picture of the window's size are in balance, at twice the size rarely."""
    label = np.zeros((40, 40), np.uint8)
    label[:, 20:] = 1
    crop = RandomScaledCrop(40, 40, 2, 2, 0, cat_max_ratio=0.75)
    large, redrawn = label.repeat(2, axis=0).repeat(2, axis=1), 0
    for index in range(40):
        recorder = Recorder(1000 * seed + index)
        crop.set_random_state(np.random.default_rng(index), recorder)
        out = crop(image=VOC.palette[label], mask=label)["mask"]
        corners = zip(recorder.drawn[::2], recorder.drawn[1::2], strict=True)
        drawn = [large[top:, left:][:40, :40] for top, left in corners]
        np.testing.assert_array_equal(out, drawn[-1])
        assert not any(is_mixed(window, 0.75) for window in drawn[:-1])
        assert is_mixed(out, 0.75) or len(drawn) == 11
        redrawn += len(drawn) > 1
    assert redrawn > 5


def photometric(image, drawn):
    """mmsegmentation's formula, written out for a BGR image in floating point."""

    def linear(array, factor=1.0, summand=0.0):
        return np.clip(array.astype(np.float32) * factor + summand, 0, 255).astype(np.uint8)

    bgr = image[..., ::-1].copy()
    if drawn["summand"] is not None:
        bgr = linear(bgr, summand=drawn["summand"])
    if drawn["contrast_first"] and drawn["contrast_factor"] is not None:
        bgr = linear(bgr, drawn["contrast_factor"])
    if drawn["saturation_factor"] is not None:
        hue, saturation, value = cv2.split(cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV))
        saturation = linear(saturation, drawn["saturation_factor"])
        bgr = cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2BGR)
    if drawn["hue_steps"] is not None:
        hue, saturation, value = cv2.split(cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV))
        hue = ((hue.astype(int) + drawn["hue_steps"]) % 180).astype(np.uint8)
        bgr = cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2BGR)
    if not drawn["contrast_first"] and drawn["contrast_factor"] is not None:
        bgr = linear(bgr, drawn["contrast_factor"])
    return bgr[..., ::-1]


CHANGES = ("summand", "contrast_factor", "saturation_factor", "hue_steps")


@pytest.fixture(scope="module", params=SEEDS)
def distortions(request):
    """What 800 distortions drew, and what they made of a picture."""
    pipeline = A.Compose([PhotometricDistortion()], save_applied_params=True)
    image = trees.picture(request.param, 9, 11)
    found = []
    for index in range(800):
        generator = np.random.default_rng((request.param, index))
        pipeline.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        outputs = pipeline(image=image)
        ((_, drawn),) = outputs["applied_transforms"]
        found.append((drawn, outputs["image"]))
    return image, found


def test_photometric_distortion_is_the_formula(distortions):
    image, found = distortions
    for drawn, out in found:
        np.testing.assert_array_equal(out, photometric(image, drawn))
    assert 0.85 < np.mean([(out != image).any() for _, out in found]) < 0.97, "15 of 16"


def test_photometric_changes_are_independent_and_as_likely(distortions):
    _, found = distortions
    subsets = [tuple(drawn[name] is not None for name in CHANGES) for drawn, _ in found]
    assert_uniform([subsets.count(subset) for subset in np.ndindex(2, 2, 2, 2)])
    for name in CHANGES:
        order = [drawn["contrast_first"] for drawn, _ in found if drawn[name] is not None]
        assert_uniform([order.count(True), order.count(False)])


def test_photometric_changes_are_uniform(distortions):
    _, found = distortions
    limits = {"summand": (-32, 32), "contrast_factor": (0.5, 1.5), "saturation_factor": (0.5, 1.5)}
    for name, (least, most) in limits.items():
        drawn = np.array([drawn[name] for drawn, _ in found if drawn[name] is not None])
        assert least <= drawn.min() and drawn.max() <= most
        assert_uniform(np.histogram(drawn, bins=10, range=(least, most))[0])
    steps = [drawn["hue_steps"] for drawn, _ in found if drawn["hue_steps"] is not None]
    assert_uniform([steps.count(step) for step in range(-18, 18)])
    assert set(steps) <= set(range(-18, 18)), "the upper end is never drawn"


@pytest.mark.parametrize("probability", [0, 0.25, 1])
def test_photometric_changes_have_their_probability(probability):
    pipeline = A.Compose([PhotometricDistortion(0, 0, 0, 90, probability)])
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 1] = 255  # green is at 120 degrees
    hues = [
        2.0 * cv2.cvtColor(out, cv2.COLOR_RGB2HSV)[0, 0, 0]
        for out, _ in draws(pipeline, 0, 400, image)
    ]
    turned = np.mean(np.array(hues) != 120)  # a turn by nothing is drawn every ninetieth time
    assert probability - 3.9 * math.sqrt(probability * (1 - probability) / 400) - 0.03 <= turned
    assert turned <= probability + 3.9 * math.sqrt(probability * (1 - probability) / 400)
    if probability:
        assert 30 <= min(hues) < 45 and 195 < max(hues) < 210


@pytest.mark.parametrize(
    ("name", "value", "most"),
    [
        ("brightness", 256, 255),
        ("contrast", 1.5, 1),
        ("saturation", -0.1, 1),
        ("hue", 181, 180),
        ("probability", 2, 1),
    ],
)
def test_impossible_distortions_are_refused(name, value, most):
    with pytest.raises(ConfigError, match=rf"^augment\.color\.{name}={value}: give 0 to {most}$"):
        PhotometricDistortion(**{name: value})


MMSEG_LIKE = {"scale": (1, 1, 0), "padding": "mean", "pad_before_flip": False, "color": NO_COLOR}


@pytest.mark.parametrize("flip", [0, 1])
def test_padding_with_the_mean_is_zero_at_the_right_even_of_mirrored_images(flip):
    image, columns = coordinates(10, 20)
    pipeline = published(15, 30, flip=flip, **IMAGENET, **MMSEG_LIKE)
    ((out, label),) = draws(pipeline, 0, 1, image, columns)
    wanted = np.full((15, 30), 255)
    wanted[:10, :20] = columns[:, ::-1] if flip else columns
    np.testing.assert_array_equal(label, wanted)
    assert (out[label == 255] == 0).all()
    normalised = (image / 255 - IMAGENET["mean"]) / IMAGENET["std"]
    np.testing.assert_allclose(
        out[:10, :20], normalised[:, ::-1] if flip else normalised, atol=1e-5
    )


def test_colours_can_be_left_alone():
    image = trees.picture(0, 16, 20)
    pipeline = training_pipeline(
        height=16,
        width=20,
        mean=HALF,
        std=HALF,
        scale={"min": 1, "max": 1, "step": 0},
        color=None,
        flip=0,
    )
    ((out, _),) = draws(pipeline, 0, 1, image)
    np.testing.assert_array_equal(np.rint((out * 0.5 + 0.5) * 255), image)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"padding": "black"}, r"^augment\.padding=black: use grey or mean$"),
        ({"cat_max_ratio": 0}, r"^augment\.cat_max_ratio=0: give a fraction above 0, 1 for any"),
        ({"cat_max_ratio": 1.5}, r"^augment\.cat_max_ratio=1\.5: give a fraction above 0"),
    ],
)
def test_impossible_settings_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        published(8, 8, **setting)


SMALL = ("dataset.crop.height=40", "dataset.crop.width=48")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("overrides", [(), ("dataset.fit.long=128", "dataset.fit.short=64")])
def test_mmsegmentations_samples_depend_on_seed_and_counter_alone(tmp_path, seed, overrides):
    data = one_picture(tmp_path, 50, 60)
    cfg = compose("train", "augment=mmseg", "normalize=imagenet", *SMALL, *overrides)
    pipelines = [build_data.training_augmentation(cfg, data) for _ in range(2)]
    forward, backward = (TrainingSamples(data, pipeline, seed) for pipeline in pipelines)
    first = [forward[counter, 0] for counter in range(12)]
    again = [backward[counter, 0] for counter in reversed(range(12))][::-1]
    for sample, same in zip(first, again, strict=True):
        assert sample["image"].shape == (3, 40, 48) and sample["label"].shape == (40, 48)
        assert (sample["image"] == same["image"]).all()
        assert (sample["label"] == same["label"]).all()
        ignored = sample["label"] == 255
        assert (sample["image"][:, ignored] == 0).all()
    assert len({sample["image"].numpy().tobytes() for sample in first}) == 12
    other = TrainingSamples(data, pipelines[0], seed + 1)[0, 0]
    assert (other["image"] != first[0]["image"]).any()


@pytest.mark.parametrize(
    ("dataset", "sizes"),
    [
        ("cityscapes", (2048, 1024)),
        ("voc", (2048, 512)),
        ("ade20k", (2048, 512)),
        ("camvid", (None, None)),
        ("scenes", (None, None)),
        ("folder dataset.root=mine", (None, None)),
    ],
)
def test_mmsegmentation_fits_images_as_the_dataset_says(dataset, sizes):
    cfg = compose("train", "augment=mmseg", *f"dataset={dataset}".split())
    assert (cfg.augment.scale.fit.long, cfg.augment.scale.fit.short) == sizes
    assert compose("train", *f"dataset={dataset}".split()).augment.scale.fit is None


def test_a_dataset_of_ones_own_needs_no_fit(tmp_path):
    cfg = compose("train", "augment=mmseg", "~dataset.fit", *SMALL, "augment.scale.max=1")
    assert cfg.augment.scale.fit is None
    data = one_picture(tmp_path, 50, 60)
    build_data.training_augmentation(cfg, data)
    cfg.dataset.crop.height = 51
    with pytest.raises(ConfigError, match=r": give at most 50$"):
        build_data.training_augmentation(cfg, data)


def test_the_crop_is_compared_with_the_fitted_picture(tmp_path):
    """50 x 60 pixels become 75 x 90 in 90 x 80, and half as much again at the largest scale."""
    data = one_picture(tmp_path, 50, 60)
    fitted = ("dataset.fit.long=90", "dataset.fit.short=80", "augment.scale.max=1.5")
    for largest, height, overrides in (
        (113, 113, ("augment=mmseg", *fitted)),
        (75, 75, ("augment=mmseg", *fitted, "augment.scale.fit=null")),
        (75, 75, fitted),
    ):
        cfg = compose("train", *overrides, "dataset.crop.width=64", f"dataset.crop.height={height}")
        build_data.training_augmentation(cfg, data)
        cfg.dataset.crop.height += 1
        with pytest.raises(
            ConfigError,
            match=rf"^dataset\.crop\.height={height + 1} is larger than pictures of height 50 "
            rf"become at augment\.scale\.max=1\.5: give at most {largest}$",
        ):
            build_data.training_augmentation(cfg, data)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("augment.scale.fit=true", r"^augment\.scale\.fit=True: give \{long: pixels, short: pix"),
        ("augment.scale.fit={long:90}", r"^augment\.scale\.fit=\{'long': 90\}: give \{long"),
        ("dataset.fit.long=90", r"^augment\.scale\.fit=\{'long': 90, 'short': None\}: give"),
        ("dataset.fit.long=a dataset.fit.short=3", r"^augment\.scale\.fit=\{'long': 'a', "),
        ("dataset.fit.long=3 dataset.fit.short=9", r"^fit into 3 x 9 pixels: give 1 <= short"),
    ],
)
def test_an_impossible_fit_is_refused(tmp_path, overrides, message):
    cfg = compose("train", "augment=mmseg", *SMALL, *overrides.split())
    with pytest.raises(ConfigError, match=message):
        build_data.training_augmentation(cfg, one_picture(tmp_path, 50, 60))


def test_a_training_is_told_by_its_fit_where_it_is_used():
    fit = ("dataset=cityscapes", "dataset.fit.long=2049", "dataset.fit.short=1025")
    for augment, told in (("published", False), ("mmseg", True)):
        chosen = f"augment={augment}"
        usual = training_settings(compose("train", chosen, "dataset=cityscapes"))
        assert (training_settings(compose("train", chosen, *fit)) != usual) == told


def test_the_other_colours_can_be_chosen(tmp_path):
    data = one_picture(tmp_path, 50, 60)
    cfg = compose(
        "train",
        "augment=mmseg",
        *SMALL,
        "augment.color._target_=gcseg.data.augment.color_distortion",
        "augment.color.brightness=0.4",
    )
    names = [type(transform).__name__ for transform in build_data.training_augmentation(cfg, data)]
    assert names == [
        "RandomScaledCrop",
        "RandomOrder",
        "Normalize",
        "HorizontalFlip",
        "PadIfNeeded",
    ]


def test_mmsegmentations_augmentation_trains_on_scenes(train):
    outcome = train("augment=mmseg", "normalize=imagenet", "tta=none")
    assert outcome.status == 0, outcome.err
