"""Repeated images, windows on rare classes and pasted classes bring more of what is rare."""

import itertools
import random

import numpy as np
import pytest

from gcseg.data.augment import training_pipeline
from gcseg.data.class_index import class_index
from gcseg.data.folder import camvid
from gcseg.data.rare import RareClasses, paste, repeat_factors
from gcseg.data.samples import TrainingSamples
from gcseg.data.sampling import StepSampler
from tests.data.trees import picture, write

SEEDS = (0, 1, 2)
SKY, ROAD, POLE, CAR, BICYCLIST = 0, 3, 2, 8, 10
HEIGHT, WIDTH = 60, 80
POLE_AT = (40, 70)  # of image 3, one of eight


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Eight images of sky and road; a pole of 3 x 2 pixels in one, a car in every second one."""
    root = tmp_path_factory.mktemp("camvid")
    for index in range(8):
        label = np.full((HEIGHT, WIDTH), SKY, np.uint8)
        label[30:] = ROAD
        if index % 2:
            label[35:45, 10:30] = CAR
        if index == 3:
            row, column = POLE_AT
            label[row : row + 3, column : column + 2] = POLE
        write(root / "train" / f"{index}.png", picture(index, HEIGHT, WIDTH))
        write(root / "trainannot" / f"{index}.png", label)
    return camvid(root, "train")


@pytest.fixture(scope="module")
def index(dataset):
    return class_index(dataset, None)


def samples(dataset, rare, seed=0, **settings):
    pipeline = training_pipeline(
        height=16,
        width=16,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        scale={"min": 0.5, "max": 2.0, "step": 0.25},
        color=None,
        flip=0.5,
        **settings,
    )
    return TrainingSamples(dataset, pipeline, seed, rare)


def share(drawn, class_index, image, count=200):
    """Of the samples of an image, the fraction that shows a class."""
    found = [bool((drawn[k, image]["label"] == class_index).any()) for k in range(count)]
    return sum(found) / count


def test_repeat_factors(index):
    factors = repeat_factors(index, threshold=0.5)
    assert factors.tolist() == pytest.approx([1, 1, 1, 2, 1, 1, 1, 1])  # sqrt(0.5 / (1 / 8))
    assert repeat_factors(index, threshold=0.0).tolist() == [1] * 8
    assert repeat_factors(index, threshold=1.0)[1] == pytest.approx(2**0.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_repeated_images(seed):
    repeats = np.array([1.0, 2.5, 1.0, 1.3, 4.0, 1.2])
    sampler = StepSampler(6, 4, seed=seed, repeats=repeats)
    assert sampler.epoch_size == 11
    keys = list(itertools.chain.from_iterable(itertools.islice(iter(sampler), 11 * 60 // 4)))
    epochs = np.array([index for _, index in keys]).reshape(-1, 11)
    counts = np.stack([(epochs == image).sum(axis=1) for image in range(6)], axis=1)
    assert (counts >= 1).all(), "none is left out"
    assert (np.abs(counts - repeats) <= 1).all()
    np.testing.assert_allclose(counts.mean(axis=0), repeats, atol=0.2)
    assert len({tuple(order) for order in epochs}) == len(epochs)


@pytest.mark.parametrize("seed", SEEDS)
def test_repeated_images_are_found_from_any_step_and_rank(seed):
    repeats = np.array([1.0, 2.5, 1.0, 1.3])
    whole = list(itertools.islice(iter(StepSampler(4, 6, seed=seed, repeats=repeats)), 9))
    later = StepSampler(4, 6, seed=seed, start=5, repeats=repeats)
    assert list(itertools.islice(iter(later), 4)) == whole[5:]
    ranks = [
        itertools.islice(
            iter(StepSampler(4, 2, seed=seed, rank=rank, world_size=3, repeats=repeats)), 9
        )
        for rank in range(3)
    ]
    assert [[*a, *b, *c] for a, b, c in zip(*ranks, strict=True)] == whole


@pytest.mark.parametrize("seed", SEEDS)
def test_crops_hold_the_rare_class(dataset, index, seed):
    usual = share(samples(dataset, None, seed), POLE, image=3)
    always = share(samples(dataset, RareClasses(index, 1.0, 0.0, 1e-3), seed), POLE, image=3)
    half = share(samples(dataset, RareClasses(index, 0.5, 0.0, 1e-3), seed), POLE, image=3)
    assert usual < 0.3
    assert always > 0.9, "the smallest scale may lose a pole of two pixels"
    assert abs(half - (always + usual) / 2) < 0.12


def test_common_classes_are_left_alone_where_nothing_is_rare(dataset, index):
    rare = RareClasses(index, 1.0, 0.0, 0.01)
    generator = np.random.default_rng(0)
    focuses = [rare.focus(0, generator) for _ in range(50)]
    assert all(focus is not None for focus in focuses)
    assert {row >= 30 for row, _ in focuses} == {False, True}, "sky and road are as frequent"


@pytest.mark.parametrize(("temperature", "least", "most"), [(0.01, 0.99, 1.0), (100.0, 0.4, 0.6)])
def test_temperature(index, temperature, least, most):
    rare = RareClasses(index, 1.0, 0.0, temperature)
    generator = np.random.default_rng(1)
    on_car = 0
    for _ in range(400):
        row, column = rare.focus(1, generator)
        on_car += 35 <= row < 45 and 10 <= column < 30
    # of sky, road and car in image 1: the car almost always, or one time in three
    assert least - 0.2 * (temperature > 1) <= on_car / 400 <= most


@pytest.mark.parametrize("seed", SEEDS)
def test_pasting_brings_a_class_into_images_without_it(dataset, index, seed):
    assert share(samples(dataset, None, seed), POLE, image=0) == 0
    assert share(samples(dataset, RareClasses(index, 0.0, 1.0, 1e-3), seed), POLE, image=0) > 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_drawn_otherwise_stays(dataset, index, seed):
    """A sample that neither crop nor paste touches is the one drawn without them."""
    rare = RareClasses(index, 0.0, 0.5, 0.01)
    changed = 0
    for counter in range(40):
        plain = samples(dataset, None, seed)[counter, 0]
        drawn = samples(dataset, rare, seed)[counter, 0]
        pasted = drawn["label"] != plain["label"]
        assert (drawn["image"] == plain["image"])[:, ~pasted].all()
        changed += bool(pasted.any())
    assert 8 < changed < 32


@pytest.mark.parametrize("seed", SEEDS)
def test_rare_samples_depend_on_seed_and_counter_alone(dataset, index, seed):
    keys = [(counter, counter % 8) for counter in range(24)]
    rare = RareClasses(index, 0.7, 0.7, 0.05)
    forwards = samples(dataset, rare, seed)
    backwards = samples(dataset, rare, seed)
    found = {key: backwards[key] for key in random.Random(seed).sample(keys, len(keys))}
    for key in keys:
        assert (forwards[key]["image"] == found[key]["image"]).all()
        assert (forwards[key]["label"] == found[key]["label"]).all()


def test_paste_into_a_smaller_and_from_a_larger_window():
    generator = np.random.default_rng(0)
    image, donor = (generator.integers(0, 256, (*size, 3), np.uint8) for size in ((6, 9), (8, 5)))
    label, donor_label = np.zeros((6, 9), np.uint8), np.zeros((8, 5), np.uint8)
    donor_label[4:, 2:] = POLE
    before = image.copy()
    pasted, pasted_label = paste(POLE, donor, donor_label, image, label)
    assert (pasted_label[4:6, 2:5] == POLE).all() and (pasted_label == POLE).sum() == 6
    assert (pasted[4:6, 2:5] == donor[4:6, 2:5]).all()
    elsewhere = pasted_label == 0
    assert (pasted[elsewhere] == image[elsewhere]).all()
    assert (image == before).all() and not label.any(), "what is pasted into is not changed"
