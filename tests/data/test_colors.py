"""Distortions of colours: what they draw, how often, and what becomes of a picture."""

import itertools
import math
import random

import albumentations as A
import cv2
import numpy as np
import pytest
from albumentations.augmentations.pixel import functional

from gcseg.data.colors import PhotometricDistortion, RandomDistort
from gcseg.errors import ConfigError
from tests.data import trees
from tests.data.draws import SEEDS, assert_uniform, draws, states

KINDS = ("brightness", "contrast", "saturation", "hue")
NONE = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "probability": 0}
USUAL = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 18, "probability": 0.5}


def photograph(seed, height=60, width=80):
    """Smooth colours of all brightnesses, some of them black and white."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(127 + 100 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def random_changes(seed, count, color):
    return [color.draw(states(seed, index)[1]) for index in range(count)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("probability", [0, 0.5, 1])
def test_each_distortion_has_its_probability(kind, probability):
    image = trees.picture(0, 4, 5)
    color = RandomDistort(**{**NONE, kind: USUAL[kind], "probability": probability})
    changed = np.mean([(out != image).any() for out, _ in draws(color, 0, 400, image)])
    if probability == 0.5:
        assert abs(changed - 0.5) < 3.9 * 0.5 / 20
    else:
        assert abs(changed - probability) < 0.1, "a tiny distortion may change no byte"


@pytest.mark.parametrize("seed", SEEDS)
def test_distortions_are_independent_and_in_random_order(seed):
    drawn = random_changes(seed, 4000, RandomDistort(**USUAL))
    kinds = [tuple(kind for kind, _ in changes) for changes in drawn]
    assert all(len(set(applied)) == len(applied) for applied in kinds), "none is applied twice"
    subsets = [tuple(kind in applied for kind in KINDS) for applied in kinds]
    assert_uniform([subsets.count(subset) for subset in np.ndindex(2, 2, 2, 2)])
    for count in (2, 4):
        assert_uniform([kinds.count(order) for order in itertools.permutations(KINDS, count)])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_distortions_are_uniform(seed, kind):
    drawn = random_changes(seed, 4000, RandomDistort(**USUAL))
    amounts = np.array([dict(changes)[kind] for changes in drawn if kind in dict(changes)])
    least, most = (-18, 18) if kind == "hue" else (0.6, 1.4)
    assert least <= amounts.min() and amounts.max() <= most
    assert_uniform(np.histogram(amounts, bins=10, range=(least, most))[0])


def test_more_than_all_is_nothing():
    drawn = random_changes(0, 300, RandomDistort(**{**NONE, "contrast": 1.5, "probability": 1}))
    factors = [factor for ((_, factor),) in drawn]
    assert 0 <= min(factors) < 0.1 and 2.4 < max(factors) <= 2.5


@pytest.mark.parametrize("hue", [18, 90])
def test_hue_turns_by_degrees(hue):
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 1] = 255  # green is at 120 degrees
    color = RandomDistort(**{**NONE, "hue": hue, "probability": 1})
    hues = [
        2.0 * cv2.cvtColor(out, cv2.COLOR_RGB2HSV)[0, 0, 0]
        for out, _ in draws(color, 0, 300, image)
    ]
    assert 120 - hue - 2 <= min(hues) < 120 - 0.85 * hue
    assert 120 + 0.85 * hue < max(hues) <= 120 + hue + 2


def test_brightness_is_relative():
    image = np.full((2, 2, 3), 100, np.uint8)
    color = RandomDistort(**{**NONE, "brightness": 0.4, "probability": 1})
    greys = [int(out[0, 0, 0]) for out, _ in draws(color, 0, 300, image)]
    assert 60 <= min(greys) < 64 and 136 < max(greys) <= 140
    assert abs(np.mean(greys) - 100) < 6


def adjusted(image, changes):
    """What albumentations makes of an image, a change after the other."""
    for kind, amount in changes:
        adjust = getattr(functional, f"adjust_{kind}_torchvision")
        image = adjust(image, amount / 360 if kind == "hue" else amount)
    return image


AMOUNTS = {
    "brightness": (0.0, 0.6, 0.97, 1.0, 1.4, 3.0),
    "contrast": (0.0, 0.6, 0.97, 1.0, 1.4, 3.0),
    "saturation": (0.0, 0.6, 0.97, 1.0, 1.4, 3.0),
    "hue": (-180, -150, -120, -77, -60, -18, -1.3, 0, 0.7, 18, 60, 77, 120, 150, 180),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_each_change_is_that_of_albumentations(kind, seed):
    """Of bytes but for one level; hue in floating point, as its bytes are rounded to 2 degrees."""
    for image in (photograph(seed), trees.picture(seed, 30, 40)):
        for amount in AMOUNTS[kind]:
            ours = RandomDistort().apply(image, changes=((kind, amount),)).astype(float)
            if kind != "hue":
                assert np.abs(ours - adjusted(image, ((kind, amount),))).max() <= 1
            exact = 255 * adjusted(image.astype(np.float32) / 255, ((kind, amount),))
            assert np.abs(ours - exact).max() < 0.9


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("settings", "most"), [((0.4, 0.4, 0.4, 18), 5), ((0.9, 0.9, 0.9, 60), 9)])
def test_changes_after_one_another_are_those_of_albumentations(seed, settings, most):
    """Several may be applied at once, but what leaves 0..255 is lost after each.

    A change enlarges what was rounded before it, here less than in albumentations' own bytes.
    """
    color = RandomDistort(*settings, 0.8)
    image = photograph(seed)
    errors, theirs = [], []
    for changes in random_changes(seed, 150, color):
        ours = color.apply(image, changes=changes)
        exact = 255 * adjusted(image.astype(np.float32) / 255, changes)
        errors.append(np.abs(ours - exact))
        theirs.append(np.abs(adjusted(image, changes) - exact))
    assert np.max(errors) < most
    assert np.mean(np.array(errors) > 2) < 0.01
    assert np.mean(errors) < 0.5 < np.mean(theirs)


@pytest.mark.parametrize("color", [RandomDistort(probability=1), PhotometricDistortion()])
def test_the_source_is_left_alone(color):
    image = photograph(0)
    image.flags.writeable = False
    kept = image.copy()
    for out, _ in draws(color, 0, 40, image):
        assert out.shape == image.shape and out.dtype == np.uint8
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("brightness", -0.1, "give 0 or more"),
        ("contrast", -1, "give 0 or more"),
        ("saturation", -2, "give 0 or more"),
        ("hue", 181, "give 0 to 180 degrees"),
        ("hue", -1, "give 0 to 180 degrees"),
        ("probability", 1.5, "give 0 to 1"),
    ],
)
def test_impossible_settings_are_refused(name, value, remedy):
    with pytest.raises(ConfigError, match=rf"^augment\.color\.{name}={value}: {remedy}$"):
        RandomDistort(**{name: value})


def photometric(image, changes):
    """mmsegmentation's formula, written out for a BGR image in floating point."""

    def linear(array, factor=1.0, summand=0.0):
        return np.clip(array.astype(np.float32) * factor + summand, 0, 255).astype(np.uint8)

    bgr = image[..., ::-1].copy()
    for kind, amount in changes:
        hue, saturation, value = cv2.split(cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV))
        if kind == "levels":
            bgr = linear(bgr, summand=amount)
        elif kind == "gain":
            bgr = linear(bgr, amount)
        elif kind == "hsv_saturation":
            saturation = linear(saturation, amount)
            bgr = cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2BGR)
        elif kind == "hsv_hue":
            hue = ((hue.astype(int) + amount) % 180).astype(np.uint8)
            bgr = cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2BGR)
    return bgr[..., ::-1]


