"""Statistics of a split: numpy on all pixels at once says the same."""

import json
import math
from collections import Counter
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.folder import camvid, folder
from gcseg.data.label_spaces import LabelSpace
from gcseg.data.statistics import measure, print_statistics
from gcseg.errors import DataError
from gcseg.system.terminal import TextConsole
from tests.data.trees import camvid_tree, folder_tree

SPACE = LabelSpace(("sea", "land", "[b]ship[/b]", "never"))


def in_memory(samples, space=SPACE):
    """A split whose samples are arrays."""
    by_name = {str(index): sample for index, sample in enumerate(samples)}
    pairs = [
        Pair(name, Path(name), None if label is None else Path(name), space)
        for name, (_, label) in by_name.items()
    ]
    return SegmentationDataset(pairs, space, "memory", lambda pair: by_name[pair.name])


def random_samples(seed, count=7):
    """Samples of several sizes, the first twice; the last class never occurs."""
    rng = np.random.default_rng(seed)
    sizes = [(5, 9), (5, 9), *rng.integers(1, 30, (count - 2, 2)).tolist()]
    samples = []
    for height, width in sizes:
        low, high = sorted(rng.integers(0, 257, 2).tolist())
        image = rng.integers(low, high + 1, (height, width, 3)).clip(0, 255).astype(np.uint8)
        classes = rng.choice([0, 1, 2, 255], rng.integers(1, 5), replace=False)
        samples.append((image, rng.choice(classes, (height, width)).astype(np.uint8)))
    return samples


def printed(statistics):
    text = StringIO()
    print_statistics(statistics, TextConsole(file=text, width=100))
    return text.getvalue()


@pytest.mark.parametrize("seed", range(5))
def test_colours_and_sizes(seed):
    samples = random_samples(seed)
    statistics = measure(in_memory(samples))
    values = np.concatenate([image.reshape(-1, 3) for image, _ in samples]) / 255
    np.testing.assert_allclose(statistics.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.std, values.std(0), rtol=1e-12)
    assert statistics.images == len(samples)
    sizes = [image.shape[:2] for image, _ in samples]
    assert statistics.sizes == Counter(sizes)
    assert math.prod(statistics.smallest) == min(map(math.prod, sizes))
    assert math.prod(statistics.largest) == max(map(math.prod, sizes))
    assert sizes.count(statistics.most_common) == max(map(sizes.count, sizes))


@pytest.mark.parametrize("seed", range(5))
def test_classes(seed):
    samples = random_samples(seed)
    labels = [label for _, label in samples]
    classes = measure(in_memory(samples)).classes
    every = np.concatenate([label.ravel() for label in labels])
    labelled = every[every != 255]
    frequencies = []
    for index in range(4):
        assert classes.pixels[index] == (every == index).sum()
        assert classes.pixel_frequency[index] == pytest.approx((labelled == index).mean())
        having = [label for label in labels if (label == index).any()]
        assert classes.image_frequency[index] == pytest.approx(len(having) / len(labels))
        around = sum((label != 255).sum() for label in having)
        frequencies.append((every == index).sum() / around if having else None)
    assert classes.ignored_fraction == pytest.approx((every == 255).mean())
    median = np.median([frequency for frequency in frequencies if frequency is not None])
    for frequency, weight in zip(frequencies, classes.median_frequency_weights, strict=True):
        assert weight == (None if frequency is None else pytest.approx(median / frequency))
    for p, weight in zip(classes.pixel_frequency, classes.inverse_log_weights, strict=True):
        assert weight == (pytest.approx(1 / math.log(1.02 + p)) if p else None)
    assert classes.median_frequency_weights[3] is None


def test_by_hand():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0] = (255, 51, 7)
    # Sea has 2 of 4 pixels, land 2 of 4 and 3 of 3: 5 of 7.
    first = np.array([[0, 0], [1, 1]], np.uint8)
    second = np.array([[1, 1], [1, 255]], np.uint8)
    statistics = measure(in_memory([(image, first), (image, second)]))
    assert statistics.mean == pytest.approx((0.5, 0.1, 7 / 510))
    assert statistics.std == pytest.approx((0.5, 0.1, 7 / 510))
    classes = statistics.classes
    assert classes.pixel_frequency == pytest.approx((2 / 7, 5 / 7, 0, 0))
    assert classes.image_frequency == (0.5, 1, 0, 0)
    assert classes.ignored_fraction == 1 / 8
    median = (1 / 2 + 5 / 7) / 2
    weights = classes.median_frequency_weights
    assert weights == (pytest.approx(2 * median), pytest.approx(median / 5 * 7), None, None)


def test_neither_order_nor_workers_matter():
    samples = random_samples(11, count=20)
    wanted = measure(in_memory(samples), workers=1)
    for workers in (None, 2, 5):
        assert measure(in_memory(samples[::-1]), workers=workers) == wanted


