"""Bytes that have changed are noticed wherever a file has something to compare them with."""

import pickle
import random
import re
import zipfile

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gcseg.errors import WeightsError
from gcseg.weights import check_torch, load_torch, read_checkpoint_file, read_tensors
from gcseg.weights.convert import convert
from tests.weights.files import WRITERS, write_archive
from tests.weights.test_convert import narrow, saved, small  # noqa: F401

TENSORS = {"a.weight": torch.arange(3000.0), "a.running_mean": torch.ones(7)}


def flip(path, places):
    """Change the lowest bit of some bytes, which leaves a float32 finite."""
    content = bytearray(path.read_bytes())
    for place in places:
        content[place] ^= 1
    path.write_bytes(content)


def refused(path, read=read_checkpoint_file):
    with pytest.raises(
        WeightsError, match=rf"^can't read {re.escape(str(path))} \(.*\): "
    ) as error:
        read(path)
    return str(error.value)


@pytest.mark.parametrize("read", [read_checkpoint_file, load_torch, check_torch])
def test_a_flipped_bit_in_any_record_of_a_zip(tmp_path, read):
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": TENSORS}, path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
    assert len(records) > 4
    for record in records:
        path.write_bytes(whole)
        name_and_extra = int.from_bytes(whole[record.header_offset + 26 :][:2], "little")
        name_and_extra += int.from_bytes(whole[record.header_offset + 28 :][:2], "little")
        flip(path, [record.header_offset + 30 + name_and_extra + record.file_size // 2])
        message = f"(it is damaged: its record {record.filename} has another checksum)"
        assert message in refused(path, read)


def test_twenty_flipped_bytes_anywhere_among_the_numbers(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save(TENSORS, path)
    whole = path.read_bytes()
    start = whole.index(torch.arange(3000.0).numpy().tobytes())
    rng = random.Random(0)
    for _ in range(20):
        path.write_bytes(whole)
        flip(path, [start + rng.randrange(12_000) for _ in range(20)])
        refused(path)


def test_archives_without_checksums_are_refused(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(TENSORS, tmp_path / "x.ckpt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert "left its checksums out" in refused(tmp_path / "x.ckpt")


def test_some_checksums_are_no_reason_to_pass_over_the_others(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save(TENSORS, path)
    with zipfile.ZipFile(path) as archive:
        crc = next(i.CRC for i in archive.infolist() if i.filename.endswith("data/0"))
    content = path.read_bytes()
    place = content.rindex(crc.to_bytes(4, "little"))
    path.write_bytes(content[:place] + bytes(4) + content[place + 4 :])
    assert "has another checksum" in refused(path)


def test_a_flipped_bit_in_a_tar_gz(tmp_path):
    path = tmp_path / "x.tar.gz"
    write_archive(path, TENSORS)
    flip(path, [path.stat().st_size - 7])  # of the checksum itself
    assert "CRC" in refused(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pdparams", ".ckpt", ".pth"])
def test_flipped_bits_in_converted_files(narrow, tmp_path, suffix):  # noqa: F811
    source = saved(small(variant="v1c" if suffix == ".pth" else "vd"), tmp_path / "source.ckpt")
    path = tmp_path / f"x{suffix}"
    convert(source, path)
    whole = path.read_bytes()
    tensors = read_tensors(path)
    rng = random.Random(0)
    names = [name for name, tensor in tensors.items() if tensor.numel() > 20]
    for name in rng.sample(names, 10):
        numbers = tensors[name].numpy().tobytes()
        path.write_bytes(whole)
        flip(path, [whole.index(numbers) + rng.randrange(len(numbers))])
        assert "it is damaged: " in refused(path)


def test_a_flipped_bit_in_what_safetensors_say(narrow, tmp_path):  # noqa: F811
    path = tmp_path / "x.safetensors"
    convert(saved(small(), tmp_path / "source.ckpt"), path)
    flip(path, [path.read_bytes().index(b'output_stride\\": 8') + len(b'output_stride\\": ')])
    assert "does not match the SHA-256 that gcseg wrote" in refused(path)


def test_other_programs_read_what_has_a_digest(narrow, tmp_path):  # noqa: F811
    source = saved(small(), tmp_path / "source.ckpt")
    convert(source, tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert all(type(text) is str for text in metadata.values())
    tensors = load_file(tmp_path / "x.safetensors")
    assert torch.equal(tensors["head.classifier.weight"],
                       read_tensors(source)["head.classifier.weight"])  # fmt: skip
    # What writes the same in another order writes the same content.
    save_file(dict(reversed(tensors.items())), tmp_path / "y", dict(reversed(metadata.items())))
    assert read_tensors(tmp_path / "y").keys() == tensors.keys()
    tensors["head.classifier.weight"] *= 2
    save_file(tensors, tmp_path / "y", metadata)
    assert "does not match the SHA-256 that gcseg wrote" in refused(tmp_path / "y")

    convert(source, tmp_path / "x.pdparams")
    with (tmp_path / "x.pdparams").open("rb") as file:
        assert len(pickle.load(file, encoding="latin1")) > 50  # as paddle.load reads it


@pytest.mark.parametrize("kind", WRITERS)
def test_files_without_a_digest_of_ours_are_read(tmp_path, kind):
    WRITERS[kind][1](tmp_path / "x", TENSORS)
    assert torch.equal(read_tensors(tmp_path / "x")["a.weight"], TENSORS["a.weight"])
