"""Whole images, windows and augmented views: PaddleSeg's numbers, and what must hold anyway."""

import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gcseg.data.resize import ResizeToFit
from gcseg.errors import ConfigError
from gcseg.inference.predict import predict_labels, predict_scores
from gcseg.inference.protocol import Augmentation, Protocol, SlidingWindow
from tests.golden import expected, golden_model, image

NONE = Augmentation()
FLIP = Augmentation(flip=True)
MSFLIP = Augmentation((0.75, 1.0, 1.25), flip=True)
MODES = {"none": NONE, "flip": FLIP, "msflip": MSFLIP}


class Network:
    """A small network that sees neighbouring pixels; counts its calls and their sizes."""

    def __init__(self, seed=0, classes=4):
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(classes, 3, 3, 3, generator=generator)
        self.sizes = []

    def __call__(self, images):
        self.sizes.append(tuple(images.shape[-2:]))
        return F.conv2d(images, self.weight, padding=1)


def pointwise(images):
    """Logits that depend on nothing but the pixel."""
    return torch.cat([images, images.sum(1, keepdim=True)], 1)


@pytest.fixture(scope="module")
def golden():
    return golden_model("paddleseg_gcnet_r18"), expected("paddleseg_tta_r18")


def assert_paddleseg(scores, wanted, name):
    logits = wanted[f"{name}_logits"]
    error = np.abs(scores.numpy() - logits).max() / np.abs(logits).max()
    assert error < 1e-5, f"{name} logits differ by {error:.1e}"
    assert np.array_equal(predict_labels(scores, *logits.shape[-2:]), wanted[f"{name}_pred"])


def test_augmentation_is_paddlesegs(golden):
    model, wanted = golden
    found = predict_scores(model, image((1, 3, 64, 96), seed=7), MODES)
    assert list(found) == list(MODES)
    for name, scores in found.items():
        assert_paddleseg(scores, wanted, name)


def test_sliding_window_is_paddlesegs(golden):
    model, wanted = golden
    window = SlidingWindow(48, 64, 32, 40)
    slid = predict_scores(
        model, image((1, 3, 80, 120), seed=8), {"none": NONE}, Protocol(window=window)
    )
    assert_paddleseg(slid["none"], wanted, "slide")


@pytest.mark.parametrize("size", [(24, 32), (25, 31), (7, 9), (1, 1)])
@pytest.mark.parametrize("average", ["logits", "probabilities"])
@pytest.mark.parametrize("window", [None, SlidingWindow(10, 12, 7, 5)])
def test_modes_at_once_are_each_mode_alone(size, average, window):
    images = image((2, 3, *size), seed=3)
    settings = {"average": average, "window": window}
    modes = {**MODES, "scales": Augmentation((2.0, 0.5))}
    at_once = predict_scores(Network(), images, modes, Protocol(**settings))
    for name, mode in modes.items():
        alone = predict_scores(Network(), images, {name: mode}, Protocol(**settings))[name]
        assert torch.equal(at_once[name], alone), name
        assert alone.shape == (2, 4, *size) and alone.dtype == torch.float32


def test_views_that_modes_share_are_predicted_once():
    model = Network()
    predict_scores(model, image((1, 3, 20, 30), seed=0), MODES)
    assert sorted(model.sizes) == [(15, 23)] * 2 + [(20, 30)] * 2 + [(25, 38)] * 2
    assert len(MSFLIP.views) == 6 and len(FLIP.views) == 2 and NONE.views == [(1.0, False)]


def test_sizes_are_rounded_half_up():
    model = Network()
    scores = predict_scores(model, image((1, 3, 10, 30), seed=0), {"x": Augmentation((0.25, 0.01))})
    assert sorted(model.sizes) == [(1, 1), (3, 8)]
    assert scores["x"].shape == (1, 4, 10, 30)


