"""The class index says what the labels say, and is made once."""

import numpy as np
import pytest

from gcseg.data import class_index as module
from gcseg.data import datasets
from gcseg.data.cache.cached import cached
from gcseg.data.cityscapes import cityscapes
from gcseg.data.class_index import POSITIONS, class_index, summarize
from gcseg.data.datasets import images_as_dataset
from gcseg.data.folder import folder
from gcseg.data.label_spaces import CAMVID
from gcseg.errors import DataError
from tests.data import trees
from tests.data.trees import mask, picture, write

SIZES = [(1, 1), (7, 50), (33, 1), (300, 200), (1024, 2048)]


def quiet(_):
    pass


@pytest.fixture
def place(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def dataset(tmp_path):
    """Labels of different sizes; class 2 is in the first image alone, class 3 in none."""
    (tmp_path / "classes.yaml").write_text("classes: [sea, land, ship, sun]\n")
    for index, (height, width) in enumerate([(20, 24), (7, 50), (64, 64)]):
        write(tmp_path / f"images/train/{index}.png", picture(index, height, width))
        values = (0, 1, 255) if index else (0, 1, 2, 255)
        write(tmp_path / f"labels/train/{index}.png", mask(index, values, height, width))
    return folder(tmp_path, "train")


@pytest.fixture
def labels_read(monkeypatch):
    """The label files that are decoded."""
    read, paths = datasets.read_label, []
    monkeypatch.setattr(
        datasets, "read_label", lambda path, space: paths.append(path) or read(path, space)
    )
    return paths


def same(one, other):
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert one.counts.dtype == other.counts.dtype == np.int64


def drawn_label(seed, height, width):
    """Large regions with some tiny things in them, and ignored pixels."""
    generator = np.random.default_rng(seed)
    label = np.sort(generator.integers(0, 6, (height, width), dtype=np.uint8), axis=0)
    for kind in (10, 11, 12, 255):
        count = int(generator.integers(1, 12))
        label[generator.integers(0, height, count), generator.integers(0, width, count)] = kind
    return label


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", SIZES)
def test_summary_of_a_label(seed, size):
    label = drawn_label(seed, *size)
    counts, pixels = summarize(label, 19, f"sample {seed}")
    np.testing.assert_array_equal(counts, np.bincount(label.ravel(), minlength=256)[:19])
    kinds, rows, columns = pixels.T
    np.testing.assert_array_equal(label[rows, columns], kinds)
    assert len(np.unique(pixels, axis=0)) == len(pixels), "no pixel twice"
    np.testing.assert_array_equal(np.bincount(kinds, minlength=19), np.minimum(counts, POSITIONS))
    assert pixels.tolist() == sorted(pixels.tolist())
    np.testing.assert_array_equal(summarize(label, 19, f"sample {seed}")[1], pixels)
    if label.size > 1000:
        assert not np.array_equal(summarize(label, 19, "another")[1], pixels)


def test_read_only_and_ignored_labels():
    label = np.full((30, 40), 255, np.uint8)
    label.flags.writeable = False
    counts, pixels = summarize(label, 5, "x")
    assert counts.tolist() == [0] * 5
    assert pixels.shape == (0, 3)


def test_counts_of_huge_labels_are_exact():
    label = np.zeros((4200, 4200), np.uint8)  # more than 2 ** 24 pixels
    label[0, :7] = 1
    counts, _ = summarize(label, 2, "x")
    assert counts.tolist() == [4200 * 4200 - 7, 7]


@pytest.mark.parametrize("size", [(24, 40), (400, 640)])
def test_pixels_are_chosen_everywhere(size):
    """Each sixteenth of an image is chosen as often as any other."""
    label = np.zeros(size, np.uint8)
    height, width = size
    found, parities = np.zeros((4, 4)), set()
    for name in range(400):
        _, rows, columns = summarize(label, 1, str(name))[1].T
        parities |= set(zip(rows % 2, columns % 2, strict=True))
        np.add.at(found, (rows * 4 // height, columns * 4 // width), 1)
    expected = 400 * POSITIONS / 16
    chi_squared = ((found - expected) ** 2 / expected).sum()
    assert len(parities) == 4, "also between the lines of the grid"
    assert chi_squared < 37.7  # 15 degrees of freedom, p = 0.001


@pytest.mark.parametrize("mode", ["none", "ram", "disk"])
def test_index_of_a_split(dataset, place, mode):
    index = class_index(cached(dataset, mode, place, say=quiet), place)
    labels = [dataset.read(image)[1] for image in range(3)]
    counts = np.array([np.bincount(label.ravel(), minlength=256)[:4] for label in labels])
    np.testing.assert_array_equal(index.counts, counts)
    np.testing.assert_allclose(index.pixel_frequency, counts.sum(0) / counts.sum())
    np.testing.assert_allclose(index.image_frequency, [1, 1, 1 / 3, 0])
    assert [index.images_with(kind).tolist() for kind in range(4)] == [
        [0, 1, 2],
        [0, 1, 2],
        [0],
        [],
    ]
    for image, label in enumerate(labels):
        for kind in range(4):
            positions = index.positions(image, kind)
            assert positions.shape == (min(POSITIONS, counts[image, kind]), 2)
            assert (label[tuple(positions.T)] == kind).all()
    same(index, class_index(dataset))


def test_all_ignored(tmp_path):
    (tmp_path / "classes.yaml").write_text("classes: [sea, land]\n")
    write(tmp_path / "images/train/a.png", picture(0))
    write(tmp_path / "labels/train/a.png", np.full((20, 24), 255))
    index = class_index(folder(tmp_path, "train"))
    assert index.pixel_frequency.tolist() == index.image_frequency.tolist() == [0, 0]
    assert index.positions(0, 1).shape == (0, 2)


def test_it_is_made_once(dataset, place, labels_read):
    done = []
    index = class_index(dataset, place, progress=lambda *counts: done.append(counts))
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert len(labels_read) == 3
    same(class_index(dataset, place), index)
    assert len(labels_read) == 3
    class_index(dataset)
    assert len(labels_read) == 6, "without a folder nothing is saved"


def test_images_are_not_read(dataset, monkeypatch):
    monkeypatch.setattr(datasets, "read_image", lambda path: pytest.fail(f"{path} is read"))
    assert class_index(dataset).counts.shape == (3, 4)


def test_a_cache_on_disk_makes_it_in_the_same_pass(dataset, place, labels_read):
    whole = cached(dataset, "disk", place, say=quiet)
    assert len(labels_read) == 3
    for split in (whole, dataset):
        same(class_index(split, place), class_index(whole))
    assert len(labels_read) == 3


@pytest.mark.parametrize("mode", ["ram", "disk"])
def test_labels_of_a_cache_are_not_decoded_again(dataset, place, labels_read, mode):
    ours = cached(dataset, mode, place, say=quiet)
    for path in place.glob("classes-*"):
        path.unlink()
    class_index(ours, place)
    assert len(labels_read) == 3


def test_pass_over_what_is_partly_there(tmp_path, place, labels_read):
    root = trees.cityscapes_tree(tmp_path)
    cached(cityscapes(root, "train"), "disk", place, say=quiet)
    both = cityscapes(root, "trainvalidation")
    cached(both, "disk", place, say=quiet)
    assert len(labels_read) == 5
    index = class_index(both, place)
    assert len(labels_read) == 5
    same(index, class_index(both))


def test_changed_labels_and_classes(dataset, place, tmp_path):
    class_index(dataset, place)
    path = dataset.pairs[1].label
    write(path, np.full((7, 50), 3))
    assert class_index(dataset, place).counts[1].tolist() == [0, 0, 0, 350]
    (tmp_path / "classes.yaml").write_text(
        "classes: [{name: sea, value: 3}, {name: rest, value: 0}]\nignore: [1, 2]\n"
    )
    index = class_index(folder(tmp_path, "train"), place)
    assert index.counts[1].tolist() == [350, 0]
    assert len(list(place.iterdir())) == 3


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_damaged_files_are_made_again(dataset, place, content):
    index = class_index(dataset, place)
    (path,) = place.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    same(class_index(dataset, place), index)
    assert path.read_bytes() == whole


def test_folder_that_can_not_be_written(dataset, tmp_path):
    (tmp_path / "file").write_text("")
    place, said = tmp_path / "file" / "cache", []
    same(class_index(dataset, place, say=said.append), class_index(dataset))
    (message,) = said
    assert message.startswith(f"the class index could not be saved: {place}/classes-")
    assert message.endswith("or choose another folder with dataset.cache_folder=")


def test_splits_without_labels(tmp_path):
    dataset = images_as_dataset(write(tmp_path / "a.png", picture(0)), CAMVID)
    with pytest.raises(DataError, match="has no labels"):
        class_index(dataset)


def test_wrong_labels(dataset):
    path = write(dataset.pairs[2].label, np.full((64, 64), 9))
    with pytest.raises(DataError, match=rf"^label {path} holds value 9, which is not in the label"):
        class_index(dataset)
    path.unlink()
    with pytest.raises(DataError, match=rf"^label {path} does not exist: check dataset\.root$"):
        class_index(dataset, path.parent)


def test_as_large_as_ade20k(tmp_path):
    """20,210 images with 150 classes: an index of some megabytes, found quickly in."""
    generator = np.random.default_rng(0)
    counts = np.zeros(150, np.int64)
    counts[:10] = 1000
    pixels = np.stack((np.repeat(np.arange(10), 8), *generator.integers(0, 500, (2, 80))), axis=1)
    index = module.combined((counts, pixels.astype(np.int32)) for _ in range(20_210))
    assert index.counts.nbytes + index.pixels.nbytes < 60e6
    module.save(index, tmp_path / "index.npz")
    assert (tmp_path / "index.npz").stat().st_size < 50e6
    np.testing.assert_array_equal(index.positions(20_209, 9), pixels[-8:, 1:])
