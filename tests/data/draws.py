"""What tests of random transforms share."""

import math
import random

import albumentations as A
import numpy as np

from gcseg.data.augment import TrainingPipeline

SEEDS = (0, 1, 2)


def draws(pipeline, seed, count, image, label=None, **more):
    """The pipeline's outputs, each from a random state of its own."""
    if isinstance(pipeline, A.BasicTransform):
        pipeline = A.Compose([pipeline])
    parts = [pipeline]
    if isinstance(pipeline, TrainingPipeline):
        parts = [pipeline.crop, pipeline.finish]
    label = np.zeros(image.shape[:2], np.uint8) if label is None else label
    for index in range(count):
        outputs = {"image": image, "mask": label, **more}
        state = states(seed, index)
        for part in parts:
            part.set_random_state(*state)
            outputs = part(**outputs)
        yield outputs["image"], outputs["mask"]


def states(seed, index):
    """What a sample's transforms draw from."""
    generator = np.random.default_rng((seed, index))
    return generator, random.Random(int(generator.integers(2**63)))


def assert_uniform(counts):
    """Chi-square at the 0.9999 quantile (by Wilson and Hilferty's approximation)."""
    counts = np.asarray(counts)
    freedom = counts.size - 1
    mean = counts.sum() / counts.size
    chi_square = ((counts - mean) ** 2 / mean).sum()
    spread = 2 / (9 * freedom)
    assert chi_square < freedom * (1 - spread + 3.72 * math.sqrt(spread)) ** 3, counts


def coordinates(height, width):
    """An image that holds its column, row and 0, and a label that holds the column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.dstack([columns, rows, np.zeros_like(rows)]), columns
