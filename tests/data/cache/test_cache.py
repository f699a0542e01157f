"""A cached sample is the decoded one, whatever happens to the build, the disk or the sources."""

import errno
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from mmap import mmap
from pathlib import Path

import numpy as np
import pytest

from gcseg.data.ade20k import ade20k
from gcseg.data.cache import cached as cache
from gcseg.data.cache.cached import cache_size, cached
from gcseg.data.cityscapes import cityscapes
from gcseg.data.datasets import SegmentationDataset, images_as_dataset
from gcseg.data.folder import camvid, folder
from gcseg.data.label_spaces import CAMVID, LabelSpace
from gcseg.data.voc import voc
from gcseg.errors import ConfigError, DataError, OutputError
from tests.data import trees
from tests.data.caches import Reads, contents, equal, open_files, quiet, varied_tree
from tests.data.trees import mask, picture, write

THREE = LabelSpace(("sea", "land", "ship"))


TREES = {
    "label-ids": (trees.cityscapes_tree, cityscapes, "train"),
    "unlabelled": (trees.cityscapes_tree, cityscapes, "test"),
    "palette": (trees.voc_tree, voc, "train"),
    "shifted": (trees.ade20k_tree, ade20k, "train"),
    "mapped": (trees.folder_tree, folder, "train"),
    "varied": (varied_tree, folder, "train"),
}


@pytest.fixture(scope="module", params=TREES)
def sample_dataset(request, tmp_path_factory):
    """Each dataset of `TREES`, not to be changed."""
    make, read, split = TREES[request.param]
    return read(make(tmp_path_factory.mktemp(request.param)), split)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def camvid_root(tmp_path):
    return trees.camvid_tree(tmp_path / "camvid")


@pytest.fixture
def reads(tmp_path):
    return Reads(tmp_path / "reads.log")


@pytest.mark.parametrize("mode", ["none", "ram", "disk"])
def test_samples_are_those_decoded(sample_dataset, place, mode):
    for _ in range(2):
        equal(cached(sample_dataset, mode, place, say=quiet), sample_dataset)
    assert place.exists() == (mode == "disk")


@pytest.mark.parametrize("mode", ["ram", "disk"])
def test_single_images(tmp_path, place, mode):
    dataset = images_as_dataset(write(tmp_path / "a.png", picture(0)), CAMVID)
    equal(cached(dataset, mode, place, say=quiet), dataset)


@pytest.mark.parametrize("mode", ["ram", "disk"])
def test_nobody_writes_into_the_cache(camvid_root, place, mode):
    dataset = cached(camvid(camvid_root, "train"), mode, place, say=quiet)
    for array in dataset.read(0):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True


def test_files_are_plain_arrays(camvid_root, place):
    dataset = camvid(camvid_root, "train")
    cached(dataset, "disk", place, say=quiet)
    kept = {kind: [np.load(path, mmap_mode="r") for path in place.glob(f"{kind}-*.npy")]
            for kind in ("image", "label")}  # fmt: skip
    for position, arrays in enumerate(kept.values()):
        wanted = Counter(dataset.read(index)[position].tobytes() for index in range(3))
        assert Counter(array.tobytes() for array in arrays) == wanted
        assert {array.shape[:2] for array in arrays} == {(20, 24)}


def test_rows_that_are_not_used_are_not_read(tmp_path, place):
    dataset = images_as_dataset(write(tmp_path / "a.bmp", np.zeros((4096, 1024, 3))), CAMVID)
    image, _ = cached(dataset, "disk", place, say=quiet).read(0)
    assert isinstance(image.base, mmap)
    assert image[1000:1010, 20:30].sum() == 0
    (path,) = place.glob("image-*.npy")
    maps = Path("/proc/self/smaps")
    if not maps.exists():
        pytest.skip("the system does not tell what is mapped")
    (resident,) = re.findall(rf"{path}\n(?:.*\n)*?Rss: +(\d+) kB", maps.read_text())
    assert 0 < int(resident) < 6144, "of 12 MiB"


def test_unknown_mode(camvid_root, place):
    with pytest.raises(ConfigError, match=r"^dataset\.cache=gpu: give none, ram or disk$"):
        cached(camvid(camvid_root, "train"), "gpu", place)


def test_what_is_said(camvid_root, place):
    dataset = camvid(camvid_root, "train")
    said, done = [], []
    cached(dataset, "disk", place, say=said.append, progress=lambda *counts: done.append(counts))
    assert said == [f"decoding 3 pairs of {camvid_root}/train into {place}: 6.5 kB"]
    assert done == [(1, 3), (2, 3), (3, 3)]
    cached(dataset, "ram", place, say=said.append)
    assert said[1:] == [f"decoding 3 pairs of {camvid_root}/train into memory: 5.8 kB"]


def test_sizes_come_from_the_headers(sample_dataset):
    arrays = [array for index in range(len(sample_dataset)) for array in sample_dataset.read(index)]
    assert cache_size(sample_dataset) == sum(array.nbytes for array in arrays if array is not None)