def test_sums_are_exact_where_single_precision_is_not():
    # More pixels than a float32 counts one by one, and values whose squares are large.
    label = np.zeros((4097, 4100), np.uint8)
    label[0, 0] = 1
    image = np.full((*label.shape, 3), 255, np.uint8)
    image[0, 0] = 254
    statistics = measure(in_memory([(image, label)]), workers=1)
    pixels = label.size
    assert statistics.classes.pixels == (pixels - 1, 1, 0, 0)
    assert statistics.mean == (pytest.approx(1 - 1 / 255 / pixels, rel=1e-15),) * 3
    deviation = math.sqrt((1 - 1 / pixels) / pixels) / 255
    assert statistics.std == (pytest.approx(deviation, rel=1e-12),) * 3


def test_arrays_that_can_not_be_written_to():
    samples = random_samples(3)
    wanted = measure(in_memory(samples))
    for sample in samples:
        for array in sample:
            array.flags.writeable = False
    assert measure(in_memory(samples)) == wanted


def test_a_split_without_labels():
    statistics = measure(in_memory([(image, None) for image, _ in random_samples(0)]))
    assert statistics.classes is None
    assert statistics.as_dict()["classes"] is None
    text = printed(statistics)
    assert "normalize.mean=[" in text
    assert "class" not in text


def test_a_split_whose_labels_are_all_ignored():
    image, label = np.zeros((2, 3, 3), np.uint8), np.full((2, 3), 255, np.uint8)
    statistics = measure(in_memory([(image, label)]))
    assert statistics.classes.ignored_fraction == 1
    assert statistics.classes.median_frequency_weights == (None,) * 4
    assert statistics.classes.inverse_log_weights == (None,) * 4
    assert "class_weights" not in printed(statistics)


def test_splits_on_disk(tmp_path):
    dataset = folder(folder_tree(tmp_path), "train")
    labels = np.stack([dataset.read(index)[1] for index in range(len(dataset))])
    classes = measure(dataset).classes
    assert classes.pixels == tuple((labels == index).sum() for index in range(3))
    assert classes.ignored == (labels == 255).sum() > 0
    assert measure(folder(tmp_path, "test")).classes is None
    assert measure(camvid(camvid_tree(tmp_path / "camvid"), "val")).images == 2


def test_progress_and_failure():
    told = []
    samples = random_samples(0)
    measure(in_memory(samples), progress=lambda done, total: told.append((done, total)))
    assert told == [(done, len(samples)) for done in range(1, len(samples) + 1)]

    def fail(pair):
        raise DataError(f"image {pair.name} is truncated")

    with pytest.raises(DataError, match="image 0 is truncated"):
        measure(in_memory(samples).reading_with(fail))


def test_json():
    statistics = measure(in_memory(random_samples(2)))
    record = json.loads(json.dumps(statistics.as_dict(), allow_nan=False))
    assert record["mean"] == list(statistics.mean)
    assert record["most_common"] == dict(
        zip(("height", "width"), statistics.most_common, strict=True)
    )
    assert sum(size["images"] for size in record["sizes"]) == record["images"] == 7
    assert [row["name"] for row in record["classes"]] == list(SPACE.names)
    assert sum(row["pixel_frequency"] for row in record["classes"]) == pytest.approx(1)
    never = record["classes"][3]
    assert never["median_frequency_weight"] is never["inverse_log_weight"] is None


@pytest.mark.parametrize("seed", range(3))
def test_printed_settings_are_what_hydra_reads(seed):
    statistics = measure(in_memory(random_samples(seed)))
    text = printed(statistics)
    assert "[b]ship[/b]" in text, "a name is no markup"
    words = [word for line in text.splitlines() for word in line.split() if "=[" in word]
    read = [(o.key_or_group, o.value()) for o in OverridesParser.create().parse_overrides(words)]
    classes = statistics.classes
    wanted = [
        ("normalize.mean", statistics.mean),
        ("normalize.std", statistics.std),
        ("class_weights", classes.median_frequency_weights),
        ("class_weights", classes.inverse_log_weights),
    ]
    assert [key for key, _ in read] == [key for key, _ in wanted]
    for (_, values), (_, exact) in zip(read, wanted, strict=True):
        assert values == [pytest.approx(1 if x is None else x, rel=1e-3) for x in exact]
    assert "classes that never occur have weight 1 there" in text


def test_printed_sizes():
    samples = [(np.zeros((h, w, 3), np.uint8), None) for h, w in ((2, 3), (9, 8), (4, 5), (4, 5))]
    assert "3 sizes (height x width): 2x3 to 9x8, most often 4x5 (2 images)" in printed(
        measure(in_memory(samples))
    )
    assert "size (height x width): 4x5\n" in printed(measure(in_memory(samples[2:])))
