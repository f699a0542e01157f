"""Sources of predictions: which pictures and videos a path, pattern, list or address stands for."""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gcseg.data.datasets import Pair, files_in, is_text, kinds_of, named_pairs, unique_names
from gcseg.data.label_spaces import LabelSpace
from gcseg.data.reading import IMAGE_SUFFIXES
from gcseg.errors import ConfigError, DataError
from gcseg.system.files import at_home
from gcseg.system.records import RecordError, read_text
from gcseg.system.text import counted, shown

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".wmv", ".flv", ".ogv", ".3gp",
)  # fmt: skip
"""Suffixes of files that are read as videos."""

LIST_SUFFIXES = (".txt", ".csv")
"""Suffixes of files that list pictures and videos, one path per line."""

SCHEMES = ("rtsp", "rtsps", "http", "https")
"""Kinds of addresses that are read."""

Source = str | int
"""A path, a pattern, an address, or the number of a camera."""

_REMEDY = (
    "give source= a picture, a video, a folder of them, a pattern as 'in/*.jpg', a list (.txt, "
    ".csv), the number of a camera or an address (rtsp://, http://)"
)
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://.+", re.DOTALL)


@dataclass(frozen=True)
class Video:
    """A video, a camera or a stream.

    Args:
        name: Name in messages and outputs.
        place: The file, the number of a camera, or an address.
    """

    name: str
    place: Path | int | str

    def __str__(self) -> str:
        """Return the place for messages, without the user and password of an address."""
        if isinstance(self.place, int):
            return f"camera {self.place}"
        return str(self.place) if isinstance(self.place, Path) else _without_login(self.place)


@dataclass
class Sources:
    """What is predicted.

    Args:
        pictures: The pictures, named uniquely.
        videos: Videos, cameras and streams, named uniquely.
        description: The sources as given, for messages.
    """

    pictures: list[Pair]
    videos: list[Video]
    description: str


@dataclass
class _Files:
    """Files that one source stands for, with the folder that their names are relative to."""

    root: Path
    pictures: list[Path] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    kinds: str = ""


def find_sources(
    given: Source | Sequence[Source],
    space: LabelSpace,
    *,
    faults: list[DataError],
    written: Callable[[Path], Sequence[Path]] = lambda path: (),
    say: Callable[[str], None] = lambda line: None,
) -> Sources:
    """Find the pictures and videos of sources.

    Names are relative paths without suffix: relative to the folder of the one source, or to the
    folder that contains all sources.

    Args:
        given: One source or several.
        space: Classes of the predictions.
        faults: Collects sources and entries of lists that can't be read.
        written: Function that returns the folders of outputs for a folder of inputs, whose files
            are not inputs.
        say: Callback that is passed a line on what is left out.

    Raises:
        ConfigError: An address is of a kind that is not read.
        DataError: There is nothing to predict.
    """
    several = [given] if isinstance(given, str | int) else list(given)
    before = len(faults)
    found: list[_Files] = []
    others: list[Video] = []
    for one in several:
        if (other := _camera_or_address(one)) is not None:
            others.append(other)
            continue
        try:
            found.append(_files(at_home(str(one)), written, faults, say))
        except DataError as error:
            faults.append(error)
    description = ", ".join(str(one) for one in several)
    root = _common([files.root for files in found])
    pictures = _once([file for files in found for file in files.pictures], say)
    relative = [_relative(file, root) for file in pictures]
    pairs = named_pairs(root, relative, space, faults=faults, say=say)
    videos = [_relative(file, root) for files in found for file in files.videos]
    named = unique_names(list(filter(is_text, _once(videos, say))))
    all_videos = [Video(name, root / file) for file, name in named.items()]
    if not pairs and not all_videos and not others:
        if len(faults) > before:
            raise faults[before]
        raise DataError(f"no pictures in {description}{''.join(f.kinds for f in found)}", _REMEDY)
    return Sources(pairs, all_videos + _apart(others), description)


def _camera_or_address(source: Source) -> Video | None:
    """Return the camera or stream of a source; None if it is a path.

    Raises:
        ConfigError: The address is of a kind that is not read.
    """
    if isinstance(source, int) or (source.isdecimal() and not Path(source).exists()):
        return Video(f"camera{int(source)}", int(source))
    if (address := _ADDRESS.fullmatch(source)) is None:
        return None
    if address[1].lower() not in SCHEMES:
        raise ConfigError(
            f"{shown(_without_login(source))} is an address of {address[1]}",
            f"give one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}, or a path",
        )
    parts = urlsplit(_without_login(source))
    name = re.sub(r"[^\w.-]+", "_", f"{parts.netloc}{parts.path}").strip("._")
    return Video(name[:100] or "stream", source)