def test_a_complete_cache_is_only_looked_at(camvid_root, place, reads):
    dataset = camvid(camvid_root, "train").reading_with(reads)
    cached(dataset, "disk", place, say=quiet)
    assert len(reads.since()) == 3
    before = contents(place), place.stat().st_mtime_ns, (place / ".lock").stat().st_mtime_ns
    said = []
    with (place / ".lock").open("a") as lock:  # another process builds something else
        fcntl.flock(lock, fcntl.LOCK_EX)
        again = cached(dataset, "disk", place, say=said.append)
    equal(again, camvid(camvid_root, "train"))
    assert said == reads.since() == []
    after = contents(place), place.stat().st_mtime_ns, (place / ".lock").stat().st_mtime_ns
    assert after == before


def test_splits_share_what_they_have_in_common(data, place, reads):
    root = trees.cityscapes_tree(data)
    cached(cityscapes(root, "train").reading_with(reads), "disk", place, say=quiet)
    assert len(reads.since()) == 3
    both = cityscapes(root, "trainvalidation")
    equal(cached(both.reading_with(reads), "disk", place, say=quiet), both)
    val = cityscapes(root, "val")
    assert reads.since() == sorted(pair.name for pair in val.pairs)
    equal(cached(val.reading_with(reads), "disk", place, say=quiet), val)
    assert reads.since() == []


@pytest.mark.parametrize("kind", ["image", "label"])
@pytest.mark.parametrize("change", ["content", "size", "time"])
def test_changed_sources_are_decoded_again(camvid_root, place, reads, kind, change):
    def dataset():
        return camvid(camvid_root, "train").reading_with(reads)

    cached(dataset(), "disk", place, say=quiet)
    reads.since()
    pair = dataset().pairs[1]
    path = getattr(pair, kind)
    status = path.stat()
    if change == "content":  # of the same length, a nanosecond later
        new = picture(1)[::-1] if kind == "image" else mask(1, range(12))[::-1]
        write(path, new)
        path.write_bytes(path.read_bytes()[: status.st_size].ljust(status.st_size, b"\0"))
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns + 1))
    elif change == "size":  # at the same time
        path.write_bytes(path.read_bytes() + b"more")
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    else:
        os.utime(path)
    again = cached(dataset(), "disk", place, say=quiet)
    assert reads.since() == [pair.name]
    equal(again, camvid(camvid_root, "train"))


def test_another_label_space_is_another_label(camvid_root, place, reads):
    cached(camvid(camvid_root, "train"), "disk", place, say=quiet)
    count = len(list(place.glob("label-*")))
    swapped = LabelSpace(CAMVID.names, values={value: 10 - value for value in range(11)},
                         ignored=(11,))  # fmt: skip
    dataset = folder(camvid_root, "train", classes=swapped, images="{split}", labels="{split}annot")
    said = []
    equal(cached(dataset.reading_with(reads), "disk", place, say=said.append), dataset)
    assert len(reads.since()) == 3
    assert len(list(place.glob("label-*"))) == 2 * count
    assert len(list(place.glob("image-*"))) == 3
    assert said[0].endswith(": 1.8 kB"), "pictures are there already"


@pytest.mark.parametrize("kind", ["image", "label"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:64],
        lambda content: b"",
        lambda content: content + b"\0",
        lambda content: b"\0" * len(content),
    ],
    ids=["byte", "header", "empty", "longer", "zeros"],
)
def test_damaged_entries_are_written_again(camvid_root, place, reads, kind, damage):
    dataset = camvid(camvid_root, "train")
    cached(dataset, "disk", place, say=quiet)
    before = contents(place)
    path = sorted(place.glob(f"{kind}-*.npy"))[1]
    path.write_bytes(damage(path.read_bytes()))
    said = []
    again = cached(dataset.reading_with(reads), "disk", place, say=said.append)
    equal(again, dataset)
    assert len(reads.since()) == 1
    assert said[0] == f"damaged files in {place}, to be written again: 1"
    assert contents(place) == before


def test_entries_that_vanish_during_a_training(camvid_root, place):
    dataset = cached(camvid(camvid_root, "train"), "disk", place, say=quiet)
    paths = sorted(place.glob("image-*.npy"))
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    failed = 0
    for index in range(3):
        try:
            dataset.read(index)
        except DataError as error:
            assert re.match(
                rf"{place}/image-\w+\.npy of the decoded cache was removed or changed \(.+\): "
                "start again: missing files are decoded again$",
                str(error),
            )
            failed += 1
    assert failed == 2
    equal(cached(camvid(camvid_root, "train"), "disk", place, say=quiet), dataset)


def test_leftovers_of_killed_builds_are_removed(camvid_root, place):
    place.mkdir()
    for name in (".image-0.npy.1.1.partial", ".label-0.npy.1.1.partial"):
        (place / name).write_bytes(b"half")
    cached(camvid(camvid_root, "train"), "disk", place, say=quiet)
    assert not list(place.glob(".*.partial"))


