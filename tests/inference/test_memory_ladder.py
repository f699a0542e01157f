"""Out of memory: the same labels in smaller parts, by the first step that fits, and said."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gcseg.data.resize import ResizeToFit
from gcseg.errors import MemoryLimitError, is_out_of_memory
from gcseg.inference import strips as inference_strips
from gcseg.inference.memory_ladder import STEPS, MemoryLadder, report
from gcseg.inference.predict import predict_labels, predict_scores
from gcseg.inference.protocol import Augmentation, Protocol, SlidingWindow
from gcseg.inference.strips import predict_labels_in_strips, resized_rows
from gcseg.models import CCNetHead, DANetHead, FCNHead, PSPHead, Segmentor, gcnet
from tests.golden import golden_model, image
from tests.models.networks import trained_like
from tests.tiny import CHANNELS, TinyBackbone

MODES = {
    "none": Augmentation(),
    "msflip": Augmentation((0.75, 1.0, 1.25), flip=True),
    "scales": Augmentation((0.5, 2.0)),
}
PLAIN = {"none": Augmentation()}


class Memory(TorchDispatchMode):
    """Raises torch's error where a tensor of more numbers than the budget would be made."""

    def __init__(self, budget=float("inf")):
        super().__init__()
        self.budget = budget
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        given = {x.data_ptr() for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor) and tensor.data_ptr() not in given:
                self.largest = max(self.largest, tensor.numel())
                if tensor.numel() > self.budget:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n20.00 GiB")
        return found


class Pixels:
    """A network of a user's own: neighbouring pixels, at full resolution; counts its calls."""

    def __init__(self, seed=0, classes=7):
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(classes, 3, 3, 3, generator=generator)
        self.calls = 0

    def __call__(self, images):
        self.calls += 1
        return F.conv2d(images, self.weight, padding=1)


@pytest.fixture
def small_strips(monkeypatch):
    """Several strips of scores also of small images."""
    monkeypatch.setattr(inference_strips, "STRIP_ELEMENTS", 4000)