def test_no_augmentation_is_the_model():
    images = image((2, 3, 9, 11), seed=0)
    assert torch.equal(predict_scores(Network(), images, {"x": NONE})["x"], Network()(images))


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_views_are_averaged(average):
    images = image((2, 3, 18, 22), seed=5)
    found = predict_scores(Network(), images, {"x": MSFLIP}, Protocol(average=average))["x"]
    views = []
    for scale in (0.75, 1.0, 1.25):
        size = [int(length * scale + 0.5) for length in (18, 22)]
        scaled = F.interpolate(images, size, mode="bilinear", align_corners=False)
        for mirror in (lambda x: x, lambda x: x.flip(3)):
            logits = mirror(Network()(mirror(scaled)))
            logits = F.interpolate(logits, (18, 22), mode="bilinear", align_corners=False)
            views.append(logits.softmax(1) if average == "probabilities" else logits)
    torch.testing.assert_close(found, torch.stack(views).mean(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
def test_probabilities_add_up_to_one(mode):
    images = image((2, 3, 13, 17), seed=1)
    scores = predict_scores(Network(), images, {"x": mode}, Protocol(average="probabilities"))["x"]
    assert (scores >= 0).all()
    torch.testing.assert_close(scores.sum(1), torch.ones(2, 13, 17))


def test_a_mirrored_image_gives_the_mirrored_scores():
    images = image((1, 3, 12, 16), seed=2)
    scores = predict_scores(Network(), images, {"x": FLIP})["x"]
    mirrored = predict_scores(Network(), images.flip(3), {"x": FLIP})["x"]
    torch.testing.assert_close(mirrored.flip(3), scores)
    assert not torch.allclose(Network()(images.flip(3)).flip(3), Network()(images))


@pytest.mark.parametrize("window", [(24, 32, 24, 32), (40, 40, 13, 20), (24, 400, 1, 1)])
def test_a_window_that_covers_the_image_is_the_whole_image(window):
    images = image((2, 3, 24, 32), seed=4)
    model = Network()
    slid = predict_scores(model, images, MODES, Protocol(window=SlidingWindow(*window)))
    assert len(model.sizes) >= 6
    whole = predict_scores(Network(), images, {"none": NONE, "flip": FLIP})
    for name, scores in whole.items():
        assert torch.equal(slid[name], scores)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [(24, 32), (25, 37), (9, 50), (50, 9), (3, 4)])
@pytest.mark.parametrize("window", [(10, 12, 7, 5), (10, 12, 10, 12), (8, 8, 1, 3)])
def test_windows_cover_every_pixel(seed, size, window):
    """Logits that depend on the pixel alone must come out as if there were no windows."""
    images = image((1, 3, *size), seed=seed)
    slid = SlidingWindow(*window).logits(pointwise, images)
    torch.testing.assert_close(slid, pointwise(images), rtol=1e-5, atol=1e-5)


def test_windows_are_those_of_the_formula():
    model = Network()
    images = image((1, 3, 80, 120), seed=0)
    slid = SlidingWindow(48, 64, 32, 40).logits(model, images)
    # Tops 0, 32; lefts 0, 40, and 80 moved back to 56.
    assert model.sizes == [(48, 64)] * 6
    wanted, count = torch.zeros(1, 4, 80, 120), torch.zeros(1, 1, 80, 120)
    for top in (0, 32):
        for left in (0, 40, 56):
            part = (..., slice(top, top + 48), slice(left, left + 64))
            wanted[part] += Network()(images[part])
            count[part] += 1
    torch.testing.assert_close(slid, wanted / count)


@pytest.mark.parametrize(
    ("size", "scale", "fitted"),
    [
        ((375, 500), 1.0, (512, 683)),  # the short side decides
        ((500, 375), 1.0, (683, 512)),  # either way up
        ((100, 500), 1.0, (410, 2048)),  # the long side decides
        ((375, 500), 0.75, (384, 512)),
        ((1024, 2048), 0.5, (256, 512)),
        ((333, 500), 1.75, (896, 1345)),
    ],
)
def test_images_are_fitted_before_the_scales(size, scale, fitted):
    """Sizes as mmsegmentation's rescale_size gives them for 2048 x 512 pixels."""
    model = Network()
    mode = Augmentation((scale,))
    scores = predict_scores(
        model, image((1, 3, *size), seed=0), {"x": mode}, Protocol(resize=ResizeToFit(2048, 512))
    )
    assert model.sizes == [fitted]
    assert scores["x"].shape[-2:] == size


def test_fitted_images_are_resized_once_from_their_own_size():
    images = image((1, 3, 12, 16), seed=1)
    scores = predict_scores(
        Network(), images, {"x": Augmentation((0.5,))}, Protocol(resize=ResizeToFit(48, 36))
    )["x"]
    resized = F.interpolate(images, (18, 24), mode="bilinear")
    wanted = F.interpolate(Network()(resized), (12, 16), mode="bilinear")
    torch.testing.assert_close(scores, wanted)


def test_an_image_that_fits_as_it_is_stays_as_it_is():
    images = image((1, 3, 24, 32), seed=4)
    plain = predict_scores(Network(), images, MODES)
    for name, scores in predict_scores(
        Network(), images, MODES, Protocol(resize=ResizeToFit(32, 24))
    ).items():
        assert torch.equal(scores, plain[name])


def test_logits_are_resized_with_aligned_corners_where_wanted():
    images = image((1, 3, 12, 16), seed=2)
    mode = {"x": Augmentation((0.5,))}
    scores = predict_scores(Network(), images, mode, Protocol(align_corners=True))["x"]
    small = Network()(F.interpolate(images, (6, 8), mode="bilinear"))
    wanted = F.interpolate(small, (12, 16), mode="bilinear", align_corners=True)
    torch.testing.assert_close(scores, wanted)
    assert not torch.allclose(scores, predict_scores(Network(), images, mode)["x"])


@pytest.mark.parametrize("sizes", [(0, 0), (512, 2048), (-4, -8)])
def test_rectangles_that_hold_nothing(sizes):
    with pytest.raises(ConfigError, match=r"^fit into .* pixels: give 1 <= short <= long$"):
        ResizeToFit(*sizes)


def test_memory_does_not_grow_with_the_views():
    outputs, alive = [], []

    def model(images):
        alive.append(sum(output() is not None for output in outputs))
        logits = F.conv2d(images, torch.ones(4, 3, 1, 1))
        outputs.append(weakref.ref(logits))
        return logits

    scales = tuple(1 + index / 8 for index in range(10))
    predict_scores(model, image((1, 3, 16, 16), seed=0), {"x": Augmentation(scales, flip=True)})
    assert len(alive) == 20
    assert max(alive) <= 1


@pytest.mark.parametrize("window", [None, SlidingWindow(8, 8, 8, 8)])
def test_half_precision_models_are_averaged_in_float32(window):
    images = image((1, 3, 12, 16), seed=0)
    scores = predict_scores(
        lambda x: pointwise(x).bfloat16(), images, {"x": FLIP}, Protocol(window=window)
    )["x"]
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, pointwise(images), rtol=1e-2, atol=1e-2)


