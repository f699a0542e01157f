"""Labels that were exchanged are found by content, and none is invented."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from gcseg.data.check import alignment
from gcseg.data.check.alignment import Outline, exchanged, outline, poorest
from gcseg.data.folder import camvid
from gcseg.data.scenes.draw import draw_scene
from tests.data import faulty
from tests.data.trees import mask, picture


@functools.cache
def shapes(seed, count):
    random = np.random.default_rng(seed)
    return [faulty.draw(random) for _ in range(count)]


@functools.cache
def scene(seed, index, height, width):
    return draw_scene(np.random.default_rng((seed, index)), height, width)


def street(seed, count, height=40, width=80):
    return [scene(seed, index, height, width) for index in range(count)]


@functools.cache
def noise(seed, count):
    return [(picture(count * seed + k), mask(count * seed + k, range(9))) for k in range(count)]


@functools.cache
def smooth(seed, count):
    """Coarse blots, and labels that have nothing to do with them."""
    random = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        image = random.integers(0, 256, (6, 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        label = random.integers(0, 3, (6, 8)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        pairs.append((image, np.roll(label, random.integers(0, 8, 2), (0, 1))))
    return pairs


OUTLINES = {}
"""Outlines by the identities of a picture and a label, which are kept with it."""


def outline_once(image, label):
    key = (id(image), id(label))
    if key not in OUTLINES:
        OUTLINES[key] = (outline(image, label), image, label)
    return OUTLINES[key][0]


def outlined(pairs):
    outlines = [(index, outline_once(*pair)) for index, pair in enumerate(pairs)]
    return [(index, one) for index, one in outlines if one is not None]


def found(pairs):
    return exchanged(outlined(pairs))


def exchange(pairs, one, other):
    pairs = list(pairs)
    (image, label), (other_image, other_label) = pairs[one], pairs[other]
    pairs[one], pairs[other] = (image, other_label), (other_image, label)
    return pairs


@pytest.mark.parametrize("draw", [shapes, street, noise, smooth])
@pytest.mark.parametrize("seed", range(3))
def test_none_is_invented(draw, seed):
    assert found(draw(seed, 60)) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shift", [4, 8])
def test_loosely_drawn_sparse_labels_are_not_exchanged(seed, shift):
    """Most fit nothing, and a few fit one another by chance."""
    random = np.random.default_rng(seed)
    pairs = [faulty.draw(random, classes=2) for _ in range(100)]
    moved = [
        (image, np.roll(label, random.integers(-shift, shift + 1, 2), (0, 1)))
        for image, label in pairs
    ]
    assert found(moved) == []


@pytest.mark.parametrize("draw", [shapes, street, noise, smooth])
@pytest.mark.parametrize("count", [alignment.FEWEST, 30])
def test_none_is_invented_among_few(draw, count):
    outlines = outlined(draw(0, 60))
    random = np.random.default_rng(count)
    for _ in range(25):
        chosen = random.choice(len(outlines), count, replace=False)
        assert exchanged([outlines[k] for k in chosen]) == []


@pytest.mark.parametrize("draw", [shapes, street])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("where", [(0, 59), (20, 21), (7, 40)])
def test_an_exchange_is_found(draw, seed, where):
    pairs = draw(seed, 60)
    (only,) = found(exchange(pairs, *where))
    assert (only.first, only.second) == where
    for before, after in zip(only.before, only.after, strict=True):
        assert after > before + 0.1
    own = [outline_once(*pairs[index]).fit for index in where]
    assert sorted(only.after) == pytest.approx(sorted(own), abs=1e-4)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("count", [alignment.FEWEST, 30])
def test_an_exchange_is_found_among_few(seed, count):
    """Also where the pictures are tiny and little stands out."""
    pairs = street(seed, count, 32, 32)
    assert [(e.first, e.second) for e in found(exchange(pairs, 4, 15))] == [(4, 15)]


@pytest.mark.camvid
@pytest.mark.slow
def test_exchanges_in_parts_of_camvid():
    root = Path(os.environ.get("GCSEG_DATA", "data")) / "camvid"
    if not (root / "trainannot").is_dir():
        pytest.skip(f"CamVid is not in {root}; set GCSEG_DATA to the folder that holds camvid/")
    dataset = camvid(root, "train")
    pairs = [dataset.read(index) for index in range(0, len(dataset), 4)]
    outlines = outlined(pairs)
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(40):
        chosen = sorted(random.choice(len(pairs), 30, replace=False).tolist())
        assert exchanged([outlines[k] for k in chosen]) == []
        one, other = chosen[4], chosen[25]  # of other places: they are far apart in the video
        spoilt = dict(outlines[k] for k in chosen)
        (image, label), (other_image, other_label) = pairs[one], pairs[other]
        spoilt |= {one: outline(image, other_label), other: outline(other_image, label)}
        pairs_found = [(e.first, e.second) for e in exchanged(list(spoilt.items()))]
        assert pairs_found in ([], [(one, other)])
        hits += len(pairs_found)
    assert hits >= 30


def test_several_exchanges_are_found():
    pairs = shapes(0, 60)
    for where in ((0, 1), (2, 30), (31, 59)):
        pairs = exchange(pairs, *where)
    assert sorted((e.first, e.second) for e in found(pairs)) == [(0, 1), (2, 30), (31, 59)]


def test_labels_of_another_size_are_not_exchanged():
    """They could not be: the sizes tell."""
    pairs = exchange(shapes(0, 60), 3, 40)
    outlines = [(index, outline(*pair)) for index, pair in enumerate(pairs)]
    outlines[3] = (3, outlines[3][1]._replace(height=47))
    assert exchanged(outlines) == []


def test_few_pairs_tell_nothing():
    pairs = exchange(shapes(0, alignment.FEWEST - 1), 0, 1)
    assert found(pairs) == []


def test_pairs_that_are_all_alike():
    assert found(shapes(0, 1) * 30) == []


def test_a_label_fits_its_picture_better_than_others():
    pairs = street(0, 12)
    own = [outline(image, label).fit for image, label in pairs]
    others = [outline(image, pairs[k - 1][1]).fit for k, (image, _) in enumerate(pairs)]
    assert min(own) > max(others) + 0.1


@pytest.mark.parametrize("size", [(32, 32), (20, 300), (480, 360), (1024, 2048)])
def test_any_size_is_compared(size):
    random = np.random.default_rng(0)
    label = np.zeros(size, np.uint8)
    label[size[0] // 5 : 2 * size[0] // 5, size[1] // 4 : -size[1] // 4] = 1
    image = (100 + 100 * label[..., None] + random.normal(0, 9, (*size, 3))).astype(np.uint8)
    fit = outline(image, label).fit
    assert fit > 0.3 and fit > outline(image[::-1], label).fit + 0.2


def test_nothing_to_compare():
    image, label = shapes(0, 1)[0]
    assert outline(np.zeros_like(image), label) is None
    assert outline(image, np.zeros_like(label)) is None
    assert outline(image[:1, :1], label[:1, :1]) is None


def test_the_poorest_fits_are_kept_in_order():
    fits = np.random.default_rng(0).permutation(2 * alignment.CANDIDATES) / 10_000
    empty = np.zeros(1, np.uint8)
    outlines = [(k, Outline(empty, empty, float(fit), 1, 1)) for k, fit in enumerate(fits)]
    kept = poorest(outlines)
    assert [k for k, _ in kept] == np.flatnonzero(fits < alignment.CANDIDATES / 10_000).tolist()
