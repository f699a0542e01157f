"""The end of the augmentation on a device: the same as on the CPU, from the same draws."""

import itertools
import pickle
import random

import numpy as np
import pytest
import torch

from gcseg.data.augment import training_pipeline
from gcseg.data.colors import PhotometricDistortion, RandomDistort
from tests.data.draws import SEEDS, states
from tests.data.test_colors import photograph

NORMALIZE = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HEIGHT, WIDTH = 48, 64


def pipelines(color, **settings):
    """The whole pipeline for the CPU, and the one that leaves its end to a device."""
    settings = {"flip": 0.5, "scale": {"min": 0.5, "max": 2.0, "step": 0.25}, **settings}
    return (
        training_pipeline(
            height=HEIGHT, width=WIDTH, **NORMALIZE, color=color, **settings, on_device=on_device
        )
        for on_device in (False, True)
    )


def cropped(pipeline, state, image, label):
    pipeline.crop.set_random_state(*state)
    window = pipeline.crop(image=image, mask=label)
    pipeline.finish.set_random_state(*state)
    return pipeline.finish(image=window["image"], mask=window["mask"])


def on_cpu(pipeline, seed, count, image, label):
    samples = [cropped(pipeline, states(seed, index), image, label) for index in range(count)]
    return (
        np.stack([sample["image"] for sample in samples]).transpose(0, 3, 1, 2),
        np.stack([sample["mask"] for sample in samples]),
    )


def batch_for(pipeline, seed, count, image, label, padding=0):
    """A batch as a loader serves it to a device."""
    images = np.full((count, HEIGHT, WIDTH, 3), padding, np.uint8)
    labels = np.full((count, HEIGHT, WIDTH), 255, np.uint8)
    sizes, drawn = [], []
    for index in range(count):
        state = states(seed, index)
        window = cropped(pipeline, state, image, label)
        height, width = window["mask"].shape
        images[index, :height, :width] = window["image"]
        labels[index, :height, :width] = window["mask"]
        sizes.append((height, width))
        drawn.append(pipeline.device.draw(state[1]))
    heights, widths = zip(*sizes, strict=True)
    return {
        "image": torch.from_numpy(images),
        "label": torch.from_numpy(labels),
        "height": heights,
        "width": widths,
        "augmentation": drawn,
        "name": [str(index) for index in range(count)],
    }


