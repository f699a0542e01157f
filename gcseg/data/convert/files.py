"""Find and read the files of an export. What they name is looked up in a list, never opened."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from gcseg.data.convert.drawings import Color
from gcseg.data.convert.output import RECORD
from gcseg.data.reading import IMAGE_SUFFIXES
from gcseg.data.walk import files_below
from gcseg.errors import DataError
from gcseg.system.links import leads_out
from gcseg.system.records import RecordError, read_text
from gcseg.system.text import counted, printable, shown

LARGEST_ANNOTATIONS = 2**30
"""Largest annotation file in bytes; COCO's largest, instances_train2017.json, has half of it."""
MOST_LEVELS = 50
"""Largest depth of XML; CVAT's has six levels."""
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".xz")


@dataclass(frozen=True)
class Found:
    """A picture that an annotation names.

    Args:
        path: Its file.
        name: Its path relative to the folder in which it was found.
        by_tail: Whether only the end of the annotated path is that of the file.
    """

    path: Path
    name: PurePosixPath
    by_tail: bool = False


class Export:
    """The files of an export: those below its folder, and pictures of another folder.

    Hidden files, files of the output, and links that lead out of their folder do not count.

    Args:
        source: The export's folder, or its annotation file, whose folder then counts.
        images: Folder of the pictures if they are not in the export's.
        output: Folder of the results, whose files do not count.

    Raises:
        DataError: There is no such folder, or it can't be read.
    """

    def __init__(self, source: Path, images: Path | None, output: Path) -> None:
        if source.is_file() and source.suffix.lower() in _ARCHIVES:
            raise DataError(f"source={source} is an archive", "unpack it, and give its folder")
        for setting, place in (("source", source), ("images", images)):
            if place is not None and not place.exists():
                raise DataError(f"{setting}={place} does not exist", "give the export's folder")
        self.only = source if source.is_file() else None
        self.root = source.parent if self.only else source
        self.images = images
        self._output = output
        self.linked: list[Path] = []
        self.files = self._listed(self.root)
        self.pictures = {file: name for file, name in self.files.items() if _is_picture(name)}
        self._given = set() if images is None else self._add_pictures(images)
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in self.pictures:
            self._by_name[path.name].append(path)
            self._by_stem[path.stem].append(path)

    def _add_pictures(self, images: Path) -> set[Path]:
        """Add the pictures of another folder, which may be within the export; return them."""
        known = {os.path.realpath(path): path for path in self.pictures}
        given = set()
        for found, name in self._listed(images).items():
            if _is_picture(name):
                path = known.get(os.path.realpath(found), found)
                self.pictures.setdefault(path, name)
                given.add(path)
        return given

    def _listed(self, root: Path) -> dict[Path, PurePosixPath]:
        """Return the files below a folder with their relative paths."""
        try:
            below = files_below(root)
        except OSError as error:
            raise DataError(
                f"folder {error.filename} can't be read ({error.strerror})",
                "check who may read it",
            ) from None
        listed = {}
        real = os.path.realpath(root)
        output = os.path.realpath(self._output)
        inside: dict[Path, bool] = {}
        for relative in below:
            path = root / relative
            folder = path.parent
            if folder not in inside:
                place = os.path.realpath(folder)
                inside[folder] = _is_below(place, real) and not _is_below(place, output)
                if not _is_below(place, real):
                    self.linked.append(path)
            if inside[folder] and path.is_symlink() and leads_out(path, root):
                self.linked.append(path)
            elif inside[folder]:
                listed[path] = PurePosixPath(relative.as_posix())
        return listed

    def with_suffix(self, *suffixes: str) -> list[Path]:
        """Return the annotation file, or the export's files with one of the suffixes, sorted."""
        if self.only is not None:
            return [self.only]
        return sorted(
            path for path in self.files if path.suffix.lower() in suffixes and path.name != RECORD
        )

    def find(self, name: object, source: str, *near: Path) -> Found:
        r"""Return the picture that an annotation names.

        It is looked for from the folder of the annotation, from the export's and from `images`, and
        then anywhere in them, by its last parts. All parts have to agree, but of a path that leads
        elsewhere (`/home/me/a.jpg`, `C:\\a.jpg`, `../a.jpg`) the last is enough.

        Args:
            name: The name in the annotation.
            source: The annotation, for messages.
            near: Folders to look in first, such as that of the annotation file.

        Raises:
            DataError: No picture has this name, or several have.
        """
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{source} names no picture", "export the annotations again")
        text = re.sub(r"^[A-Za-z]:", "/", name.replace("\\", "/"))
        elsewhere = text.startswith("/") or ".." in text.split("/")
        if "\0" not in text and not text.startswith("/"):
            for folder in (*near, self.root, self.images):
                path = Path(os.path.normpath(folder / text)) if folder else None
                if path in self.pictures:
                    return Found(path, self.pictures[path])
        wanted = [part for part in text.split("/") if part not in ("", ".", "..")]
        found = self._by_tail(wanted)
        length = max((_equal_parts(path, wanted) for path in found), default=0)
        if length < (1 if elsewhere else len(wanted)) or not length:
            raise DataError(
                f"{source} names the picture {shown(name)}, which is not in "
                f"{self.images or self.root}",
                "put it there, or give images= its folder",
            )
        best = [path for path in found if _equal_parts(path, wanted) == length]
        best = [path for path in best if path in self._given] or best
        if len(best) > 1:
            raise DataError(
                f"{source} names the picture {shown(name)}, which may be {best[0]} or {best[1]}",
                "give images= the folder of the right one",
            )
        return Found(best[0], self.pictures[best[0]], by_tail=length < len(wanted))

    def _by_tail(self, wanted: Sequence[str]) -> list[Path]:
        return self._by_name.get(wanted[-1], []) if wanted else []

    def by_stem(self, stem: str) -> Sequence[Path]:
        """Return the pictures of a name without suffix."""
        return self._by_stem.get(stem, [])

    def notes(self, used: Iterable[Path]) -> list[str]:
        """Return lines on pictures without annotations, and on links."""
        unused = sorted(set(self.pictures) - set(used))
        notes = []
        if unused:
            notes.append(
                f"{counted(len(unused), 'picture')} without an annotation left out, such as "
                f"{printable(str(unused[0]))}"
            )
        if self.linked:
            notes.append(
                f"{counted(len(self.linked), 'file')} left out, as links lead out of the folder: "
                f"{printable(str(self.linked[0]))}: give images= the folder that they lead to"
            )
        return notes