PHOTOMETRIC_KINDS = ("levels", "gain", "hsv_saturation", "hsv_hue")


@pytest.fixture(scope="module", params=SEEDS)
def distortions(request):
    """What 800 distortions drew, and what they made of a picture."""
    pipeline = A.Compose([PhotometricDistortion()], save_applied_params=True)
    image = trees.picture(request.param, 9, 11)
    found = []
    for index in range(800):
        pipeline.set_random_state(*states(request.param, index))
        outputs = pipeline(image=image)
        ((_, params),) = outputs["applied_transforms"]
        found.append((params["changes"], outputs["image"]))
    return image, found


def test_photometric_distortion_is_the_formula(distortions):
    image, found = distortions
    for changes, out in found:
        np.testing.assert_array_equal(out, photometric(image, changes))
    assert 0.85 < np.mean([(out != image).any() for _, out in found]) < 0.97, "15 of 16"


def test_photometric_changes_are_independent_and_as_likely(distortions):
    _, found = distortions
    kinds = [tuple(kind for kind, _ in changes) for changes, _ in found]
    subsets = [tuple(kind in applied for kind in PHOTOMETRIC_KINDS) for applied in kinds]
    assert_uniform([subsets.count(subset) for subset in np.ndindex(2, 2, 2, 2)])
    for other in ("hsv_saturation", "hsv_hue"):
        both = [applied for applied in kinds if {"gain", other} <= set(applied)]
        first = sum(applied.index("gain") < applied.index(other) for applied in both)
        assert_uniform([first, len(both) - first])
    fixed = ("levels", "hsv_saturation", "hsv_hue")
    for applied in kinds:
        rest = [kind for kind in applied if kind != "gain"]
        assert rest == [kind for kind in fixed if kind in applied]
        assert "gain" not in applied or applied[0] == "levels" or "levels" not in applied
        assert {"hsv_saturation", "gain", "hsv_hue"} - set(applied) or applied[-2] != "gain"


def test_photometric_changes_are_uniform(distortions):
    _, found = distortions
    limits = {"levels": (-32, 32), "gain": (0.5, 1.5), "hsv_saturation": (0.5, 1.5)}
    drawn = [dict(changes) for changes, _ in found]
    for kind, (least, most) in limits.items():
        amounts = np.array([changes[kind] for changes in drawn if kind in changes])
        assert least <= amounts.min() and amounts.max() <= most
        assert_uniform(np.histogram(amounts, bins=10, range=(least, most))[0])
    steps = [changes["hsv_hue"] for changes in drawn if "hsv_hue" in changes]
    assert_uniform([steps.count(step) for step in range(-18, 18)])
    assert set(steps) <= set(range(-18, 18)), "the upper end is never drawn"


@pytest.mark.parametrize("probability", [0, 0.25, 1])
def test_photometric_changes_have_their_probability(probability):
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 1] = 255  # green is at 120 degrees
    hues = [
        2.0 * cv2.cvtColor(out, cv2.COLOR_RGB2HSV)[0, 0, 0]
        for out, _ in draws(PhotometricDistortion(0, 0, 0, 90, probability), 0, 400, image)
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


@pytest.mark.parametrize("kind", [RandomDistort, PhotometricDistortion])
def test_draws_depend_on_the_generator_alone(kind):
    first, again = (kind().draw(random.Random(5)) for _ in range(2))
    assert first == again
    assert len({kind().draw(random.Random(seed)) for seed in range(20)}) > 15
    with pytest.raises(TypeError, match="argument"):
        kind(sharpness=1)