def assert_same_labels(labels, scores, bound=1e-5):
    """Equal, but where two classes are equal within rounding."""
    assert list(labels) == list(scores)
    for name, found in labels.items():
        wanted = predict_labels(scores[name], *found.shape[-2:])
        assert found.shape == wanted.shape and found.dtype == wanted.dtype
        chosen = scores[name][..., : found.shape[-2], : found.shape[-1]].gather(1, found[:, None])
        best = scores[name][..., : found.shape[-2], : found.shape[-1]].max(1, keepdim=True).values
        assert ((best - chosen) <= bound * scores[name].abs().max()).all(), name
        assert (found == wanted).float().mean() > 0.995, name


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((5, 7), (40, 56)),
        ((13, 9), (97, 71)),
        ((97, 71), (13, 9)),
        ((1, 1), (8, 9)),
        ((8, 9), (1, 1)),
        ((9, 5), (9, 7)),
        ((128, 3), (1023, 2)),
        ((6, 6), (6, 6)),
    ],
)
def test_resized_rows_are_those_of_interpolate(before, after, align_corners):
    for seed in range(3):
        x = torch.randn(2, 3, *before, generator=torch.Generator().manual_seed(seed))
        wanted = F.interpolate(x, after, mode="bilinear", align_corners=align_corners)
        for step in (1, 4, 2000):
            rows = [
                resized_rows(
                    lambda first, last, x=x: x[..., first:last, :],
                    before,
                    after,
                    top,
                    min(top + step, after[0]),
                    align_corners,
                )
                for top in range(0, after[0], step)
            ]
            torch.testing.assert_close(torch.cat(rows, -2), wanted, rtol=1e-6, atol=2e-6)


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("average", ["logits", "probabilities"])
@pytest.mark.parametrize("fit", [None, ResizeToFit(90, 60)])
@pytest.mark.parametrize("window", [None, SlidingWindow(20, 24, 13, 17)])
@pytest.mark.parametrize("size", [(40, 56), (33, 47), (7, 3)])
def test_a_network_of_ones_own_in_strips(size, window, fit, average):
    protocol = Protocol(average, window, fit, align_corners=fit is not None)
    for seed in range(2):
        images = image((2, 3, *size), seed=seed)
        scores = predict_scores(Pixels(seed), images, MODES, protocol)
        labels = predict_labels_in_strips(
            Pixels(seed), images, MODES, protocol, height=size[0] - 2, width=size[1] - 1
        )
        assert_same_labels(labels, scores)


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_confidences_are_the_probabilities_of_the_labels(average):
    """Whole and in strips; of logits that are averaged, their softmax."""
    for seed in range(3):
        model, images = Pixels(seed), image((2, 3, 33, 47), seed=seed)
        scores = predict_scores(model, images, MODES, Protocol(average))
        for labels_of in (MemoryLadder().labels, predict_labels_in_strips):
            found = {}
            labels = labels_of(
                model, images, MODES, Protocol(average), height=31, width=46, confidences=found
            )
            assert list(found) == list(MODES)
            for name, sure in found.items():
                wanted = scores[name].softmax(1) if average == "logits" else scores[name]
                wanted = wanted[..., :31, :46].gather(1, labels[name][:, None])[:, 0]
                assert sure.dtype == torch.float32
                torch.testing.assert_close(sure, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("strips", [1, 4])
@pytest.mark.parametrize("align_corners", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "settings",
    [
        {"average": "logits"},
        {"average": "probabilities", "resize": ResizeToFit(120, 70)},
        {"average": "logits", "window": SlidingWindow(48, 64, 32, 40)},
    ],
    ids=["paddleseg", "mmseg", "slide"],
)
def test_our_networks_in_strips(settings, align_corners, strips):
    modes = {"none": Augmentation(), "up": Augmentation((1.25,), flip=True)}
    model = trained_like(gcnet("r18", 6, channels=16, align_corners=align_corners), strips)
    images = image((1, 3, 65, 97), seed=strips)
    protocol = Protocol(**settings, align_corners=align_corners)
    scores = predict_scores(model, images, modes, protocol)
    labels = predict_labels_in_strips(
        model, images, modes, protocol, height=65, width=97, network_strips=strips
    )
    assert_same_labels(labels, scores)


@pytest.mark.usefixtures("small_strips")
@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("kind", [FCNHead, PSPHead, DANetHead, CCNetHead])
def test_scores_of_other_heads_in_strips(kind, asymmetric):
    modes = {"none": Augmentation(), "up": Augmentation((1.25,), flip=True)}
    head = kind(CHANNELS[3], 6, channels=16)
    model = trained_like(Segmentor(TinyBackbone(), head, asymmetric=asymmetric), 1)
    images = image((1, 3, 65, 97), seed=1)
    for window in (None, SlidingWindow(48, 64, 32, 40)):
        protocol = Protocol(window=window)
        scores = predict_scores(model, images, modes, protocol)
        labels = predict_labels_in_strips(model, images, modes, protocol, height=65, width=97)
        assert_same_labels(labels, scores)


def test_published_networks_predict_what_they_did():
    model, images = golden_model("paddleseg_gcnet_r18"), image((1, 3, 64, 96), seed=7)
    modes = {"none": Augmentation(), "up": Augmentation((1.25,), flip=True)}
    scores = predict_scores(model, images, modes)
    for strips in (1, 4):
        labels = predict_labels_in_strips(
            model, images, modes, height=64, width=96, network_strips=strips
        )
        assert_same_labels(labels, scores)


@pytest.mark.usefixtures("small_strips")
@pytest.mark.slow
def test_lower_precision_rounds_as_the_whole_does():
    model = trained_like(gcnet("r18", 6, channels=16), 0)
    images = image((1, 3, 64, 96), seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        scores = predict_scores(model, images, PLAIN)
        labels = predict_labels_in_strips(model, images, PLAIN, height=64, width=96)
    assert_same_labels(labels, scores)


def test_without_need_nothing_changes(capsys):
    ladder, images = MemoryLadder(), image((1, 3, 33, 47), seed=1)
    model = trained_like(gcnet("r18", 6, channels=16), 0)
    protocol = Protocol("probabilities")
    labels = ladder.labels(model, images, MODES, protocol, height=30, width=40)
    scores = predict_scores(model, images, MODES, protocol)
    for name, found in labels.items():
        assert torch.equal(found, predict_labels(scores[name], 30, 40))
    assert ladder.images == [1, 0, 0, 0] and report(ladder.images) == []
    assert capsys.readouterr().err == ""


@pytest.fixture(scope="module")
def needs():
    """A network, an image, and the largest tensor of each step on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference_strips, "STRIP_ELEMENTS", 4000)
        model = trained_like(gcnet("r18", 30, channels=16, output_stride=32), 0)
        images = image((1, 3, 512, 64), seed=0)
        largest = []
        for step in STEPS:
            with Memory() as memory:
                if step.network_strips is None:
                    predict_scores(model, images, PLAIN)
                else:
                    predict_labels_in_strips(
                        model,
                        images,
                        PLAIN,
                        height=512,
                        width=64,
                        network_strips=step.network_strips,
                    )
            largest.append(memory.largest)
    return model, images, largest


def test_each_step_needs_less_than_the_one_before(needs):
    _, _, largest = needs
    assert largest == sorted(largest, reverse=True) and len(set(largest)) == len(STEPS)
    assert largest[-1] < largest[0] / 5


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("number", range(len(STEPS)))
def test_the_first_step_that_fits_is_taken_and_said(needs, number, capsys):
    model, images, largest = needs
    ladder = MemoryLadder()
    scores = predict_scores(model, images, PLAIN)
    with Memory(largest[number]):
        labels = ladder.labels(model, images, PLAIN, height=512, width=64)
    assert_same_labels(labels, scores)
    assert ladder.images == [int(index == number) for index in range(len(STEPS))]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"out of memory on an image of 512 x 64 pixels: from now on {step.description}, "
        "which gives the same scores up to rounding"
        for step in STEPS[1 : number + 1]
    ]
    assert report(ladder.images) == ([f"{STEPS[number].description}: 1 image"] if number else [])


@pytest.mark.usefixtures("small_strips")
def test_after_the_last_step_comes_one_line(needs):
    model, images, largest = needs
    text = (
        r"^an image of 512 x 64 pixels does not fit into memory, even with network in 16 strips .*"
        r"\(CUDA out of memory\. Tried to allocate 20\.00 GiB\): .*precision=bf16-mixed.*another "
        r"protocol"
    )
    ladder = MemoryLadder()
    with Memory(largest[-1] - 1), pytest.raises(MemoryLimitError, match=text) as raised:
        ladder.labels(model, images, PLAIN, height=512, width=64)
    assert "\n" not in str(raised.value)
    assert ladder.images == [0] * len(STEPS)


@pytest.mark.usefixtures("small_strips")
def test_what_failed_is_not_tried_again_on_larger_images_and_smaller_ones_are_not_slowed(capsys):
    model, ladder, half = Pixels(), MemoryLadder(), {"half": Augmentation((0.5,))}
    calls = []
    with Memory(budget=6000):  # 7 classes of 40 x 30 pixels are more
        for size in [(20, 20), (40, 30), (30, 40), (60, 30), (20, 20), (41, 30), (20, 30)]:
            before = model.calls
            ladder.labels(model, image((1, 3, *size), seed=0), half, height=10, width=10)
            calls.append(model.calls - before)
    assert calls == [1, 2, 1, 1, 1, 1, 1]
    assert ladder.images == [3, 4, 0, 0]
    assert report(ladder.images) == ["scores added up in strips of rows: 4 images"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("out of memory on an image of 40 x 30 pixels: from now on scores")


def test_a_network_of_ones_own_does_not_run_in_strips():
    text = "^an image of 40 x 30 pixels does not fit into memory, even with scores added up in "
    for _ in range(2):
        with Memory(budget=6000), pytest.raises(MemoryLimitError, match=text):
            MemoryLadder().labels(
                Pixels(), image((1, 3, 40, 30), seed=0), PLAIN, height=40, width=30
            )


@pytest.mark.parametrize("error", [RuntimeError("sizes differ"), ValueError("out of memory")])
def test_other_errors_stay_what_they_are(error):
    def model(images):
        raise error

    ladder = MemoryLadder()
    with pytest.raises(type(error), match=re.escape(str(error))):
        ladder.labels(model, image((1, 3, 8, 8), seed=0), PLAIN, height=8, width=8)


def test_errors_of_the_allocators():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55)
    assert type(raised.value) is RuntimeError and is_out_of_memory(raised.value)
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling x"))
    assert is_out_of_memory(torch.OutOfMemoryError("x")) and is_out_of_memory(MemoryError())
