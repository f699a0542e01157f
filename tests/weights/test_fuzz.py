"""Damaged files of every format: each is read or refused, and nothing else happens."""

import gzip
import random
import struct
import zipfile

import pytest
import torch

from tests.weights.files import WRITERS, read_apart, write_mmseg, write_zip

HUGE = [struct.pack("<I", 2**31 - 1), struct.pack("<Q", 2**40), b"\xff" * 8, b"\x00" * 8]


def whole_files(folder):
    """Name: (bytes to damage, what makes a file of them)."""
    torch.manual_seed(0)
    tensors = {
        "conv.weight": torch.randn(2, 3, 3, 3),
        "norm.running_var": torch.rand(70).half(),
        "norm.num_batches_tracked": torch.tensor(3),
    }
    bases = {}
    for name, (_, write) in WRITERS.items():
        write(folder / "whole", tensors)
        bases[name] = ((folder / "whole").read_bytes(), lambda data, path: path.write_bytes(data))
    # Damage inside of what has a checksum or a length around it would be found by that alone.
    bases["inside of tar.gz"] = (gzip.decompress(bases["tar.gz"][0]), write_gzip)
    write_mmseg(folder / "whole", tensors)
    with zipfile.ZipFile(folder / "whole") as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in records if name.endswith("data.pkl"))
    bases["inside of pth"] = (
        records[pickled],
        lambda data, path: write_zip(path, records | {pickled: data}),
    )
    content = bases["safetensors"][0]
    start = 8 + int.from_bytes(content[:8], "little")
    bases["header of safetensors"] = (
        content[8:start],
        lambda data, path: path.write_bytes(
            len(data).to_bytes(8, "little") + data + content[start:]
        ),
    )
    return bases


def write_gzip(data, path):
    path.write_bytes(gzip.compress(data, 1))


def damaged(content, others, rng):
    """Change some bytes, in one of the ways in which files break or are broken."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        start = rng.randrange(len(data) + 1)
        stop = min(len(data), start + rng.choice((1, 2, 8, 64, 512)))
        other = rng.choice(others)
        place = rng.randrange(len(other))
        change = rng.randrange(8)
        if change == 0 and start < len(data):
            data[start] ^= 1 << rng.randrange(8)
        elif change == 1:
            data[start:stop] = rng.randbytes(stop - start)
        elif change == 2:
            del data[start:]
        elif change == 3:
            del data[start:stop]
        elif change == 4:
            data[start:start] = rng.randbytes(stop - start)
        elif change == 5:
            data[stop:stop] = data[start:stop] * rng.choice((1, 1, 50))
        elif change == 6:
            data[start:stop] = other[place : place + rng.choice((4, 64, 512))]
        else:
            number = rng.choice(HUGE)
            data[start : start + len(number)] = number
    return bytes(data)


def fuzz(folder, seed, mutants):
    """Read so many damaged files of each kind and count what became of them."""
    rng = random.Random(seed)
    bases = whole_files(folder)
    others = [content for content, _ in bases.values()]
    paths = []
    for number, (content, write) in enumerate(bases.values()):
        for mutant in range(mutants):
            paths.append(folder / f"{number}-{mutant}")
            write(damaged(content, others, rng), paths[-1])
    outcomes = read_apart(paths, megabytes=500)
    for path, read in zip(paths, outcomes, strict=True):
        for text in read:
            assert text is None or (isinstance(text, str) and "\n" not in text), (path, text)
            assert "MemoryError" not in (text or ""), (path, text)
            path.unlink(missing_ok=True)
    read = sum(text is None for text, _ in outcomes)
    return read, len(paths) - read


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_damaged_files_are_read_or_refused(tmp_path, seed):
    read, refused = fuzz(tmp_path, seed, mutants=30)
    # Neither is rare: bytes of parameters may be any, all others matter.
    assert read > 10
    assert refused > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 15))
def test_many_damaged_files_are_read_or_refused(tmp_path, seed):
    read, refused = fuzz(tmp_path, seed, mutants=500)
    assert read > 100
    assert refused > 1000


def test_no_part_of_a_file_is_taken_for_the_whole(tmp_path):
    rng = random.Random(0)
    paths = []
    for number, (_, write) in enumerate(WRITERS.values()):
        write(tmp_path / "whole", {"weight": torch.arange(5.0), "bias": torch.ones(2)})
        content = (tmp_path / "whole").read_bytes()
        for size in rng.sample(range(len(content)), 60):
            paths.append(tmp_path / f"{number}-{size}")
            paths[-1].write_bytes(content[:size])
    outcomes = read_apart(paths, megabytes=500)
    assert [path.name for path, (text, _) in zip(paths, outcomes, strict=True) if not text] == []
