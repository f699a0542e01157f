"""Which sample comes when, and with which augmentation, depends on the seed alone."""

import hashlib
import itertools

import albumentations as A
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from gcseg.data.augment import evaluation_pipeline, training_pipeline
from gcseg.data.colors import RandomDistort
from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.folder import camvid
from gcseg.data.label_spaces import CAMVID
from gcseg.data.samples import EvaluationSamples, TrainingSamples, collate
from gcseg.data.sampling import StepSampler
from gcseg.errors import ConfigError, DataError
from tests.data.trees import mask, picture, write

SEEDS = (0, 1, 2, 12345)
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def take(sampler, count):
    return list(itertools.islice(iter(sampler), count))


def flat(batches):
    return [key for batch in batches for key in batch]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("camvid")
    for index in range(5):
        write(root / "train" / f"{index}.png", picture(index))
        write(root / "trainannot" / f"{index}.png", mask(index, range(11)))
    return camvid(root, "train")


def samples(dataset, seed=0, probability=0.5, on_device=False):
    pipeline = training_pipeline(
        height=16,
        width=16,
        **HALF,
        scale={"min": 0.5, "max": 2.0, "step": 0.25},
        color=RandomDistort(0.4, 0.4, 0.4, 18, probability),
        flip=0.5,
        on_device=on_device,
    )
    return TrainingSamples(dataset, pipeline, seed)


def digest(sample):
    content = sample["image"].numpy().tobytes() + sample["label"].numpy().tobytes()
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("size", "batch_size"), [(10, 2), (10, 4), (7, 3), (3, 8), (1, 2)])
def test_each_index_once_an_epoch(seed, size, batch_size):
    batches = take(StepSampler(size, batch_size, seed=seed), 4 * size)
    assert {len(batch) for batch in batches} == {batch_size}
    counters, indices = zip(*flat(batches), strict=True)
    assert list(counters) == list(range(4 * size * batch_size))
    for first in range(0, len(indices), size):  # also where an epoch begins within a batch
        assert sorted(indices[first : first + size]) == list(range(size))


@pytest.mark.parametrize("seed", SEEDS)
def test_epochs_and_seeds_have_orders_of_their_own(seed):
    indices = [index for _, index in flat(take(StepSampler(20, 5, seed=seed), 12))]
    others = [index for _, index in flat(take(StepSampler(20, 5, seed=seed + 1), 12))]
    epochs = {tuple(order[i : i + 20]) for order in (indices, others) for i in (0, 20, 40)}
    assert len(epochs) == 6


def test_the_first_image_is_any_image():
    firsts = [take(StepSampler(4, 1, seed=seed), 1)[0][0][1] for seed in range(400)]
    assert all(60 < firsts.count(index) < 140 for index in range(4))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("world_size", "batch_size"), [(2, 3), (3, 2), (4, 1)])
def test_ranks_together_are_a_single_process(seed, world_size, batch_size):
    ranks = [
        take(StepSampler(10, batch_size, seed=seed, rank=rank, world_size=world_size), 12)
        for rank in range(world_size)
    ]
    single = take(StepSampler(10, batch_size * world_size, seed=seed), 12)
    assert [flat(step) for step in zip(*ranks, strict=True)] == single


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("start", [0, 1, 2, 3, 7, 100])
@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 3)])
def test_a_later_start_skips(seed, start, rank, world_size):
    ranks = {"rank": rank, "world_size": world_size}
    whole = take(StepSampler(7, 3, seed=seed, **ranks), start + 6)
    resumed = take(StepSampler(7, 3, seed=seed, start=start, **ranks), 6)
    assert resumed == whole[start:]


def test_a_sampler_can_be_gone_through_again():
    sampler = StepSampler(7, 3, seed=5, start=2)
    assert take(sampler, 6) == take(sampler, 6)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_counters_are_alike(dataset, seed):
    drawn = samples(dataset, seed, probability=1.0)
    digests = [digest(drawn[counter, 0]) for counter in range(80)]
    assert len(set(digests)) == 80


def test_other_seeds_augment_differently(dataset):
    digests = {digest(samples(dataset, seed)[7, 0]) for seed in range(20)}
    assert len(digests) == 20


@pytest.mark.parametrize("seed", SEEDS)
def test_order_and_history_do_not_matter(dataset, seed):
    keys = flat(take(StepSampler(5, 4, seed=seed), 4))
    forwards = {key: digest(samples(dataset, seed)[key]) for key in keys}
    drawn = samples(dataset, seed)
    backwards = {key: digest(drawn[key]) for key in reversed(keys)}
    assert forwards == backwards
    torch.manual_seed(seed + 1)
    np.random.seed(seed + 1)  # noqa: NPY002
    assert digest(drawn[keys[3]]) == forwards[keys[3]], "global random state has no part"


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_the_number_of_workers_does_not_matter(dataset, seed):
    batches = {}
    for workers in (0, 1, 2):
        loader = DataLoader(
            samples(dataset, seed),
            batch_sampler=StepSampler(5, 3, seed=seed),
            num_workers=workers,
        )
        batches[workers] = list(itertools.islice(iter(loader), 5))
    for workers in (1, 2):
        for ours, theirs in zip(batches[0], batches[workers], strict=True):
            assert ours["name"] == theirs["name"]
            assert torch.equal(ours["image"], theirs["image"])
            assert torch.equal(ours["label"], theirs["label"])
    digests = {image.numpy().tobytes() for batch in batches[2] for image in batch["image"]}
    assert len(digests) == 15, "neither workers nor epochs repeat"


