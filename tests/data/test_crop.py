"""The random scaled window: what it draws, which pixels it makes and which it reads."""

import math
import mmap
import random
import re
import sys
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import pytest

from gcseg.data.crop import RandomScaledCrop
from gcseg.data.label_spaces import VOC
from gcseg.data.resize import ResizeToFit
from tests.data import trees
from tests.data.draws import SEEDS, assert_uniform, coordinates, draws, states


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


@pytest.mark.parametrize("scale", [0.5, 0.7331, 1.0, 1.618, 2.0])
@pytest.mark.parametrize("rectangle", [(2048, 512), (256, 128), (131, 131), (131, 67)])
@pytest.mark.parametrize("size", [(37, 50), (50, 37), (33, 33), (64, 128), (20, 200), (31, 7)])
def test_images_are_fitted_into_the_scaled_rectangle(scale, rectangle, size):
    rectangle = [side // 4 for side in rectangle] if max(rectangle) == 2048 else list(rectangle)
    long, short = (math.floor(side * scale) for side in rectangle)
    factor = min(long / max(size), short / min(size))
    wanted = tuple(math.floor(length * factor + 0.5) for length in size)
    crop = RandomScaledCrop(2000, 2000, scale, scale, 0, fit=ResizeToFit(*rectangle))
    ((image, label),) = draws(crop, 0, 1, np.zeros((*size, 3), np.uint8))
    assert image.shape[:2] == label.shape == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_the_scale_of_the_rectangle_is_uniform(seed):
    crop = RandomScaledCrop(4000, 4, 0.5, 2.0, 0, fit=ResizeToFit(1000, 1000))
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


@pytest.mark.parametrize("seed", SEEDS)
def test_a_focus_holds_when_a_window_is_drawn_again(seed):
    """A window that holds the one pixel of another class never becomes mixed."""
    label = np.zeros((40, 120), np.uint8)
    label[33, 70] = 1
    crop = RandomScaledCrop(30, 40, 1, 1, 0, cat_max_ratio=0.75)
    for index in range(40):
        recorder = Recorder(1000 * seed + index)
        crop.set_random_state(np.random.default_rng(index), recorder)
        outputs = crop(image=VOC.palette[label], mask=label, focus=(33, 70))
        assert len(recorder.drawn) == 22, "eleven windows"
        assert all(4 <= top <= 10 for top in recorder.drawn[::2])
        assert all(31 <= left <= 70 for left in recorder.drawn[1::2])
        assert 1 in outputs["mask"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("focus", [(0, 0), (5, 9), (11, 15), (2, 13)])
def test_each_window_that_holds_the_focus_is_as_likely(seed, focus):
    image, label = coordinates(12, 16)
    counts = {
        (top, left): 0
        for top in range(5)
        for left in range(9)
        if top <= focus[0] < top + 8 and left <= focus[1] < left + 8
    }
    crop = RandomScaledCrop(8, 8, 1, 1, 0)
    for out, _ in draws(crop, seed, 40 * len(counts), image, label, focus=focus):
        counts[int(out[0, 0, 1]), int(out[0, 0, 0])] += 1
    if len(counts) > 1:
        assert_uniform(list(counts.values()))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scales", [(1.0, 2.0, 0.25), (1.0, 3.0, 0)])
def test_enlarged_windows_hold_the_focus(seed, scales):
    random_ = random.Random(seed)
    for _ in range(60):
        size = random_.randint(1, 90), random_.randint(1, 90)
        focus = random_.randrange(size[0]), random_.randrange(size[1])
        label = np.zeros(size, np.uint8)
        label[focus] = 1
        crop = RandomScaledCrop(20, 30, *scales)
        ((_, out),) = draws(crop, seed, 1, trees.picture(0, *size), label, focus=focus)
        assert 1 in out


def test_without_a_focus_all_windows_are_drawn():
    image, label = coordinates(40, 60)
    crop = RandomScaledCrop(10, 10)
    for (ours, _), (theirs, _) in zip(
        draws(crop, 0, 20, image, label, focus=None), draws(crop, 0, 20, image, label), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


class WholeThenCrop(RandomScaledCrop):
    """The definition: resize the whole, then crop."""

    def apply(self, img, interpolation=cv2.INTER_LINEAR, **window):
        size = window["scaled_width"], window["scaled_height"]
        if size != img.shape[1::-1]:
            img = cv2.resize(img, size, interpolation=interpolation)
        top, left = window["top"], window["left"]
        return img[top : top + self.height, left : left + self.width]

    def apply_to_mask(self, mask, **window):
        return self.apply(mask, cv2.INTER_NEAREST, **window)


STEPS = (0.5, 2.0, 0.25)
RANGE = (0.5, 2.0, 0)
SHAPES = [(1, 1), (2, 1), (3, 70), (37, 53), (64, 96), (101, 40), (150, 200), (480, 360)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fit", [None, ResizeToFit(160, 90)])
@pytest.mark.parametrize("scales", [STEPS, RANGE, (0.05, 4.0, 0), (1, 1, 0)])
def test_pixels_are_those_of_resizing_the_whole(seed, scales, fit):
    """The same draws make the same labels and, but for rounding, the same pictures."""
    differences = []
    for index, size in enumerate(SHAPES):
        noise = np.random.default_rng((seed, index)).integers(0, 256, (*size, 3), dtype=np.uint8)
        image = cv2.GaussianBlur(noise, (0, 0), 1.0) if min(size) > 2 else noise
        label = trees.mask(seed, range(19), *size)
        settings = {"fit": fit, "cat_max_ratio": 0.9 if index % 2 else 1.0}
        both = (kind(60, 80, *scales, **settings) for kind in (RandomScaledCrop, WholeThenCrop))
        ours, theirs = (draws(crop, seed, 12, image, label) for crop in both)
        for (our_image, our_label), (image_, label_) in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(our_label, label_)
            assert our_image.shape == image_.shape and our_image.dtype == np.uint8
            assert our_image.flags.c_contiguous and our_label.flags.c_contiguous
            differences.append(cv2.absdiff(our_image, image_).ravel())
    found = np.concatenate(differences)
    assert found.max() <= 1
    assert found.mean() < 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_hardest_edges_stay_in_place(seed):
    """From black to white and back in each pixel, where places matter most."""
    image = np.random.default_rng(seed).integers(0, 2, (700, 500, 3), dtype=np.uint8) * 255
    crop, whole = (kind(80, 90, *RANGE) for kind in (RandomScaledCrop, WholeThenCrop))
    for (ours, _), (theirs, _) in zip(
        draws(crop, seed, 30, image), draws(whole, seed, 30, image), strict=True
    ):
        assert cv2.absdiff(ours, theirs).max() <= 3


@pytest.mark.parametrize("seed", SEEDS)
def test_scale_position_and_labels_are_those_of_albumentations(seed):
    """As often each scale and, at each, as evenly spread as a composition written out."""
    image, label = coordinates(40, 60)
    label = label // 12
    plain = A.Compose(
        [
            A.OneOf(
                [
                    A.Resize(int(40 * scale), int(60 * scale), mask_interpolation=0, p=1)
                    for scale in (1.0, 1.5, 2.0)
                ],
                p=1,
            ),
            A.RandomCrop(32, 32),
        ]
    )
    count = 900
    means = []
    for pipeline in (plain, RandomScaledCrop(32, 32, 1, 2, 0.5)):
        drawn = []
        for out, out_label in draws(pipeline, seed, count, image, label):
            columns = out[..., 0].astype(float)
            scale = 31 / max(columns[0, -1] - columns[0, 0], 1)
            drawn.append((scale, columns.mean(), out[..., 1].mean(), (out_label == 2).mean()))
        means.append(np.array(drawn))
    for ours, theirs in zip(means[1].T, means[0].T, strict=True):
        places = np.sort(np.concatenate([ours, theirs]))
        gap = np.abs(
            np.searchsorted(np.sort(ours), places, "right")
            - np.searchsorted(np.sort(theirs), places, "right")
        ).max()
        assert gap / count < 2.23 * math.sqrt(2 / count), "Kolmogorov and Smirnov's at 0.9999"


def test_needs_no_mask_and_takes_grey_images():
    grey = trees.picture(0, 30, 40)[..., 0]
    crop = A.Compose([RandomScaledCrop(16, 20, cat_max_ratio=0.5)])
    for image in (grey, grey[..., None], trees.picture(0, 30, 40)):
        for index in range(10):
            crop.set_random_state(*states(0, index))
            outputs = crop(image=image)
            assert set(outputs) == {"image"}
            assert outputs["image"].shape[2:] == image.shape[2:]


def test_leaves_the_source_alone():
    """What is made at scale 1 is a copy, which later transforms may change."""
    image, label = trees.picture(0, 20, 30), trees.mask(0, range(9), 20, 30)
    kept = image.copy(), label.copy()
    for array in (image, label):
        array.flags.writeable = False
    for scales in ((1, 1, 0), STEPS):
        for out, out_label in draws(RandomScaledCrop(20, 30, *scales), 0, 10, image, label):
            out[:] = 0
            out_label[:] = 0
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(label, kept[1])


def test_sources_may_be_any_views():
    image, label = trees.picture(0, 50, 60), trees.mask(0, range(9), 50, 60)
    wide, wide_label = np.repeat(image, 3, 1), np.repeat(label, 3, 1)
    crop = RandomScaledCrop(20, 30)
    for (ours, our_label), (theirs, their_label) in zip(
        draws(crop, 0, 20, wide[::-1, ::3], wide_label[::-1, ::3]),
        draws(crop, 0, 20, image[::-1].copy(), label[::-1].copy()),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(our_label, their_label)


def resident_bytes(path):
    """How much of a mapped file this process has touched."""
    text = Path("/proc/self/smaps").read_text()
    (entry,) = re.findall(rf"{re.escape(str(path))}\n(?:\w.*\n)*?Rss: +(\d+) kB", text)
    return 1024 * int(entry)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/smaps")
@pytest.mark.parametrize("scale", [0.5, 0.75, 1.0, 1.25, 1.618, 2.0])
@pytest.mark.parametrize("padded", [False, True])
def test_reads_only_the_rows_of_the_window(tmp_path, scale, padded):
    """Of a memory map with 4 KiB per row, contiguous or not."""
    rows, columns = 4096, 1024
    stored = columns + 340 if padded else columns + 341
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(rows * stored * 3)
    crop = RandomScaledCrop(64, 64, scale, scale, 0)
    for seed in SEEDS:
        image = np.memmap(path, np.uint8, "r", shape=(rows, stored, 3))
        image._mmap.madvise(mmap.MADV_RANDOM)  # no pages around the one that is touched
        source = image[:, :columns] if padded else image
        crop.set_random_state(*states(seed, 0))
        crop(image=source)
        window = 64 / scale + 2
        touched = resident_bytes(path) / (stored * 3)
        # At 1.618 up to a few dozen pixels are made too many.
        assert touched <= window + (3 + 260 / scale if scale == 1.618 else 12)
        del source, image


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (-1, -1), (1, 0), (0, -1), (1, -1)])
def test_scales_very_near_to_one(seed, height, width):
    """OpenCV copies where it would resize to the same size; the whole is resized then."""
    generator = np.random.default_rng(seed)
    image = cv2.GaussianBlur(generator.integers(0, 256, (290, 461, 3), np.uint8), (0, 0), 1)
    scaled = cv2.resize(image, (461 + width, 290 + height), interpolation=cv2.INTER_LINEAR)
    crop = RandomScaledCrop(64, 96)
    for top, left in generator.integers(0, 190, (20, 2)):
        window = {"scaled_height": 290 + height, "scaled_width": 461 + width}
        made = crop.apply(image, **window, top=int(top), left=int(left))
        wanted = scaled[top : top + 64, left : left + 96]
        assert np.abs(made.astype(int) - wanted).max() <= 2