def _equal_parts(path: Path, wanted: Sequence[str]) -> int:
    """Return how many of the last parts of a path are the wanted ones."""
    count = 0
    for one, other in zip(reversed(path.parts), reversed(wanted), strict=False):
        if one != other:
            break
        count += 1
    return count


def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def _is_picture(name: PurePosixPath) -> bool:
    return name.suffix.lower() in IMAGE_SUFFIXES


def read_annotations(path: Path) -> Any:
    """Read a JSON file of any number of values.

    JSON has no references, so that what it holds takes memory in proportion to its size.

    Raises:
        DataError: The file can't be read or is no JSON.
    """
    try:
        return json.loads(read_text(path, LARGEST_ANNOTATIONS))
    except RecursionError:
        cause = "it is nested too deeply"
    except ValueError as error:
        cause = f"it is not JSON: {printable(str(error))}"
    except (RecordError, OSError) as error:
        cause = str(error)
    raise DataError(f"{path} can't be read ({cause})", "export the annotations again")


def read_xml(path: Path) -> Element:
    """Read an XML file without entities: a few of them can stand for gigabytes, or for files.

    Raises:
        DataError: The file can't be read, is no XML, or declares a document type.
    """
    builder = TreeBuilder()
    level = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal level
        level += 1
        if level > MOST_LEVELS:
            raise RecordError(f"it is nested in more than {MOST_LEVELS} levels")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal level
        level -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise RecordError("it declares a document type, as annotations never do")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(read_text(path, LARGEST_ANNOTATIONS), True)
        return builder.close()
    except (RecordError, OSError, expat.ExpatError) as error:
        raise DataError(
            f"{path} can't be read ({printable(str(error))})", "export the annotations again"
        ) from None


def whole(value: object, where: str, what: str) -> int:
    """Return a whole number from JSON or XML.

    Raises:
        DataError: It is none.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
        if number == int(number) and not isinstance(value, bool):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise DataError(f"{where} has no whole number as its {what}", "export the annotations again")


def real(value: object, where: str, what: str) -> float:
    """Return a finite number from JSON or XML.

    Raises:
        DataError: It is none.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
        if abs(number) < float("inf"):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise DataError(f"{where} has no number as its {what}", "export the annotations again")


def label_of(value: object, where: str) -> str:
    """Return a label from JSON or XML.

    Raises:
        DataError: It is no text, or empty.
    """
    if isinstance(value, str) and value.strip():
        return value
    raise DataError(f"{where} has no label", "give it one in the tool")


def entries(value: object, where: str, what: str) -> list[dict[str, Any]]:
    """Return a list of mappings from JSON.

    Raises:
        DataError: It is none.
    """
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        return value
    raise DataError(f"{where} has no list {what!r}", "export the annotations again")


def color_of(text: str | None) -> Color | None:
    """Return the colour that #rrggbb says; None for anything else."""
    try:
        red, green, blue = bytes.fromhex((text or "").removeprefix("#"))
    except ValueError:
        return None
    return red, green, blue
