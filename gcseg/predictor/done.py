"""The record of what is predicted, by which a command that is given again skips what is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gcseg.system.files import output_error, sha256_of
from gcseg.system.records import RecordError, parse_json, read_text
from gcseg.system.text import listed, printable, verb

RECORD = ".predictions.jsonl"
"""File in the output folder: what all predictions were made with, then a line for each."""


@dataclass(frozen=True)
class Entry:
    """A prediction that is done.

    Args:
        inputs: SHA-256 of the files that were read.
        outputs: Size in bytes and time of change in nanoseconds of each file that was written, by
            path relative to the output folder.
        areas: Fraction of the image of each class, by class index; empty for a video.
    """

    inputs: str
    outputs: Mapping[str, tuple[int, int]]
    areas: tuple[float, ...]


class Done:
    """Record of the predictions in a folder, all made with the same checkpoint and settings.

    Another checkpoint or other settings begin the record from nothing.

    Args:
        folder: Output folder.
        made_with: What decides the predictions and the form of their files, by name.
        say: Callback that is passed the reason why nothing of an earlier command is kept.
    """

    def __init__(
        self, folder: Path, made_with: Mapping[str, Any], say: Callable[[str], None]
    ) -> None:
        self.folder = folder
        self._path = folder / RECORD
        self._made_with = json.loads(json.dumps(made_with))
        self._entries = self._read(say)
        self._file: IO[str] | None = None

    def entry(self, name: str, inputs: Callable[[], str]) -> Entry | None:
        """Return the record of a prediction if it is of the same inputs and its outputs are there.

        Args:
            name: Name of the picture or video.
            inputs: Function that returns the `digest` of its files.
        """
        entry = self._entries.get(name)
        if entry is None or not all(map(self._is_there, entry.outputs.items())):
            return None
        return entry if entry.inputs and entry.inputs == inputs() else None

    def was_begun(self, name: str) -> bool:
        """Return whether an earlier command began a video, and has not completed it."""
        entry = self._entries.get(name)
        return entry is not None and not entry.inputs

    def begin(self, name: str) -> None:
        """Record that a video is begun.

        Raises:
            OutputError: The record can't be written.
        """
        self.add(name, "", ())

    def add(
        self, name: str, inputs: str, outputs: Sequence[Path], areas: Sequence[float] = ()
    ) -> None:
        """Record a prediction whose files are written.

        Args:
            name: Name of the picture or video.
            inputs: `digest` of the files that it is read from, taken before they were read.
            outputs: Files and folders that were written.
            areas: Fraction of the image of each class, by class index; empty for a video.

        Raises:
            OutputError: The record can't be written.
        """
        states = {path.relative_to(self.folder).as_posix(): _state(path) for path in outputs}
        line = {"name": name, "inputs": inputs, "outputs": states, "areas": list(areas)}
        try:
            if self._file is None:
                self._file = self._begin()
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise output_error(self._path, error) from error

    def __enter__(self) -> Done:
        """Return the record."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the record's file."""
        if self._file is not None:
            self._file.close()

    def _begin(self) -> IO[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._entries:
            self._path.unlink(missing_ok=True)  # of other settings; never written through a link
            file = self._path.open("x")
            file.write(json.dumps(self._made_with) + "\n")
            return file
        file = self._path.open("a")
        file.write("\n")  # a line that a kill has cut off ends here
        return file

    def _is_there(self, output: tuple[str, tuple[int, int]]) -> bool:
        try:
            return _state(self.folder / output[0]) == output[1]
        except OSError:
            return False

    def _read(self, say: Callable[[str], None]) -> dict[str, Entry]:
        """Read the record of an earlier command; empty if there is none of the same kind."""
        try:
            first, *lines = read_text(self._path, errors="replace", within=self.folder).split("\n")
            made_with = parse_json(first)
        except FileNotFoundError:
            return {}
        except RecordError as error:
            say(f"starting over: {self._path} can't be read ({error})")
            return {}
        if not isinstance(made_with, dict) or made_with != self._made_with:
            earlier = made_with if isinstance(made_with, dict) else {}
            keys = sorted(
                key for key in {*earlier, *self._made_with}
                if earlier.get(key) != self._made_with.get(key)
            )  # fmt: skip
            differ = f"{listed(map(printable, keys))} {verb(len(keys), 'differs', 'differ')}"
            say(f"starting over: {differ} from those of the predictions in {self.folder}")
            return {}
        entries = {}
        for line in lines:
            if (found := _entry(line)) is not None:
                entries[found[0]] = found[1]
        return entries


def _entry(line: str) -> tuple[str, Entry] | None:
    """Read a line of the record; None if it is cut off or no such line."""
    try:
        content = parse_json(line) if line else None
        assert isinstance(content, dict)
        outputs = {str(path): (int(size), int(time)) for path, (size, time)
                   in content["outputs"].items()}  # fmt: skip
        areas = tuple(float(area) for area in content["areas"])
        entry = Entry(str(content["inputs"]), outputs, areas)
        return str(content["name"]), entry
    except (RecordError, AssertionError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def digest(files: Sequence[Path]) -> str:
    """Return the SHA-256 of the contents of files; empty if one can't be read."""
    try:
        if len(files) == 1:
            return sha256_of(files[0])
        return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()
    except OSError:
        return ""
