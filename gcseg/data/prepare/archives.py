"""Read zip and tar archives and folders alike, and unpack of them what is wanted.

Files are never extracted by the archive's own names and modes: paths that lead out are refused,
links and device files are passed over, and each file appears whole or not at all.
"""

from __future__ import annotations

import glob
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from gcseg.data.parallel import Progress
from gcseg.errors import ConfigError, DataError, OutputError
from gcseg.system.download import readable_size

ProgressBar = Callable[[str], AbstractContextManager[Progress]]
"""Opens a display of progress, in files, as `gcseg.system.terminal.progress_bar`."""

Place = Callable[[PurePosixPath], "PurePosixPath | None"]
"""Where a file of an archive goes, relative to the dataset's folder; None if it is not wanted."""

BLOCK = 1 << 20  # bytes read at once
DISK_BLOCK = 4096  # bytes that most file systems reserve at once
ELSEWHERE = "free space there, or choose another folder with dataset.root="


@dataclass(frozen=True)
class Entry:
    """A file in an archive or a folder.

    Args:
        source: The archive or the folder.
        path: In it; never absolute, and without `..`.
        size: Bytes, unpacked.
        open: Opens it to be read.
    """

    source: Path
    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]

    def __str__(self) -> str:
        """The file's path and that of its archive, for messages."""
        return f"{self.path} in {self.source}"

    def blocks(self) -> Iterator[bytes]:
        """The content, a block at a time.

        Raises:
            DataError: The archive is damaged or can't be read.
        """
        with _faults(self.source), self.open() as file:
            while block := file.read(BLOCK):
                yield block

    def read(self) -> bytes:
        """The whole content; errors as `blocks`."""
        return b"".join(self.blocks())


@contextmanager
def silent(description: str) -> Iterator[Progress]:
    """A `ProgressBar` that shows nothing."""
    yield lambda done, total: None


@contextmanager
def opened(source: Path) -> Iterator[list[Entry]]:
    """Open a zip or tar archive, or a folder, for as long as its entries are used.

    Yields:
        The regular files in the order in which they are stored, which is also the one to read them
        in: going back in a compressed tar archive starts over. Hidden files are left out.

    Raises:
        ConfigError: There is no such file.
        DataError: The archive is damaged, encrypted or none, or holds a path that leads out of it.
    """
    if not source.exists():
        raise ConfigError(f"source {source} does not exist", "give an archive or a folder")
    with ExitStack() as stack:
        with _faults(source):
            if source.is_dir():
                entries = _of_folder(source)
            elif tarfile.is_tarfile(source):
                entries = _of_tar(source, stack.enter_context(tarfile.open(source)))
            elif zipfile.is_zipfile(source):
                entries = _of_zip(source, stack.enter_context(zipfile.ZipFile(source)))
            else:
                raise DataError(
                    f"{source} ({readable_size(source.stat().st_size)}) is no zip or tar archive, "
                    "or is cut off",
                    "fetch it again",
                )
            found = [entry for entry in entries if not _hidden(entry.path)]
        yield found


def unpack(entries: Sequence[Entry], target: Path, place: Place, progress: ProgressBar) -> int:
    """Unpack what is wanted and not there yet.

    After a kill the next call goes on with the files that are missing.

    Args:
        entries: What `opened` gives.
        target: The folder.
        place: Where each goes below it.
        progress: Shows the number of files.

    Returns:
        How many files are wanted, those included that were there.

    Raises:
        DataError: The archive is damaged, or files are there that differ in size from its own.
        OutputError: The disk is too small or can't be written.
    """
    wanted = 0
    missing: list[tuple[Entry, Path]] = []
    others: list[Path] = []
    for entry in entries:
        relative = place(entry.path)
        if relative is None:
            continue
        wanted += 1
        path = target / relative
        if not path.exists():
            missing.append((entry, path))
        elif path.stat().st_size != entry.size:
            others.append(path)
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise DataError(
            f"{others[0]}{more} differ in size from those in {entries[0].source}",
            "remove them to have them unpacked again, or move the archive away to keep them",
        )
    if missing:
        check_space(target, [entry.size for entry, _ in missing])
        with progress(f"unpacking {entries[0].source.name}") as report:
            for done, (entry, path) in enumerate(missing, 1):
                with whole(path) as file:
                    file.writelines(entry.blocks())
                report(done, len(missing))
        os.sync()
    return wanted


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under a hidden name and rename it to its own, so that there is no half file.

    Unlike `gcseg.system.files.atomic_write` this does not wait for the disk: with thousands of
    small files that takes longer than everything else. Call `os.sync` after the last.

    Raises:
        OutputError: It can't be written.
    """
    temporary = path.with_name(f".{path.name}.partial")  # what a kill leaves is written over
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{path} can't be written ({reason})", ELSEWHERE) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_space(folder: Path, sizes: Sequence[int]) -> None:
    """Check that files of these sizes (bytes) have room in a folder, which need not exist.

    Raises:
        OutputError: They have not.
    """
    needed = sum(-(-size // DISK_BLOCK) * DISK_BLOCK for size in sizes)
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise OutputError(
            f"{len(sizes):,} files need {readable_size(needed)} in {folder}, where "
            f"{readable_size(free)} are free",
            ELSEWHERE,
        )


@contextmanager
def _faults(source: Path) -> Iterator[None]:
    """Say which archive it is that can't be read."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,  # a compression that zipfile does not know
        OSError,
    ) as error:
        raise DataError(
            f"{source} can't be read ({error}), it is damaged or cut off", "fetch it again"
        ) from error


def _of_folder(folder: Path) -> Iterator[Entry]:
    # Unlike Path.rglob, glob follows links to folders.
    for name in sorted(glob.glob("**", root_dir=folder, recursive=True)):  # noqa: PTH207
        path = folder / name
        if path.is_file():
            yield Entry(folder, PurePosixPath(name), path.stat().st_size, partial(_open_file, path))


def _open_file(path: Path) -> IO[bytes]:
    return path.open("rb")


def _of_tar(source: Path, archive: tarfile.TarFile) -> Iterator[Entry]:
    for info in archive:
        path = _inside(source, info.name)
        if info.isreg():
            yield Entry(source, path, info.size, partial(_open_member, archive, info))
    # tarfile takes a cut between two files, and garbage there, for the end.
    file = archive.fileobj
    assert file is not None  # it was opened from a path
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("the end is missing")
    while file.read(BLOCK):  # a compressed archive has a checksum at its very end
        pass


def _open_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    assert file is not None  # a regular file
    return file


def _of_zip(source: Path, archive: zipfile.ZipFile) -> Iterator[Entry]:
    for info in archive.infolist():
        path = _inside(source, info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive is not from Unix
        if info.is_dir() or kind not in (0, stat.S_IFREG):
            continue
        if info.flag_bits & 1:
            raise DataError(f"{source} is encrypted", "unpack it and give the folder")
        yield Entry(source, path, info.file_size, partial(archive.open, info))


def _inside(source: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"{source} holds {name!r}, which leads out of the folder it is unpacked to",
            "fetch the official archive",
        )
    return path


def _hidden(path: PurePosixPath) -> bool:
    """Whether it is a hidden file, or one that macOS puts beside the others."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)
