"""Transforms of one's own keep the classes of a picture, and fail in one line."""

import pickle
import random
import re

import albumentations as A
import numpy as np
import pytest

from gcseg.data.extra import Extra
from gcseg.errors import ConfigError
from tests.running import TINY


def one(name, **settings):
    given = ", ".join(f"{key}: {value}" for key, value in {"p": 1.0, **settings}.items())
    return f"{{_target_: albumentations.{name}, {given}}}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            one("CenterCrop", height=128, width=64),
            r"fails on a picture of 64x64 with a mask \(Crop",
        ),
        (one("CenterCrop", height=128, width=64, p=0.01), "fails on a picture of 64x64"),
        (
            one("ToGray", num_output_channels=1),
            "uint8 pictures of 64x64 without three channels",
        ),
        ("{_target_: albumentations.pytorch.ToTensorV2}", "makes masks of type Tensor"),
        (one("Mosaic"), "fails on a picture"),
        (one("RandomSizedBBoxSafeCrop", height=64, width=64), r"fails on .* \(KeyError: "),
        (one("ChannelDropout", fill=300), "fails on a picture"),
        (one("Affine", fill_mask=77), "fill_mask=77: give 255, which is ignored, or a class inde"),
        (one("CoarseDropout", fill_mask=77), "fill_mask=77: give 255"),
        (one("Affine", fill_mask="[1,2]"), r"fill_mask=\[1, 2\]: give 255"),
        (
            one("Rotate", mask_interpolation=1),
            "mask_interpolation=1 makes up values between two classes",
        ),
        (
            one("OneOf", transforms=f"[{one('Rotate', mask_interpolation=2)}]"),
            "mask_interpolation=2 makes up values",
        ),
        (
            one("GridElasticDeform", num_grid_xy="[4,4]", magnitude=9),
            "labels pixels with 0, which is not a class in the image: give it fill_mask: 255",
        ),
        (one("Resize", height=99, width=64), "makes uint8 pictures of 99x64: leave them uint8"),
        (one("ToFloat"), "makes float32 pictures of 64x64"),
    ],
)
def test_what_can_not_be_used(run, settings, message, tmp_path):
    """Before a run folder is made."""
    error = run("train", *TINY, f"+augment.extra.mine={settings}").error
    assert error.startswith("augment.extra.mine")
    assert re.search(message, error), error
    assert not (tmp_path / "runs").exists()


def test_what_is_drawn_is_as_without():
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    label = np.full((24, 32), 3, np.uint8)
    turn = A.OneOf([A.Rotate(p=0.7, fill_mask=255), A.HorizontalFlip(p=0.3)], p=0.8)
    wrapped = A.Compose([pickle.loads(pickle.dumps(Extra("turn", turn, 5)))])
    plain = A.Compose([turn])
    for seed in range(20):
        made = []
        for pipeline in (wrapped, plain):
            pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
            made.append(pipeline(image=image, mask=label))
        assert np.array_equal(made[0]["image"], made[1]["image"])
        assert np.array_equal(made[0]["mask"], made[1]["mask"])


def test_labels_that_were_not_there():
    """Also where only some pictures show it."""
    image, label = np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 3, np.uint8)

    def spoil(mask, **_):
        return np.where(mask == 3, 2, mask).astype(np.uint8)

    extra = Extra("mine", A.Lambda(mask=spoil, p=1.0), 5)
    extra.tried(8, 8)
    with pytest.raises(
        ConfigError, match=(r"extra\.mine labels pixels with " r"2, which is not a class")
    ):
        extra(image=image, mask=label)
    Extra("mine", A.Lambda(mask=spoil, p=1.0), 5, fills={2})(image=image, mask=label)


def test_a_training_with_some(train):
    fine = one("Affine", rotate="[-30,30]", fill_mask=2)
    outcome = train(
        f"+augment.extra.turn={fine}",
        f"+augment.extra.other={one('SomeOf', transforms='[' + one('RandomRotate90') + ']', n=1)}",
    )
    assert outcome.status == 0, outcome.err