def test_ranks_draw_the_samples_of_a_single_process(dataset):
    single = take(StepSampler(5, 4, seed=3), 3)
    drawn = samples(dataset, 3)
    wanted = [digest(drawn[key]) for key in flat(single)]
    ranks = [take(StepSampler(5, 2, seed=3, rank=rank, world_size=2), 3) for rank in (0, 1)]
    own = [samples(dataset, 3) for _ in ranks]
    found = [
        digest(own[rank][key]) for step in range(3) for rank in (0, 1) for key in ranks[rank][step]
    ]
    assert found == wanted


def test_training_sample(dataset):
    sample = samples(dataset)[0, 3]
    assert sample["name"] == "3"
    assert sample["image"].shape == (3, 16, 16) and sample["image"].dtype == torch.float32
    assert sample["label"].shape == (16, 16) and sample["label"].dtype == torch.uint8
    assert sample["image"].is_contiguous() and sample["label"].is_contiguous()
    assert set(sample["label"].unique().tolist()) <= {*range(11), 255}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_device_finishes_what_the_cpu_would(dataset, seed):
    """The same seed and counters give the same samples, up to rounding of the colours."""
    keys = flat(take(StepSampler(5, 4, seed=seed), 4))
    on_cpu = collate([samples(dataset, seed)[key] for key in keys])
    left = samples(dataset, seed, on_device=True)
    batch = collate([left[key] for key in keys])
    assert batch["image"].dtype == torch.uint8 and batch["image"].shape == (16, 16, 16, 3)
    finished = left.pipeline.device(batch)
    assert finished["name"] == on_cpu["name"]
    assert torch.equal(finished["label"], on_cpu["label"])
    assert finished["image"].shape == on_cpu["image"].shape
    difference = (finished["image"] - on_cpu["image"]).abs() * 127.5
    assert difference.mean() < 0.6 and difference.max() < 6, "levels of 0..255"


@pytest.mark.parametrize("on_device", [False, True])
def test_batches_of_workers_are_whole(dataset, on_device):
    loader = DataLoader(
        samples(dataset, on_device=on_device),
        batch_sampler=StepSampler(5, 3, seed=0),
        num_workers=1,
        collate_fn=collate,
    )
    batch = next(iter(loader))
    assert len(batch["name"]) == len(batch["image"]) == len(batch["label"]) == 3
    assert ("augmentation" in batch) == on_device


def many(dataset, count):
    pair = dataset.pairs[0]
    pairs = [Pair(str(index), pair.image, pair.label, CAMVID) for index in range(count)]
    return SegmentationDataset(pairs, CAMVID, "copies")


PLAIN = evaluation_pipeline(**HALF, pad_height=0, pad_width=0)


@pytest.mark.parametrize(("count", "world_size"), [(101, 3), (101, 1), (2, 4), (8, 4)])
def test_each_image_is_evaluated_once(dataset, count, world_size):
    parts = [
        EvaluationSamples(many(dataset, count), PLAIN, rank, world_size)
        for rank in range(world_size)
    ]
    assert sum(map(len, parts)) == count
    indices = [part[position]["index"] for part in parts for position in range(len(part))]
    assert sorted(indices) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_evaluation_keeps_native_sizes(dataset):
    padding = evaluation_pipeline(**HALF, pad_height=32, pad_width=30)
    sample = EvaluationSamples(dataset, padding)[2]
    assert sample["image"].shape == (3, 32, 30) and sample["image"].dtype == torch.float32
    assert (sample["height"], sample["width"], sample["name"]) == (20, 24, "2")
    assert not sample["image"][:, 20:].any() and not sample["image"][:, :, 24:].any()
    restored = (sample["image"][:, :20, :24] * 127.5 + 127.5).round().byte()
    np.testing.assert_array_equal(restored.permute(1, 2, 0), picture(2))
    np.testing.assert_array_equal(sample["label"], mask(2, range(11)))


def test_evaluation_without_labels(dataset):
    pairs = [Pair(pair.name, pair.image, None, CAMVID) for pair in dataset.pairs]
    sample = EvaluationSamples(SegmentationDataset(pairs, CAMVID, "images"), PLAIN)[0]
    assert "label" not in sample
    assert sample["image"].shape == (3, 20, 24)


@pytest.mark.parametrize("kind", ["training", "evaluation"])
@pytest.mark.parametrize("workers", [0, 1])
def test_broken_files_are_named_from_workers_too(tmp_path, kind, workers):
    image = write(tmp_path / "train" / "a.png", picture(0))
    image.write_bytes(image.read_bytes()[:300])
    write(tmp_path / "trainannot" / "a.png", mask(0, range(11)))
    dataset = camvid(tmp_path, "train")
    if kind == "training":
        sampler = StepSampler(1, 1, seed=0)
        loader = DataLoader(samples(dataset), batch_sampler=sampler, num_workers=workers)
    else:
        loader = DataLoader(EvaluationSamples(dataset, PLAIN), num_workers=workers)
    with pytest.raises(DataError) as raised:
        next(iter(loader))
    assert str(raised.value) == (
        f"image {image} is truncated or not an image (300 bytes): fetch this file again"
    )


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize(
    ("extra", "made"),
    [(A.ToFloat(), "float32 pictures of 16x16"), (A.Resize(20, 16), "uint8 pictures of 20x16")],
)
def test_transforms_of_ones_own_keep_bytes_and_size(dataset, on_device, extra, made):
    pipeline = training_pipeline(
        height=16,
        width=16,
        **HALF,
        scale={"min": 1.0, "max": 1.0, "step": 0},
        color=None,
        flip=0.5,
        extra=[extra],
        on_device=on_device,
    )
    with pytest.raises(ConfigError) as raised:
        TrainingSamples(dataset, pipeline, 0)[0, 0]
    assert str(raised.value) == (
        f"augment.extra makes {made}: leave them uint8, and at most 16x16 (height x width) as the "
        "crop is"
    )