@pytest.mark.parametrize("mode", ["ram", "disk"])
def test_unreadable_sources(camvid_root, place, reads, mode):
    dataset = camvid(camvid_root, "train")
    path = dataset.pairs[2].image
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(DataError, match=rf"^image {path} is truncated or not an image \(100 byt"):
        cached(dataset, mode, place, say=quiet)
    path.write_bytes(whole)
    equal(cached(dataset.reading_with(reads), mode, place, say=quiet), dataset)
    assert len(reads.since()) == (1 if mode == "disk" else 3), "what was decoded before is kept"


@pytest.mark.parametrize("kind", ["image", "label"])
def test_missing_sources(camvid_root, place, kind):
    dataset = camvid(camvid_root, "train")
    path = getattr(dataset.pairs[1], kind)
    path.unlink()
    with pytest.raises(DataError, match=rf"^{kind} {path} does not exist: check dataset\.root$"):
        cached(dataset, "disk", place, say=quiet)


def test_sizes_that_differ_are_refused_also_when_decoded_separately(tmp_path, place):
    root = varied_tree(tmp_path)
    dataset = folder(root, "train")
    cached(dataset, "disk", place, say=quiet)
    wrong = SegmentationDataset(
        [type(pair)(pair.name, pair.image, dataset.pairs[0].label, pair.label_space)
         for pair in dataset.pairs[1:2]],
        dataset.label_space,
        "wrong",
    )  # fmt: skip
    with pytest.raises(DataError, match=r"^image .*1\.bmp is 7x50 but its label .*0\.png is 20x24"):
        cached(wrong, "disk", place, say=quiet)


@pytest.mark.parametrize("short", [0, 1])
def test_no_room(camvid_root, place, reads, monkeypatch, short):
    dataset = camvid(camvid_root, "train").reading_with(reads)
    needed = cache_size(dataset) + 6 * 128
    usage = shutil.disk_usage(camvid_root)._replace(free=needed + cache.DISK_RESERVE - short)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    if not short:
        cached(dataset, "disk", place, say=quiet)
        return
    with pytest.raises(
        OutputError,
        match=rf"^{place} has no room for the decoded cache of {camvid_root}/train: it needs 6.5 kB"
        r", 1.1 GB are free and 1.1 GB must stay free: free space there, or choose another folder "
        r"with dataset\.cache_folder=, or use dataset\.cache=none$",
    ):
        cached(dataset, "disk", place, say=quiet)
    assert contents(place) == {}
    assert reads.since() == []


@pytest.mark.parametrize("after", [0, 1, 4])
def test_disk_that_is_full_in_the_middle(camvid_root, place, reads, monkeypatch, after):
    dataset = camvid(camvid_root, "train")
    synced = iter(range(after))

    def sync(_):
        if next(synced, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", sync)
        with pytest.raises(
            OutputError,
            match=rf"^{place}/\w+-\w+\.npy can't be written \(No space left on device\): free "
            r"space there, or choose another folder with dataset\.cache_folder=$",
        ):
            cached(dataset, "disk", place, say=quiet)
    assert len(contents(place)) == after, "what was whole is kept, and nothing else"
    equal(cached(dataset.reading_with(reads), "disk", place, say=quiet), dataset)
    assert len(reads.since()) >= 3 - after


def test_folder_that_can_not_be_made(camvid_root, tmp_path):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "cache"
    with pytest.raises(
        OutputError, match=rf"^{place} can't be written \(Not a directory\): free space there, or"
    ):
        cached(camvid(camvid_root, "train"), "disk", place, say=quiet)


def test_folder_that_can_not_be_written():
    """A complete cache serves those who may only read it; others are told."""
    script = (
        "import os, sys; from pathlib import Path\n"
        "from gcseg.data.cache.cached import cached; from gcseg.data.folder import camvid\n"
        "root, place = map(Path, sys.argv[1:])\n"
        "cached(camvid(root, 'val'), 'disk', place); place.chmod(0o555)\n"
        "os.geteuid() or os.setuid(65534)  # root may write everywhere\n"
        "print(len(cached(camvid(root, 'val'), 'disk', place).read(0)))\n"
        "cached(camvid(root, 'train'), 'disk', place)\n"
    )
    # Not below pytest's own folder, into which nobody else may look.
    base = Path(tempfile.mkdtemp())
    base.chmod(0o755)
    try:
        root = trees.camvid_tree(base / "camvid")
        result = subprocess.run(
            [sys.executable, "-c", script, str(root), str(base / "cache")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        (base / "cache").chmod(0o755)
        shutil.rmtree(base)
    assert "2" in result.stdout.splitlines(), result.stderr
    assert re.search(
        rf"OutputError: {base}/cache.* can't be written \(Permission denied\): free space there, "
        r"or choose another folder with dataset\.cache_folder=",
        result.stderr,
    )


def test_files_are_not_kept_open(camvid_root, place):
    dataset = cached(camvid(camvid_root, "train"), "disk", place, say=quiet)
    before = open_files()
    for _ in range(20):
        samples = [dataset.read(index) for index in range(3)]
    del samples
    assert open_files() == before


def test_a_relative_folder_stays_where_it_is(camvid_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = cached(camvid(camvid_root, "train"), "disk", Path("here"), say=quiet)
    monkeypatch.chdir("/")
    equal(dataset, camvid(camvid_root, "train"))
