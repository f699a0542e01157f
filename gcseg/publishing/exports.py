"""Exports of a run that are published with it: those of its best checkpoint that are proved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gcseg.errors import ConfigError, GcsegError
from gcseg.exports.formats import FORMATS
from gcseg.exports.names import SUFFIXES, format_of
from gcseg.exports.network import read_record
from gcseg.exports.record import as_text
from gcseg.publishing.settings import shareable
from gcseg.system.files import sha256_of, write_json
from gcseg.system.links import leads_out

PUBLISHED = ("onnx", "openvino")
"""Formats without code in them."""


def proved_exports(
    folder: Path, best: Path, formats: Sequence[str] | None
) -> tuple[list[Path], list[str]]:
    """Find the exports of a run that are published.

    Args:
        folder: The run folder.
        best: Its best checkpoint.
        formats: Formats to publish; None for all.

    Returns:
        The exports, and a line on each that is left out.

    Raises:
        ConfigError: There is no proved export in a format that is named.
    """
    wanted = PUBLISHED if formats is None else formats
    digest = sha256_of(best)
    chosen, notes = [], []
    for path in sorted((folder / "exports").glob("*")):
        name = format_of(path)
        if name is None or (formats is not None and name not in wanted):
            continue
        fault = _fault(path, name, folder, digest)
        if fault is None:
            chosen.append(path)
        else:
            notes.append(f"left out: {path.relative_to(folder)}, {fault}")
    for name in formats or ():
        if not any(format_of(path) == name for path in chosen):
            why = f" ({'; '.join(notes)})" if notes else ""
            raise ConfigError(
                f"{folder / 'exports'} has no proved {name} export of {best.name}{why}",
                f"write it with gcseg.export checkpoint={folder} format={name}",
            )
    return chosen, notes


def _fault(path: Path, name: str, folder: Path, digest: str) -> str | None:
    if name not in PUBLISHED:
        return f"as a {SUFFIXES[name]} file may hold code"
    if leads_out(path, folder):
        return "a link to a place outside the run folder"
    try:
        record = read_record(path)
    except GcsegError as error:
        return f"which can't be read ({error.cause})"
    weights, proof = record.get("weights"), record.get("proof")
    if not isinstance(weights, dict) or weights.get("sha256") != digest:
        return f"which is of other weights than {Path('checkpoints', 'best.ckpt')}"
    if not isinstance(proof, dict) or proof.get("passed") is not True:
        return "which is not proved"
    return None


def write_export(source: Path, folder: Path) -> None:
    """Copy an export and its record, with settings that may be shared.

    Args:
        source: The export.
        folder: Folder to write to.

    Raises:
        OutputError: It can't be written.
    """
    record = read_record(source)
    record["config"] = shareable(record["config"])[0]
    target = folder / source.name
    folder.mkdir(parents=True, exist_ok=True)
    FORMATS[str(format_of(source))].embed(source, target, as_text(record))
    write_json(target.with_name(f"{target.name}.json"), {**record, "sha256": sha256_of(target)})
