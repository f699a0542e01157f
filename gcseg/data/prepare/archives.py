"""Read zip and tar archives and folders alike, and unpack selected files.

Files are never extracted by the archive's own names and modes: paths that lead out are refused,
links and device files are skipped, and each file appears whole or not at all.
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
"""Opens a display of progress, counted in files, like `gcseg.system.terminal.progress_bar`."""

Place = Callable[[PurePosixPath], "PurePosixPath | None"]
"""Maps a file's path in an archive to its path in the dataset's folder; None if not wanted."""

BLOCK = 1 << 20  # bytes read at once
DISK_BLOCK = 4096  # bytes that most file systems reserve at once
ELSEWHERE = "free space there, or choose another folder with dataset.root="


@dataclass(frozen=True)
class Entry:
    """A file in an archive or a folder.

    Args:
        source: Path of the archive or the folder.
        path: Path in the source; never absolute, and without `..`.
        size: Unpacked size in bytes.
        open: Function that opens the file for reading.
    """

    source: Path
    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]

    def __str__(self) -> str:
        """Return the file's path and that of its archive, for messages."""
        return f"{self.path} in {self.source}"

    def blocks(self) -> Iterator[bytes]:
        """Yield the content, one block at a time.

        Raises:
            DataError: The archive is damaged or can't be read.
        """
        with _faults(self.source), self.open() as file:
            while block := file.read(BLOCK):
                yield block

    def read(self) -> bytes:
        """Read the whole content; errors as in `blocks`."""
        return b"".join(self.blocks())


@contextmanager
def silent(description: str) -> Iterator[Progress]:
    """Show nothing; a `ProgressBar`."""
    yield lambda done, total: None


@contextmanager
def opened(source: Path) -> Iterator[list[Entry]]:
    """Open a zip or tar archive, or a folder, for as long as its entries are used.

    Yields:
        The regular files in the order in which they are stored, which is also the order to read
        them in: going back in a compressed tar archive starts over. Hidden files are left out.

    Raises:
        ConfigError: The file does not exist.
        DataError: The file is damaged, encrypted or no archive, or a path in it leads out of it.
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
                    f"{source} ({readable_size(source.stat().st_size)}) is not a complete zip or "
                    "tar archive",
                    "fetch it again",
                )
            found = [entry for entry in entries if not _hidden(entry.path)]
        yield found


def unpack(entries: Sequence[Entry], target: Path, place: Place, progress: ProgressBar) -> int:
    """Unpack wanted files that do not exist yet.

    After a kill the next call continues with the missing files.

    Args:
        entries: Entries from `opened`.
        target: Folder that receives the files.
        place: Maps an entry's path to its path below the folder.
        progress: Shows the number of files.

    Returns:
        Number of wanted files, including those that existed.

    Raises:
        DataError: The archive is damaged, or existing files differ in size from the archive's.
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
            "remove them to unpack them again, or move the archive away to keep them",
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
    """Write a file under a hidden name and rename it at the end, so that there is no half file.

    Unlike `gcseg.system.files.atomic_write` this does not wait for the disk, which would be slower
    than everything else with thousands of small files. Call `os.sync` after the last.

    Raises:
        OutputError: The file can't be written.
    """
    temporary = path.with_name(f".{path.name}.partial")  # overwrites what a kill has left
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
        OutputError: The disk has too little room.
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
    """Turn errors of reading an archive into one that names it."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,  # a compression that zipfile does not support
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
            f"{source} holds {name!r}, which would be unpacked outside the folder",
            "fetch the official archive",
        )
    return path


def _hidden(path: PurePosixPath) -> bool:
    """Return whether a file is hidden, or one that macOS adds to archives."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)