def test_the_images_are_left_alone():
    images = image((1, 3, 12, 16), seed=0)
    predict_scores(pointwise, images, MODES, Protocol(window=SlidingWindow(8, 8, 4, 4)))
    predict_scores(lambda x: x, images, MODES)
    assert torch.equal(images, image((1, 3, 12, 16), seed=0))


def test_labels_are_cut_to_the_image():
    scores = image((2, 5, 8, 10), seed=0)
    labels = predict_labels(scores, 6, 7)
    assert labels.shape == (2, 6, 7) and labels.dtype == torch.int64
    assert torch.equal(labels, scores.argmax(1)[:, :6, :7])


@pytest.mark.parametrize(
    "scales", [(), (0.0,), (1.0, -0.5), (float("nan"),), (1.0, float("inf")), []]
)
def test_wrong_scales(scales):
    with pytest.raises(ConfigError, match=r"^tta scales \[.*\]: give one or more above 0$"):
        Augmentation(scales)


def test_repeated_scales():
    with pytest.raises(ConfigError, match=r"^tta scales \[1\.0, 0\.5, 1\.0\] repeat: give each"):
        Augmentation([1, 0.5, 1.0])


def test_scales_from_a_configuration():
    assert Augmentation([1, 2]).scales == (1.0, 2.0)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((10, 12, 11, 12), "height 10 and stride 11: use a stride of 1 to the window's height$"),
        ((10, 12, 0, 12), "height 10 and stride 0: use"),
        ((10, 12, 5, 13), "width 12 and stride 13: use a stride of 1 to the window's width$"),
        ((10, 12, 5, -1), "width 12 and stride -1: use"),
        ((0, 12, 0, 5), "height 0 and stride 0: use"),
    ],
)
def test_windows_with_gaps(sizes, message):
    with pytest.raises(ConfigError, match=f"^sliding window with {message}"):
        SlidingWindow(*sizes)
