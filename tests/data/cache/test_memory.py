"""A cache in memory is there once, whoever reads from it, and only if there is room."""

import multiprocessing
import re
from pathlib import Path

import pytest

from gcseg.data.cache import cached as cache
from gcseg.data.cache.cached import cache_size, cached
from gcseg.data.cache.memory import available_memory
from gcseg.data.folder import camvid, folder
from gcseg.errors import ConfigError
from tests.data import trees
from tests.data.caches import Reads, equal, open_files, quiet, varied_tree


@pytest.fixture
def place(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def camvid_root(tmp_path):
    return trees.camvid_tree(tmp_path / "camvid")


def read_in_worker(dataset, answers):
    arrays = [array.sum() for index in range(len(dataset)) for array in dataset.read(index)]
    answers.put((sum(arrays), blocks()))


def blocks() -> set[str]:
    """Blocks of shared memory that this process maps, by their inodes."""
    return set(re.findall(r" (\d+) +/memfd:gcseg", Path("/proc/self/maps").read_text()))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
@pytest.mark.parametrize("start", ["fork", "forkserver", "spawn"])
def test_workers_share_memory(tmp_path, place, start):
    dataset = folder(varied_tree(tmp_path), "train")
    others = blocks()
    shared = cached(dataset, "ram", place, say=quiet)
    own = blocks() - others
    assert len(own) == 1
    context = multiprocessing.get_context(start)
    answers = context.Queue()
    process = context.Process(target=read_in_worker, args=(shared, answers))
    process.start()
    total, theirs = answers.get(timeout=60)
    process.join()
    assert total == sum(array.sum() for index in range(5) for array in dataset.read(index))
    assert own <= theirs, "the same block of memory, not a copy"
    equal(shared, dataset)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_memory_is_given_back(camvid_root, place):
    before = blocks(), open_files()
    shared = cached(camvid(camvid_root, "train"), "ram", place, say=quiet)
    assert blocks() != before[0]
    del shared
    assert (blocks(), open_files()) == before


@pytest.mark.parametrize("short", [0, 1])
def test_too_little_memory(tmp_path, camvid_root, place, monkeypatch, short):
    reads = Reads(tmp_path / "reads.log")
    dataset = camvid(camvid_root, "train").reading_with(reads)
    available = cache_size(dataset) + cache.MEMORY_RESERVE - short
    monkeypatch.setattr(cache, "available_memory", lambda: available)
    if not short:
        cached(dataset, "ram", place, say=quiet)
        return
    with pytest.raises(
        ConfigError,
        match=rf"^dataset\.cache=ram takes 5\.8 kB for {camvid_root}/train, but 2\.1 GB of memory "
        r"are available and 2\.1 GB must stay free: use dataset\.cache=disk$",
    ):
        cached(dataset, "ram", place, say=quiet)
    assert reads.since() == []


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({}, 4096),
        ({"job": "max 100 0"}, 4096),
        ({"job": "1000 300 0"}, 700),
        ({"job": "1000 300 200"}, 900),
        ({"job": "2000 300 0", "job/step": "1000 900 0"}, 100),
        ({"job": "500 500 0", "job/step": "max 500 0"}, 0),
        ({"job": "900000 1 0"}, 4096),
        ({"other": "10 1 0"}, 4096),
    ],
)
def test_available_memory(tmp_path, limits, wanted):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:  9 kB\nMemAvailable:     4 kB\nBuffers: 1 kB")
    (tmp_path / "proc/self/cgroup").write_text("0::/job/step\n")
    for group, numbers in limits.items():
        place = tmp_path / "sys/fs/cgroup" / group
        place.mkdir(parents=True, exist_ok=True)
        limit, used, files = numbers.split()
        (place / "memory.max").write_text(f"{limit}\n")
        (place / "memory.current").write_text(f"{used}\n")
        (place / "memory.stat").write_text(f"anon 5\ninactive_file {files}\nfile 9\n")
    assert available_memory(tmp_path) == wanted


def test_systems_that_do_not_tell_their_memory(tmp_path):
    assert available_memory(tmp_path) is None
