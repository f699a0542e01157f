"""Archives: the same bytes for the same masks, and what is no archive."""

import io
import tarfile
import zipfile

import pytest

from gcseg.errors import DataError, OutputError
from gcseg.submission.archive import kind_of, members, write_archive


@pytest.fixture
def files(tmp_path):
    found = {}
    for name in ("b.png", "a/c.png", "a.png"):
        found[name] = tmp_path / name.replace("/", "_")
        found[name].write_bytes(name.encode() * 3)
    return found


@pytest.mark.parametrize("suffix", [".zip", ".tgz"])
def test_bytes_depend_on_names_and_contents_alone(tmp_path, files, suffix):
    write_archive(files, tmp_path / f"one{suffix}")
    for path in files.values():
        path.touch()
        path.chmod(0o600)
    write_archive(dict(reversed(files.items())), tmp_path / f"two{suffix}")
    content = (tmp_path / f"one{suffix}").read_bytes()
    assert (tmp_path / f"two{suffix}").read_bytes() == content
    assert kind_of(tmp_path / f"one{suffix}") == suffix
    found = [(one.name, one.read(10**6)) for one in members(tmp_path / f"one{suffix}")]
    assert found == [(name, name.encode() * 3) for name in ("a.png", "a/c.png", "b.png")]
    files["a.png"].write_bytes(b"other")
    write_archive(files, tmp_path / f"two{suffix}")
    assert (tmp_path / f"two{suffix}").read_bytes() != content


def test_a_failure_leaves_the_earlier_archive(tmp_path, files):
    target = tmp_path / "one.zip"
    write_archive(files, target)
    before = target.read_bytes()
    files["b.png"].unlink()
    with pytest.raises(OutputError):
        write_archive(files, target)
    assert target.read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_standard_tools_read_them(tmp_path, files):
    write_archive(files, tmp_path / "one.zip")
    write_archive(files, tmp_path / "one.tgz")
    assert zipfile.ZipFile(tmp_path / "one.zip").testzip() is None
    with tarfile.open(tmp_path / "one.tgz") as archive:
        assert {(one.mode, one.mtime, one.uid) for one in archive} == {(0o644, 0, 0)}


def test_links_and_damage_are_refused(tmp_path, files):
    with tarfile.open(tmp_path / "link.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError, match=r"holds a link or a device, a\.png"):
        list(members(tmp_path / "link.tgz"))
    write_archive(files, tmp_path / "one.tgz")
    cut = (tmp_path / "one.tgz").read_bytes()[:-4]
    (tmp_path / "cut.tgz").write_bytes(cut)
    with pytest.raises(DataError, match=r"cut.tgz can't be read"):
        list(members(tmp_path / "cut.tgz"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("a.png", b"12345678")
    (tmp_path / "bad.zip").write_bytes(packed.getvalue().replace(b"12345678", b"12345679"))
    with pytest.raises(DataError, match=r"bad.zip can't be read: Bad CRC"):
        [one.read(10**6) for one in members(tmp_path / "bad.zip")]
    (tmp_path / "text.zip").write_text("text")
    assert kind_of(tmp_path / "text.zip") is None
    with pytest.raises(DataError, match="there is no archive"):
        kind_of(tmp_path / "none.zip")