def levels_apart(images, others):
    """Differences before normalisation, in levels of 0..255."""
    std = np.array(NORMALIZE["std"])[:, None, None]
    return np.abs(np.asarray(images) - np.asarray(others)) * std * 255


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("padding", ["grey", "mean"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("color", "mean", "most", "share"),
    [
        (None, 1e-4, 1e-3, 0),
        (RandomDistort(), 0.4, 5, 0.01),
        (PhotometricDistortion(), 0.9, 14, 0.12),
    ],
    ids=["none", "published", "mmseg"],
)
def test_the_same_draws_make_the_same_sample(color, mean, most, share, before, padding, seed):
    """But for rounding to bytes, which the device leaves out, and of hues to 2 degrees."""
    image = photograph(seed, 60, 80)
    label = np.arange(4800, dtype=np.uint16).reshape(60, 80).astype(np.uint8) % 19
    cpu, device = pipelines(color, pad_before_flip=before, padding=padding)
    count = 24
    wanted, wanted_label = on_cpu(cpu, seed, count, image, label)
    batch = batch_for(device, seed, count, image, label)
    padded = sum(height < HEIGHT for height in batch["height"])
    finished = device.device(batch)
    assert 0 < padded < count, "with and without padding"
    assert 4 < sum(drawn["mirrored"] for drawn in batch["augmentation"]) < count - 4
    assert finished["image"].dtype == torch.float32 and finished["label"].dtype == torch.uint8
    np.testing.assert_array_equal(finished["label"], wanted_label)
    outside = np.broadcast_to((wanted_label == 255)[:, None], wanted.shape)
    np.testing.assert_allclose(finished["image"].numpy()[outside], wanted[outside], rtol=1e-6)
    apart = levels_apart(finished["image"], wanted)[~outside]
    assert apart.max() < most
    assert apart.mean() < mean
    assert (apart > 2).mean() <= share


CHANGES = {
    "brightness": (0.6, 1.4),
    "contrast": (0.6, 1.4),
    "saturation": (0.6, 1.4),
    "hue": (-180, -90, -18, -1, 1, 18, 61, 119, 180),
    "levels": (-31.7, 20.2),
    "gain": (0.5, 1.49),
    "hsv_saturation": (0.5, 1.5),
    "hsv_hue": (-90, -18, -1, 17, 60),
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("padding", [0, 200])
def test_each_change_is_the_cpus(kind, padding):
    """Whatever the bytes of the padding are, they are no part of the picture."""
    color = RandomDistort() if kind in ("brightness", *list(CHANGES)[1:4]) else None
    color = color or PhotometricDistortion()
    _, device = pipelines(color, pad_before_flip=False)
    image = photograph(3, 30, 50)
    images = np.full((1, HEIGHT, WIDTH, 3), padding, np.uint8)
    images[0, :30, :50] = image
    for amount in CHANGES[kind]:
        batch = {
            "image": torch.from_numpy(images),
            "label": torch.zeros((1, HEIGHT, WIDTH), dtype=torch.uint8),
            "height": [30],
            "width": [50],
            "augmentation": [{"changes": ((kind, amount),), "mirrored": False}],
        }
        out = device.device(batch)["image"][0, :, :30, :50]
        mean, std = (np.array(NORMALIZE[name])[:, None, None] for name in ("mean", "std"))
        levels = 255 * (out.numpy() * std + mean)
        wanted = color.apply(image, changes=((kind, amount),)).transpose(2, 0, 1)
        apart = np.abs(levels - wanted)
        if kind.startswith("hsv"):  # where the CPU rounds hue to 2 degrees
            assert apart.max() < 6 and apart.mean() < 1
        else:
            assert apart.max() < (0.01 if kind in ("levels", "gain") else 1.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_grey_black_and_white_stay_finite(seed):
    image = np.repeat(np.arange(0, 256, 5, dtype=np.uint8), 3 * 40).reshape(52, 40, 3)
    for color in (RandomDistort(probability=1), PhotometricDistortion(probability=1)):
        cpu, device = pipelines(color)
        label = np.zeros((52, 40), np.uint8)
        finished = device.device(batch_for(device, seed, 10, image, label))
        assert torch.isfinite(finished["image"]).all()
        wanted, _ = on_cpu(cpu, seed, 10, image, label)
        assert levels_apart(finished["image"], wanted).max() < 3, "grey has no hue to be rounded"


def test_the_batch_is_left_alone_and_its_other_values_are_kept():
    _, device = pipelines(RandomDistort(probability=1))
    batch = batch_for(device, 0, 4, photograph(0), np.zeros((60, 80), np.uint8))
    copies = {key: value.clone() for key, value in batch.items() if torch.is_tensor(value)}
    finished = device.device(batch)
    assert set(finished) == {"image", "label", "name"}
    assert finished["name"] == batch["name"]
    for key, value in copies.items():
        assert torch.equal(batch[key], value)
    again = device.device(batch)
    assert torch.equal(again["image"], finished["image"])


@pytest.mark.parametrize("flip", [0, 0.25, 1])
def test_draws_are_plain_and_have_their_probability(flip):
    _, device = pipelines(RandomDistort(), flip=flip)
    drawn = [device.device.draw(random.Random(seed)) for seed in range(400)]
    share = np.mean([one["mirrored"] for one in drawn])
    assert abs(share - flip) <= 3.9 * (flip * (1 - flip) / 400) ** 0.5
    assert pickle.loads(pickle.dumps(drawn)) == drawn
    amounts = itertools.chain.from_iterable(one["changes"] for one in drawn)
    assert all(type(kind) is str and type(amount) is float for kind, amount in amounts)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("color", [RandomDistort(probability=1), PhotometricDistortion()])
def test_a_gpu_finishes_without_being_waited_for(color):
    _, device = pipelines(color)
    batch = batch_for(device, 0, 8, photograph(0), np.zeros((60, 80), np.uint8))
    moved = {key: value.cuda() if torch.is_tensor(value) else value for key, value in batch.items()}
    torch.cuda.set_sync_debug_mode("error")
    try:
        finished = device.device(moved)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(
        finished["image"].cpu(), device.device(batch)["image"], atol=1 / 64, rtol=0
    )
