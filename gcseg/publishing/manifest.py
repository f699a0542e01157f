"""The manifest of a published folder: its files with checksums, and how it was scored."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from gcseg.errors import WeightsError
from gcseg.publishing.names import MANIFEST, SUFFIXES, WEIGHTS, boundary
from gcseg.runs.shapes import COUNT, FLAG, INSIDE, SCALES, TEXT, Each, Entries, Kind, checked
from gcseg.system.files import sha256_of, write_json
from gcseg.system.links import leads_out
from gcseg.system.records import RecordError, parse_json, read_text
from gcseg.system.text import shown

FORMAT = 1
"""Version of the layout of published folders."""

_MOST_BYTES = 2**24
"""Largest size of a manifest, in bytes; a folder has a few dozen files."""
_MOST_FILES = 1000
_MOST_EVALUATIONS = 100

_SHA256 = Kind("a SHA-256 in hexadecimal digits", lambda value: isinstance(value, str)
               and re.fullmatch(r"[0-9a-f]{64}", value) is not None)  # fmt: skip
_PRECISION = Kind("a precision", lambda value: str(value) in ("32", "bf16-mixed", "16-mixed"))

EVALUATION = Entries(
    {"mode": TEXT, "split": TEXT, "scales": SCALES, "flip": FLAG, "images": COUNT,
     "confusion": INSIDE, "predictions": INSIDE, "data": INSIDE},
    needed=["mode", "split", "scales", "flip", "confusion", "predictions", "data"],
)  # fmt: skip

_SHAPE = Entries({
    "format": COUNT, "gcseg": TEXT, "name": TEXT,
    "protocol": Entries({"precision": _PRECISION, "channels_last": FLAG},
                        needed=["precision", "channels_last"]),
    "environment": Entries({"python": TEXT, "packages": Each(TEXT), "device": TEXT,
                            "processes": COUNT, "threads": COUNT}),
    "evaluations": Each(EVALUATION, _MOST_EVALUATIONS),
    "classes": Entries({"names": Kind("a list", lambda value: isinstance(value, list)),
                        "values": _SHA256}),
    "files": Each(Entries({"sha256": _SHA256, "bytes": COUNT}, needed=["sha256", "bytes"]),
                  _MOST_FILES),
}, needed=["format", "protocol", "evaluations", "files"])  # fmt: skip


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest of a folder, whose other files are complete.

    Args:
        folder: The folder.
        content: Entries of the manifest but `format` and `files`.

    Raises:
        OutputError: It can't be written.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": sha256_of(path),
            "bytes": path.stat().st_size,
        }
        for path in paths
    }
    write_json(folder / MANIFEST, {"format": FORMAT, **content, "files": files})


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a published folder.

    Raises:
        WeightsError: It is missing or damaged, or names files that no published folder has.
    """
    path = folder / MANIFEST
    try:
        content = parse_json(read_text(path, _MOST_BYTES, within=boundary(folder)))
        manifest: dict[str, Any] = checked(content, _SHAPE)
        if manifest["format"] != FORMAT:
            raise RecordError(f"its format is {manifest['format']}, and this gcseg reads {FORMAT}")
        for name in manifest["files"]:
            _check_name(name)
        named = [one[key] for one in manifest["evaluations"].values()
                 for key in ("confusion", "predictions", "data")]  # fmt: skip
        for name in [WEIGHTS, *named]:
            if name not in manifest["files"]:
                raise RecordError(f"it has no checksum of {shown(name)}")
    except FileNotFoundError:
        raise WeightsError(
            f"{folder} is not a published folder: it has no {MANIFEST}",
            "give a folder that gcseg.publish has written",
        ) from None
    except RecordError as error:
        raise WeightsError(f"{path} is refused: {error}", "download the folder again") from None
    return manifest


def _check_name(name: str) -> None:
    """Check that a manifest may name a file.

    Raises:
        RecordError: It leads out of the folder, or is of a kind that no published folder has.
    """
    if not INSIDE.fits(name) or "\\" in name or PurePosixPath(name).as_posix() != name:
        raise RecordError(f"it names {shown(name)}, which is not a path inside the folder")
    if PurePosixPath(name).suffix not in SUFFIXES:
        raise RecordError(
            f"it names {shown(name)}; the files of a published folder are {', '.join(SUFFIXES)}"
        )


def changed_files(folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Compare the files of a published folder with its manifest.

    Args:
        folder: The folder.
        manifest: The manifest, from `read_manifest`.

    Returns:
        What is wrong with a file, in words, by its name; empty if all are as published.
    """
    found = {name: _fault(folder, name, facts) for name, facts in manifest["files"].items()}
    return {name: fault for name, fault in found.items() if fault is not None}


def _fault(folder: Path, name: str, facts: Mapping[str, Any]) -> str | None:
    path = folder / name
    if leads_out(path, boundary(folder)):
        return "a link to a place outside the folder"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait
            return "not a regular file"
        if status.st_size != facts["bytes"]:
            return f"{status.st_size:,} bytes instead of {facts['bytes']:,}"
        return None if sha256_of(path) == facts["sha256"] else "changed"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"can't be read ({error.strerror})"


def other_files(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return the files in a published folder that its manifest does not name.

    Files whose name, or a folder's name, begins with a dot are those of git and of the hub.

    Args:
        folder: The folder.
        manifest: The manifest, from `read_manifest`.
    """
    there = [path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()]
    return sorted(
        path.as_posix()
        for path in there
        if not any(part.startswith(".") for part in path.parts)
        and path.as_posix() not in (MANIFEST, *manifest["files"])
    )
