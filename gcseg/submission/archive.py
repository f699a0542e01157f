"""Archives of masks: written with the same bytes for the same masks, and read safely."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, NamedTuple, cast

from gcseg.errors import DataError
from gcseg.system.files import atomic_write
from gcseg.system.text import printable

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""Earliest time that a ZIP can hold."""
_MODE = 0o644
_GZIP = b"\x1f\x8b"


class Member(NamedTuple):
    """A file in an archive.

    Args:
        name: Path in the archive.
        content: Content, open for reading until the next member.
        archive: The archive, for messages.
    """

    name: str
    content: IO[bytes]
    archive: Path

    def read(self, most: int) -> bytes:
        """Return the content, or as many bytes of it.

        Raises:
            DataError: The archive is damaged.
        """
        with _damage_told(self.archive):
            return self.content.read(most)


def write_archive(files: Mapping[str, Path], target: Path) -> None:
    """Write an archive atomically.

    Times, owners and permissions are constants, and names are sorted. PNGs are stored as they are,
    as they are compressed already; so no version of zlib decides the bytes.

    Args:
        files: Files by their path in the archive.
        target: The archive, which ends in `.zip` or `.tgz`.

    Raises:
        OutputError: It can't be written.
    """
    with atomic_write(target) as out:
        if target.suffix == ".zip":
            _write_zip(files, out)
        else:
            _write_tar(files, out)


def _write_zip(files: Mapping[str, Path], out: IO[bytes]) -> None:
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _FIRST_DAY)
            info.create_system = 3  # Unix, on every system
            info.external_attr = _MODE << 16
            archive.writestr(info, files[name].read_bytes())


def _write_tar(files: Mapping[str, Path], out: IO[bytes]) -> None:
    with (
        gzip.GzipFile("", "wb", compresslevel=0, fileobj=out, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in sorted(files):
            content = files[name].read_bytes()
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), _MODE
            archive.addfile(info, io.BytesIO(content))


def kind_of(path: Path) -> Literal[".zip", ".tgz"] | None:
    """Return what an archive is, by its content; None if it is neither.

    Raises:
        DataError: It can't be read.
    """
    if not path.is_file():
        raise DataError(f"there is no archive {path}", "give check= the file to check")
    try:
        with path.open("rb") as file:
            if file.read(len(_GZIP)) == _GZIP:
                return ".tgz"
        return ".zip" if zipfile.is_zipfile(path) else None
    except OSError as error:
        raise DataError(
            f"{path} can't be read ({error.strerror})", "check who may read it"
        ) from None


_LARGEST_HEADER = 2**20
"""Most bytes of an extended header of a tar; names of masks take some dozens."""


def members(path: Path) -> Iterator[Member]:
    """Yield the files of an archive; nothing is unpacked to the disk.

    Args:
        path: A ZIP, or a tar that is compressed by gzip.

    Raises:
        DataError: The archive is damaged, is encrypted, or holds a link or a device.
    """
    with _damage_told(path):
        yield from _of_zip(path) if kind_of(path) == ".zip" else _of_tar(path)


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (
        *(OSError, EOFError, RuntimeError, ValueError, NotImplementedError),
        *(zipfile.BadZipFile, tarfile.TarError, zlib.error),
    ) as error:
        raise DataError(
            f"{path} can't be read: {printable(str(error))}", "write the archive again"
        ) from None


def _of_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                with archive.open(info) as content:
                    yield Member(info.filename, content, path)


class _Header(tarfile.TarInfo):
    """A header of a tar; extended ones, which tarfile reads whole into memory, are bounded."""

    _EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
                 tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)  # fmt: skip

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in self._EXTENDED and self.size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header has {self.size:,} bytes")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


def _of_tar(path: Path) -> Iterator[Member]:
    with (
        gzip.open(path) as packed,
        tarfile.open(fileobj=packed, mode="r:", tarinfo=_Header) as archive,
    ):
        for info in archive:
            if info.isdir():
                continue
            if not info.isreg():
                raise DataError(
                    f"{path} holds a link or a device, {printable(info.name)}",
                    "pack the masks themselves",
                )
            content = cast(IO[bytes], archive.extractfile(info))
            yield Member(info.name.removeprefix("./"), content, path)
        while packed.read(1 << 20):  # to the checksum at the end
            pass