def _apart(videos: list[Video]) -> list[Video]:
    """Number the cameras and streams that would share a name."""
    seen: dict[str, int] = {}
    named = []
    for video in videos:
        seen[video.name] = number = seen.get(video.name, 0) + 1
        named.append(video if number == 1 else Video(f"{video.name}_{number}", video.place))
    return named


def _files(
    path: Path,
    written: Callable[[Path], Sequence[Path]],
    faults: list[DataError],
    say: Callable[[str], None],
) -> _Files:
    """List the files of a path, a pattern or a list.

    Raises:
        DataError: There is no such path.
    """
    if path.is_dir():
        inside = files_in(path, written=written(path), others=VIDEO_SUFFIXES, say=say)
        pictures = [path / file for file in inside.pictures]
        return _Files(path, pictures, [path / file for file in inside.others], inside.kinds)
    if path.is_file():
        written(path)
        if path.suffix.lower() in LIST_SUFFIXES:
            return _listed(path, written, faults, say)
        is_video = path.suffix.lower() in VIDEO_SUFFIXES
        return _Files(path.parent, [] if is_video else [path], [path] if is_video else [])
    if path.exists():
        raise DataError(f"{path} is neither a regular file nor a folder", _REMEDY)
    if path.is_symlink() or not glob.has_magic(str(path)):
        raise DataError(f"{path} does not exist", _REMEDY)
    paths = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
    if not paths:
        raise DataError(f"no file matches {path}", _REMEDY)
    files = [one for one in paths if not one.is_dir()]
    read = [one for one in files if one.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)]
    if left := set(files) - set(read) if read else set():
        say(f"skipped, because they are not read as images: {kinds_of(left)}")
    root = Path(*_until_magic(path.parts))
    return _gathered(read or files, root, written, faults, say)


def _until_magic(parts: Sequence[str]) -> list[str]:
    """Return the parts of a pattern's path before the first with a wildcard."""
    fixed: list[str] = []
    for part in parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return fixed


def _listed(
    path: Path,
    written: Callable[[Path], Sequence[Path]],
    faults: list[DataError],
    say: Callable[[str], None],
) -> _Files:
    """Read a list of paths, relative to its folder; it names no addresses, cameras or other lists.

    Raises:
        DataError: The list can't be read, or is empty.
    """
    try:
        lines = read_text(path).splitlines()
    except RecordError as error:
        raise DataError(f"list {path} can't be read ({error})", _REMEDY) from None
    if path.suffix.lower() == ".csv":
        lines = [row[0] if row else "" for row in csv.reader(lines)]
    entries = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not entries:
        raise DataError(f"list {path} names no file", "write one path per line")
    paths = []
    for entry in entries:
        if _ADDRESS.fullmatch(entry):
            cause = f"{shown(_without_login(entry))} in {path} is an address"
            faults.append(DataError(cause, "give it on the command line; lists name files alone"))
            continue
        one = path.parent / at_home(entry)
        if "\0" in entry or one.suffix.lower() in LIST_SUFFIXES:
            cause = f"{shown(entry)} in {path} is no picture and no video"
            faults.append(DataError(cause, "write one path per line"))
        else:
            paths.append(one)
    return _gathered(paths, _common([one.parent for one in paths]), written, faults, say)


def _gathered(
    paths: Sequence[Path],
    root: Path,
    written: Callable[[Path], Sequence[Path]],
    faults: list[DataError],
    say: Callable[[str], None],
) -> _Files:
    """List the files of several paths, which may be folders."""
    gathered = _Files(root)
    for one in paths:
        if one.is_file() and one.suffix.lower() in LIST_SUFFIXES:  # that a pattern matches
            continue
        try:
            files = _files(one, written, faults, say)
        except DataError as error:
            faults.append(error)
            continue
        gathered.pictures += files.pictures
        gathered.videos += files.videos
    return gathered


def _common(folders: Sequence[Path]) -> Path:
    """Return the folder that contains all others; a single one as it is given."""
    if len(set(folders)) <= 1:
        return folders[0] if folders else Path()
    return Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))  # noqa: PTH100


def _relative(file: Path, root: Path) -> Path:
    return Path(os.path.relpath(file, root))


def _once(files: Sequence[Path], say: Callable[[str], None]) -> list[Path]:
    """Leave out files that are named again."""
    kept: dict[str, Path] = {}
    for file in files:
        kept.setdefault(os.path.abspath(file), file)  # noqa: PTH100
    if len(kept) < len(files):
        say(f"left out, because named before: {counted(len(files) - len(kept), 'file')}")
    return list(kept.values())


def _without_login(address: str) -> str:
    """Return an address without user, password and query."""
    return re.sub(r"(?<=://)[^/@]*@", "", address).partition("?")[0]
