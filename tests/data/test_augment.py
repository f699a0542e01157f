"""Training augmentation: what it draws, how often, and that image and label stay together."""

import math
import warnings

import albumentations as A
import cv2
import numpy as np
import pytest

from gcseg.builders import data as build_data
from gcseg.config.plain import plain
from gcseg.data.augment import evaluation_pipeline, training_pipeline
from gcseg.data.colors import RandomDistort
from gcseg.data.crop import RandomScaledCrop
from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import VOC
from gcseg.data.samples import TrainingSamples
from gcseg.errors import ConfigError
from gcseg.runs.name import training_settings
from tests.data import trees
from tests.data.draws import SEEDS, coordinates, draws
from tests.running import compose

HALF = (0.5, 0.5, 0.5)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
NO_COLOR = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "probability": 0}
COLOR = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 25.3125, "probability": 0.5}


def published(height, width, *, mean=HALF, std=HALF, scale=(0.5, 2.0, 0.25), color=COLOR, **more):
    more.setdefault("flip", 0.5)
    return training_pipeline(
        height=height,
        width=width,
        mean=mean,
        std=std,
        scale=dict(zip(("min", "max", "step"), scale, strict=True)),
        color=RandomDistort(**color),
        **more,
    )


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


@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("size", [(30, 40), (30, 25), (12, 40), (29, 39), (1, 1)])
@pytest.mark.parametrize(("padding", "before"), [("grey", True), ("mean", False)])
def test_normalisation_padding_and_mirroring_are_those_of_albumentations(
    flip, size, padding, before
):
    image, label = trees.picture(0, *size), trees.mask(0, range(19), *size)
    settings = {"padding": padding, "pad_before_flip": before, "flip": flip}
    ours = published(30, 40, color=NO_COLOR, **settings, **IMAGENET).finish
    mean, std = IMAGENET.values()
    grey = [(0.5 - m) / s for m, s in zip(mean, std, strict=True)]
    fill = grey if padding == "grey" else 0.0
    pad = A.PadIfNeeded(30, 40, position="top_left", border_mode=0, fill=fill, fill_mask=255)
    mirror = A.HorizontalFlip(p=flip)
    theirs = A.Compose([A.Normalize(mean, std), *((pad, mirror) if before else (mirror, pad))])
    (out, out_label), (wanted, wanted_label) = (
        next(draws(pipeline, 0, 1, image, label)) for pipeline in (ours, theirs)
    )
    np.testing.assert_allclose(out, wanted, atol=1e-5)
    np.testing.assert_array_equal(out_label, wanted_label)
    assert out.transpose(2, 0, 1).flags.c_contiguous, "as networks take it, without a copy"


@pytest.mark.parametrize("seed", SEEDS)
def test_windows_padding_and_flips_are_as_often_as_in_a_plain_composition(seed):
    """PaddleSeg's order: resize the whole, pad, crop, mirror."""
    image, label = coordinates(40, 60)
    plain = A.Compose(
        [
            A.OneOf([A.Resize(int(40 * s), int(60 * s), p=1) for s in (0.5, 1.0, 1.5)], p=1),
            A.PadIfNeeded(32, 32, position="top_left", border_mode=0, fill=0, fill_mask=255),
            A.RandomCrop(32, 32),
            A.HorizontalFlip(p=0.5),
        ]
    )
    ours = published(32, 32, scale=(0.5, 1.5, 0.5), color=NO_COLOR)
    count, found = 900, []
    for pipeline in (plain, ours):
        drawn = []
        for _, out in draws(pipeline, seed, count, image, label):
            inside = out != 255
            first, last = out[0, inside[0]][[0, -1]].astype(int)
            rows = inside.any(axis=1).sum()
            drawn.append((first > last, abs(last - first), first, rows, inside[0].argmax()))
        found.append(np.sort(np.array(drawn), axis=0))
    for mine, other in zip(found[1].T, found[0].T, strict=True):
        places = np.unique(np.concatenate([mine, other]))
        gap = np.abs(np.subtract(*(np.searchsorted(x, places, "right") for x in (mine, other))))
        assert gap.max() / count < 2.23 * math.sqrt(2 / count), "Kolmogorov and Smirnov's at 0.9999"


def test_scale_one_keeps_the_pixels():
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    label = np.random.default_rng(1).integers(0, 19, (16, 20), dtype=np.uint8)
    pipeline = published(16, 20, scale=(1, 1, 0), color=NO_COLOR, flip=0)
    ((out, out_label),) = draws(pipeline, 0, 1, image, label)
    np.testing.assert_array_equal(np.rint((out * 0.5 + 0.5) * 255), image)
    np.testing.assert_array_equal(out_label, label)


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
        lambda: RandomDistort(**COLOR, sharpness=1),
        lambda: published(8, 8, color={**COLOR, "gamma": 1}),
        lambda: published(8, 8, vertical_flip=0.5),
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
    with pytest.raises(ConfigError, match=r": give at most dataset\.crop\.height=50$"):
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
            match=rf"^dataset\.crop\.height={height + 1} is larger than any image becomes at "
            rf"augment\.scale\.max=1\.5: give at most dataset\.crop\.height={largest}$",
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
        usual = training_settings(plain(compose("train", chosen, "dataset=cityscapes")))
        assert (training_settings(plain(compose("train", chosen, *fit))) != usual) == told


def test_the_other_colours_can_be_chosen(tmp_path):
    data = one_picture(tmp_path, 50, 60)
    cfg = compose(
        "train",
        "augment=mmseg",
        *SMALL,
        "augment.color._target_=gcseg.data.colors.RandomDistort",
        "augment.color.brightness=0.4",
    )
    color, ending = build_data.training_augmentation(cfg, data).finish
    assert isinstance(color, RandomDistort)
    assert (color.brightness, color.hue) == (0.4, 36)
    assert not ending.pad_before_flip


@pytest.mark.parametrize("recipe", ["published", "mmseg"])
def test_a_device_is_left_what_follows_the_crop(tmp_path, recipe):
    data = one_picture(tmp_path, 50, 60)
    chosen = (f"augment={recipe}", *SMALL)
    on_cpu, on_device = (
        build_data.training_augmentation(compose("train", *chosen, f"augment_on={where}"), data)
        for where in ("cpu", "device")
    )
    assert on_cpu.device is None
    color, ending = on_cpu.finish
    assert list(on_device.finish) == []
    device = on_device.device
    assert type(device.color) is type(color)
    for name in ("height", "width", "mean", "std", "fill", "flip", "pad_before_flip"):
        assert np.array_equal(getattr(device, name), getattr(ending, name)), name


def test_a_device_applies_known_colours_only(tmp_path):
    cfg = compose(
        "train",
        *SMALL,
        "augment_on=device",
        "augment.color._target_=albumentations.ColorJitter",
        "augment.color.hue=0.1",
        "~augment.color.probability",
    )
    message = r"^augment_on=device can't apply ColorJitter: choose one of gcseg\.data\.colors, "
    with pytest.raises(ConfigError, match=message):
        build_data.training_augmentation(cfg, one_picture(tmp_path, 50, 60))
    cfg.augment_on = "cpu"
    build_data.training_augmentation(cfg, one_picture(tmp_path, 50, 60))


def test_mmsegmentations_augmentation_trains_on_scenes(train):
    outcome = train("augment=mmseg", "normalize=imagenet", "tta=none")
    assert outcome.status == 0, outcome.err
