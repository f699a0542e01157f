"""Builds that run at once or are killed leave what one build in peace leaves."""

import multiprocessing
import random
import socket
import time

import pytest

from gcseg.data.cache.cached import cached
from gcseg.data.cityscapes import cityscapes
from gcseg.data.folder import folder
from tests.data import trees
from tests.data.caches import Reads, contents, equal, quiet
from tests.data.trees import mask, picture, write

# Processes of their own, started from one in which nothing has run yet.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.data.test_cache_processes"])


def build(root, split, place, log, may_read, said):
    reads = Reads(log)

    def read(pair):
        assert may_read.wait(60)
        return reads(pair)

    dataset = cityscapes(root, split)
    equal(cached(dataset.reading_with(read), "disk", place, say=said.put), dataset)
    said.put("done")


@pytest.mark.parametrize("second", ["train", "trainvalidation"])
def test_processes_that_build_at_once(tmp_path, second):
    root, place, log = (
        trees.cityscapes_tree(tmp_path / "data"),
        tmp_path / "cache",
        tmp_path / "log",
    )
    may_read = PROCESSES.Event()
    queues, processes = [], []
    for split in ("train", second):
        queues.append(PROCESSES.Queue())
        arguments = (root, split, place, log, may_read, queues[-1])
        processes.append(PROCESSES.Process(target=build, args=arguments))
        processes[-1].start()
        line = queues[-1].get(timeout=60)
        if len(processes) == 1:
            assert line.startswith("decoding 3 pairs of ")
    assert line == (
        f"waiting for process {processes[0].pid} on {socket.gethostname()}, which is working in "
        f"{place}"
    )
    may_read.set()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert queues[0].get(timeout=10) == "done"
    if second != "train":
        assert queues[1].get(timeout=10).startswith("decoding 2 pairs of ")
    assert queues[1].get(timeout=10) == "done"
    wanted = [pair.name for pair in cityscapes(root, second).pairs]
    assert sorted(log.read_text().split()) == sorted(wanted), "each is decoded once"


def build_large(root, place, said):
    cached(folder(root, "train"), "disk", place, say=said.send)


def test_killed_builds(tmp_path):
    """Whenever builds are killed, the next goes on, and in the end all is as from one in peace."""
    place = tmp_path / "cache"
    (tmp_path / "classes.yaml").write_text("classes: [sea, land, ship]\n")
    for index in range(24):
        coarse = mask(index, (0, 1, 2, 255), 24, 40).repeat(16, axis=0).repeat(16, axis=1)
        write(tmp_path / f"images/train/{index}.bmp", picture(index, *coarse.shape))
        write(tmp_path / f"labels/train/{index}.png", coarse)
    dataset = folder(tmp_path, "train")
    start = time.perf_counter()
    cached(dataset, "disk", tmp_path / "peace", say=quiet)
    seconds = time.perf_counter() - start
    peace = contents(tmp_path / "peace")
    draw = random.Random(0)
    killed = 0
    for _ in range(10):
        ours, theirs = PROCESSES.Pipe()
        process = PROCESSES.Process(target=build_large, args=(tmp_path, place, theirs))
        process.start()
        assert ours.poll(60)
        assert ours.recv()  # it is about to decode, unless all is there
        time.sleep(draw.uniform(0, seconds / 8))
        process.kill()
        process.join()
        there = {name: data for name, data in contents(place).items() if name in peace}
        assert there.items() <= peace.items(), "no entry is half written"
        killed += process.exitcode == -9 and len(there) < len(peace)
        if len(there) == len(peace):
            break
    assert killed >= 3
    equal(cached(dataset, "disk", place, say=quiet), dataset)
    assert contents(place) == peace
