"""Archives are unpacked whole and safely, however they are cut, killed or made."""

import errno
import io
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from gcseg.data.prepare.archives import opened, silent, unpack, whole
from gcseg.errors import ConfigError, DataError, OutputError

KINDS = ["zip", "stored.zip", "tar", "tgz", "tar.xz", "folder"]
COMPRESSED = ["zip", "tgz", "tar.xz"]


def contents(seed, count=9):
    """Files by name, some of them large or empty."""
    rng = random.Random(seed)
    sizes = [0, 1, 511, 512, 513, 1_100_000, *(rng.randrange(1, 20_000) for _ in range(count - 6))]
    rng.shuffle(sizes)
    return {f"top/{i % 3}/{i}.bin": rng.randbytes(size) for i, size in enumerate(sizes)}


def pack(path, kind, files):
    """Write files as an archive, or as a folder."""
    path = path.with_name(f"{path.name}.{kind}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    elif kind.endswith("zip"):
        method = zipfile.ZIP_DEFLATED if kind == "zip" else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        mode = {"tar": "w", "tgz": "w:gz", "tar.xz": "w:xz"}[kind]
        with tarfile.open(path, mode) as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                info.mode = 0
                archive.addfile(info, io.BytesIO(content))
    return path


def below_top(path: PurePosixPath):
    return PurePosixPath(*path.parts[1:]) if path.parts[0] == "top" else None


def take(source, target, place=below_top, progress=silent):
    with opened(source) as entries:
        return unpack(entries, target, place, progress)


def tree(folder):
    """Every file below a folder with its content, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def expected(files):
    return {name.removeprefix("top/"): content for name, content in files.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_wanted(tmp_path, kind, seed):
    files = contents(seed)
    unwanted = {"other/x.bin": b"x", "top/.hidden": b"x", "__MACOSX/top/._1.bin": b"x"}
    source = pack(tmp_path / "source", kind, {**unwanted, **files})
    assert take(source, tmp_path / "a" / "b") == len(files)
    assert tree(tmp_path / "a") == {
        f"b/{name}": content for name, content in expected(files).items()
    }
    for path in (tmp_path / "a").rglob("*.bin"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600, "not the archive's mode"


@pytest.mark.parametrize("kind", KINDS)
def test_goes_on_with_what_is_missing(tmp_path, kind):
    files = contents(3)
    source = pack(tmp_path / "source", kind, files)
    target = tmp_path / "target"
    take(source, target)
    first, *others = sorted(target.rglob("*.bin"))
    times = {path: path.stat().st_mtime_ns for path in others}
    first.unlink()
    assert take(source, target) == len(files)
    assert tree(target) == expected(files)
    assert {path: path.stat().st_mtime_ns for path in others} == times


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_there_is_left_alone(tmp_path, kind):
    source = pack(tmp_path / "source", kind, contents(4))
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "1.bin").write_bytes(b"my own, of another size")
    with pytest.raises(
        DataError,
        match=rf"^{tmp_path}/1/1.bin differ in size from those in {source}: remove them to "
        "unpack them again, or move the archive away to keep them$",
    ):
        take(source, tmp_path)
    assert (tmp_path / "1" / "1.bin").read_bytes() == b"my own, of another size"
    assert not (tmp_path / "0").exists(), "nothing is written before everything is checked"


def test_progress(tmp_path):
    shown = []

    def progress(description):
        shown.append(description)
        return silent_with(shown)

    source = pack(tmp_path / "source", "tar", {f"top/{i}": b"x" for i in range(3)})
    take(source, tmp_path / "t", progress=progress)
    assert shown == ["unpacking source.tar", (1, 3), (2, 3), (3, 3)]
    take(source, tmp_path / "t", progress=progress)
    assert len(shown) == 4, "there is nothing to do"


class silent_with:  # noqa: N801
    def __init__(self, shown):
        self.shown = shown

    def __enter__(self):
        return lambda done, total: self.shown.append((done, total))

    def __exit__(self, *_):
        return None


# ------------------------------------------------------------------------------- hostile archives


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "top/../../evil", "top/1/../../../evil"])
def test_paths_that_lead_out(tmp_path, kind, name):
    source = pack(tmp_path / "source", kind, {"top/good": b"good", name: b"evil"})
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    with pytest.raises(
        DataError,
        match=(
            rf"^{source} holds '{re.escape(name)}', which " r"would be unpacked outside the folder"
        ),
    ):
        take(source, target, place=lambda path: path)
    assert tree(tmp_path / "deep") == {}


def test_links_and_devices_in_tar(tmp_path):
    """A link out of the folder and then a file through it: the classic attack."""
    (tmp_path / "outside").mkdir()
    source = tmp_path / "source.tar"
    with tarfile.open(source, "w") as archive:
        for kind, link in (
            (tarfile.SYMTYPE, str(tmp_path / "outside")),
            (tarfile.LNKTYPE, "/etc/passwd"),
            (tarfile.CHRTYPE, ""),
            (tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(f"top/{kind.decode()}")
            info.type, info.linkname = kind, link
            archive.addfile(info)
        info = tarfile.TarInfo(f"top/{tarfile.SYMTYPE.decode()}/file")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"data"))
    assert take(source, tmp_path / "target") == 1
    assert tree(tmp_path / "target") == {f"{tarfile.SYMTYPE.decode()}/file": b"data"}
    assert not any(path.is_symlink() for path in (tmp_path / "target").rglob("*"))
    assert tree(tmp_path / "outside") == {}


def test_links_in_zip(tmp_path):
    source = tmp_path / "source.zip"
    with zipfile.ZipFile(source, "w") as archive:
        info = zipfile.ZipInfo("top/link")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
        archive.writestr("top/file", b"data")
    assert take(source, tmp_path / "target") == 1
    assert tree(tmp_path / "target") == {"file": b"data"}


# ------------------------------------------------------------------------------- damaged archives


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz", "tar.xz"])
@pytest.mark.parametrize("seed", range(8))
def test_cut_off(tmp_path, kind, seed):
    rng = random.Random(seed)
    files = {f"top/{i}.bin": rng.randbytes(rng.randrange(2_000)) for i in range(20)}
    source = pack(tmp_path / "source", kind, files)
    whole_size = source.stat().st_size
    if kind == "tar":  # behind the last file it holds nothing but zeros
        whole_size = 20 * 512 + sum(-(-len(content) // 512) * 512 for content in files.values())
        at = rng.choice([rng.randrange(1, whole_size), whole_size, whole_size - 512])
    else:
        at = rng.randrange(1, whole_size)
    os.truncate(source, at)
    fault = "is not a complete zip or tar archive" if kind == "zip" else "cut off"
    with pytest.raises(DataError, match=rf"^{source} .*{fault}: fetch it again$"):
        take(source, tmp_path / "target")
    assert not (tmp_path / "target").exists(), "it is noticed before anything is written"


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("seed", range(6))
def test_changed_bytes(tmp_path, kind, seed):
    """Checksums find them; no file with a wrong content gets its name."""
    rng = random.Random(seed)
    files = {f"top/{i}.bin": rng.randbytes(5_000) for i in range(5)}
    source = pack(tmp_path / "source", kind, files)
    content = bytearray(source.read_bytes())
    at = rng.randrange(200, 20_000)  # in the files' data
    content[at : at + 8] = bytes(byte ^ 0xFF for byte in content[at : at + 8])
    source.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{source} .*: fetch it again$"):
        take(source, tmp_path / "target")
    right = expected(files)
    for name, found in tree(tmp_path / "target").items() if kind == "zip" else ():
        assert right[name] == found


@pytest.mark.parametrize("content", [b"", b"not an archive", b"<html>404</html>" * 1000])
def test_no_archive(tmp_path, content):
    source = tmp_path / "leftImg8bit.zip"
    source.write_bytes(content)
    with pytest.raises(
        DataError, match=rf"^{source} \(.+\) is not a complete zip or tar archive: fetch it"
    ):
        take(source, tmp_path / "target")


def test_encrypted(tmp_path):
    source = pack(tmp_path / "source", "zip", {"top/x": b"x"})
    content = source.read_bytes()
    at = content.index(b"PK\x01\x02") + 8  # the flags in the central directory
    source.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    with pytest.raises(DataError, match=f"^{source} is encrypted: unpack it and give the folder$"):
        take(source, tmp_path / "target")


def test_missing(tmp_path):
    with pytest.raises(ConfigError, match=f"^source {tmp_path}/x.zip does not exist: give an"):
        take(tmp_path / "x.zip", tmp_path)


def test_the_faulty_one_of_two_is_named(tmp_path):
    good = pack(tmp_path / "good", "zip", {"top/x": b"x" * 1000})
    bad = pack(tmp_path / "bad", "zip", {"top/y": bytes(range(256)) * 40})
    content = bytearray(bad.read_bytes())
    content[60:70] = bytes(10)
    bad.write_bytes(content)
    with opened(bad) as entries, opened(good), pytest.raises(DataError, match=f"^{bad} can't be"):
        unpack(entries, tmp_path / "target", below_top, silent)


# ------------------------------------------------------------------------------- the disk


def test_disk_too_small(tmp_path, monkeypatch):
    """Blocks count: five files of one byte take five blocks."""
    source = pack(tmp_path / "source", "tar", {f"top/{i}": b"x" for i in range(5)})
    usage = shutil.disk_usage("/")._replace(free=5 * 4096 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        OutputError,
        match=rf"^5 files need 20.5 kB in {tmp_path}/target, where 20.5 kB are free: free space "
        "there, or choose another folder with dataset.root=$",
    ):
        take(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5 * 4096))
    assert take(source, tmp_path / "target") == 5


def test_disk_that_fills_up(tmp_path):
    def fail():
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "x.png"
    message = rf"^{path} can't be written \(No space left on device\)"
    with pytest.raises(OutputError, match=message), whole(path) as file:
        file.write(b"half")
        fail()
    assert list(tmp_path.iterdir()) == []


def test_place_that_can_not_be_written(tmp_path):
    source = pack(tmp_path / "source", "zip", {"top/1/x": b"x"})
    (tmp_path / "1").write_text("a file")
    with pytest.raises(OutputError, match=rf"^{tmp_path}/1/x can't be written"):
        take(source, tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tgz"])
@pytest.mark.parametrize("seed", range(2))
def test_killed(tmp_path, kind, seed):
    """Killed in the middle of a file, the next call goes on, and no half file has been seen."""
    rng = random.Random(seed)
    files = {f"top/{i}.bin": rng.randbytes(3_000) for i in range(12)}
    source, target = pack(tmp_path / "source", kind, files), tmp_path / "target"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path, PurePosixPath\n"
        "from gcseg.data.prepare import archives\n"
        "read, calls = archives.Entry.blocks, []\n"
        "def blocks(self):\n"
        "    calls.append(self)\n"
        "    for block in read(self):\n"
        "        yield block[:1000]\n"
        f"        if len(calls) == {3 + seed}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield block[1000:]\n"
        "archives.Entry.blocks = blocks\n"
        "with archives.opened(Path(sys.argv[1])) as entries:\n"
        "    place = lambda path: PurePosixPath(path.name)\n"
        "    archives.unpack(entries, Path(sys.argv[2]), place, archives.silent)\n"
    )
    process = subprocess.run([sys.executable, "-c", code, source, target])
    assert process.returncode == -signal.SIGKILL
    there = {name: content for name, content in tree(target).items() if name[0] != "."}
    assert len(there) == 2 + seed
    assert len(tree(target)) == 3 + seed, "the file that was being written, under a hidden name"
    assert there.items() <= expected(files).items()
    take(source, target)
    assert tree(target) == expected(files)


def test_folder_that_is_a_link(tmp_path):
    """A dataset may lie on another disk."""
    real = pack(tmp_path / "real", "folder", {"top/1/x": b"x"})
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "top").symlink_to(real / "top")
    (tmp_path / "source" / "broken").symlink_to(Path("nowhere"))
    assert take(tmp_path / "source", tmp_path / "target") == 1
    assert tree(tmp_path / "target") == {"1/x": b"x"}
