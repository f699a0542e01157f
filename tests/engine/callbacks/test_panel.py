"""The panel of validation images: which, how large, when, and from several processes."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import LabelSpace
from gcseg.engine.callbacks.panel import Panel, PanelImage, of_one_size
from gcseg.errors import ConfigError

SPACE = LabelSpace(("road", "sky"))
HEIGHT, WIDTH = 20, 40


def read(pair):
    drawn = np.random.default_rng(int(pair.name))
    image = drawn.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    return image, drawn.choice(np.array([0, 1, 255], np.uint8), (HEIGHT, WIDTH))


def dataset(count=10):
    pairs = [Pair(str(n), None, None, SPACE) for n in range(count)]
    return SegmentationDataset(pairs, SPACE, "test", read)


class Taker:
    """A logger for pictures, each of so many bytes."""

    def __init__(self, size=100):
        self.size = size
        self.panels = []

    def panel_bytes(self, image, space):
        assert space is SPACE
        return self.size

    def log_panel(self, images, space, step):
        self.panels.append((step, images))


def trainer(*takers, step=0, world_size=1, rank=0, fn="fit"):
    return SimpleNamespace(
        loggers=[object(), *takers],
        state=SimpleNamespace(fn=fn),
        world_size=world_size,
        is_global_zero=rank == 0,
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=step)),
    )


def prediction(index):
    return torch.full((1, HEIGHT, WIDTH), index % 2, dtype=torch.int64)


def predict(panel, run, indices=range(10)):
    panel.on_validation_start(run, None)
    for index in indices:
        batch = {"index": torch.tensor([index]), "label": None}
        panel.on_validation_batch_end(run, None, {"none": prediction(index)}, batch, 0)


def validate(panel, run, indices=range(10)):
    predict(panel, run, indices)
    panel.on_validation_epoch_end(run, None)


@pytest.mark.parametrize(
    ("count", "images", "names"),
    [(10, 4, ["0", "2", "5", "7"]), (10, 10, [str(n) for n in range(10)]), (2, 8, ["0", "1"])],
)
def test_images_are_spread_over_the_split(count, images, names):
    taker = Taker()
    panel = Panel(dataset(count), images=images, validations=1)
    validate(panel, trainer(taker, step=7), range(count))
    ((step, shown),) = taker.panels
    assert step == 7 and [one.name for one in shown] == names
    for one in shown:
        image, truth = read(one)
        assert np.array_equal(one.image, image) and np.array_equal(one.truth, truth)
        assert (one.prediction == int(one.name) % 2).all()
        assert one.errors[0, 0] == (255 if truth[0, 0] == 255 else truth[0, 0] != int(one.name) % 2)


def test_large_images_are_scaled_down():
    taker = Taker()
    validate(Panel(dataset(), longest=10, images=2, validations=1), trainer(taker))
    ((_, shown),) = taker.panels
    for one in shown:
        assert one.image.shape == (5, 10, 3)
        assert one.truth.shape == one.prediction.shape == one.errors.shape == (5, 10)
        assert set(np.unique(one.truth)) <= {0, 1, 255}, "nearest pixels, no mixtures"


@pytest.mark.parametrize(
    ("budget", "sizes"),
    [
        (1e9, dict.fromkeys(range(1, 21), 4)),  # all
        (4000, dict.fromkeys((1, 4, 6, 8, 10, 12, 14, 16, 18, 20), 4)),
        (800, {1: 4, 20: 4}),
        (650, {1: 3, 20: 3}),
        (200, {1: 1, 20: 1}),
        (150, {20: 1}),
        (99, {}),
    ],
)
def test_pictures_stay_within_the_budget(budget, sizes):
    taker = Taker()
    panel = Panel(dataset(), images=4, megabytes=budget / 1e6, validations=20)
    for number in range(1, 21):
        validate(panel, trainer(taker, step=number))
    shown = {step: len(images) for step, images in taker.panels}
    assert sum(shown.values()) * 100 <= budget
    assert shown == sizes


def test_pictures_that_grow_stay_within_the_budget():
    taker = Taker()
    panel = Panel(dataset(), images=4, megabytes=4000 / 1e6, validations=20)
    spent = 0
    for number in range(1, 21):
        taker.size = 20 * number
        before = len(taker.panels)
        validate(panel, trainer(taker, step=number))
        spent += sum(taker.size * len(images) for _, images in taker.panels[before:])
    assert spent <= 4000 and [step for step, _ in taker.panels][-1] == 20


def test_a_training_that_goes_on_goes_on_with_its_budget():
    takers = Taker(), Taker()
    whole, part = (
        Panel(dataset(), images=4, megabytes=4000 / 1e6, validations=20) for _ in range(2)
    )
    for number in range(1, 21):
        if number == 9:
            state = part.state_dict()
            part = Panel(dataset(), images=4, megabytes=4000 / 1e6, validations=20)
            part.load_state_dict(state)
        for panel, taker in zip((whole, part), takers, strict=True):
            validate(panel, trainer(taker, step=number))
    assert [step for step, _ in takers[0].panels] == [step for step, _ in takers[1].panels]


def test_a_validation_that_was_left_does_not_count():
    taker = Taker()
    panel = Panel(dataset(), images=4, validations=1)
    validate(panel, trainer(taker), range(5))
    assert not taker.panels and panel.seen == 0
    validate(panel, trainer(taker))
    assert len(taker.panels) == 1


def test_several_processes_show_the_same_as_one(monkeypatch):
    alone, together = Taker(), Taker()
    validate(Panel(dataset(), images=4, validations=1), trainer(alone))
    panels = [Panel(dataset(), images=4, validations=1) for _ in range(2)]
    runs = [trainer(together, world_size=2, rank=rank) for rank in range(2)]
    for rank in range(2):
        predict(panels[rank], runs[rank], range(rank, 10, 2))
    parts = [dict(panel._predictions) for panel in panels]
    assert all(parts), "each has some"

    def gather(gathered, own):
        assert own.keys() in [part.keys() for part in parts]
        gathered[:] = parts

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    for rank in (1, 0):
        panels[rank].on_validation_epoch_end(runs[rank], None)
        assert len(together.panels) == (0 if rank else 1), "the first process alone logs"
    for (_, ours), (_, theirs) in zip(alone.panels, together.panels, strict=True):
        assert [one.name for one in ours] == [one.name for one in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert np.array_equal(one.prediction, other.prediction)


@pytest.mark.parametrize("run", [trainer(Taker(), fn="validate"), trainer()])
def test_nothing_happens_outside_training_or_without_a_taker(run, monkeypatch):
    monkeypatch.setattr(torch.distributed, "all_gather_object", None)
    run.world_size = 2
    panel = Panel(dataset(), images=4, validations=1)
    validate(panel, run)
    assert panel.seen == 0 and all(not one.panels for one in run.loggers[1:])


@pytest.mark.parametrize(
    ("name", "value"), [("images", 0), ("images", 1.5), ("longest", 0), ("megabytes", 0)]
)
def test_numbers_that_are_too_small(name, value):
    with pytest.raises(ConfigError, match=rf"logger\.panel\.{name}={value}: give a .*panel=null"):
        Panel(dataset(), validations=1, **{name: value})


def test_no_random_numbers_are_drawn():
    def states():
        theirs = np.random.get_state()  # noqa: NPY002
        return random.getstate(), theirs[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    validate(Panel(dataset(), images=4, longest=10, validations=1), trainer(Taker()))
    assert states() == before


def test_pictures_of_one_size_have_nothing_counted_beyond_their_own():
    images = [
        PanelImage(str(n), *(np.full((n, 9 - n, *rest), n, np.uint8) for rest in ((3,), (), ())))
        for n in (2, 5)
    ]
    padded = of_one_size(images)
    assert [one.image.shape for one in padded] == [(5, 7, 3)] * 2
    first = padded[0]
    assert (first.image[:2, :7] == 2).all() and not first.image[2:].any()
    assert (first.truth[2:] == 255).all() and (first.errors[2:] == 255).all()
    assert (first.errors[:2, :7] == 0).all() and first.name == "2"
