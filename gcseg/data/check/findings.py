"""Findings of a check: kinds, severities, the whole diagnosis, and its printed form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from gcseg.system.terminal import TextConsole
from gcseg.system.text import counted

KINDS = {
    "reading": "error",
    "missing image": "error",
    "missing label": "error",
    "same name": "error",
    "unreadable image": "error",
    "unreadable label": "error",
    "missing band": "error",
    "size mismatch": "error",
    "not an index mask": "error",
    "label value": "error",
    "swapped files": "error",
    "swapped labels": "error",
    "useless labels": "error",
    "picture in two splits": "error",
    "unexpected": "error",
    "rotated image": "warning",
    "picture twice": "warning",
    "16-bit image": "warning",
    "fourth channel": "warning",
    "several frames": "warning",
    "transparent image": "warning",
    "ignored label": "warning",
    "absent class": "warning",
    "ignored pixels": "warning",
}
"""Severity by kind of finding, in the order of the report. An error stops training or evaluation,
or makes the scores untrustworthy. A rotated image whose label has another size is an error."""

_LISTED = 10


@dataclass(frozen=True)
class Finding:
    """A fault of some files, or of a split.

    Args:
        kind: Kind of the fault, one of `KINDS`.
        split: Name of the split, or of both splits.
        message: Description of the fault, with the values.
        remedy: Advice on what to do.
        files: The files at fault.
        severity: `error` or `warning`; by default the severity of the kind.
        values: Number of pixels by label value, for faults of values.
    """

    kind: str
    split: str
    message: str
    remedy: str
    files: tuple[Path, ...] = ()
    severity: str = ""
    values: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Fill in the severity."""
        if not self.severity:
            object.__setattr__(self, "severity", KINDS[self.kind])

    def as_dict(self) -> dict[str, Any]:
        """Return all fields in a form for JSON."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "split": self.split,
            "files": list(map(str, self.files)),
            "message": self.message,
            "remedy": self.remedy,
        }


@dataclass(frozen=True)
class Balance:
    """Frequencies of the classes in the readable labels of a split.

    Args:
        names: Names of the classes.
        images: Number of labels that were read.
        pixels: Number of pixels by class.
        images_with: Number of labels in which each class occurs.
        ignored: Number of ignored pixels.
    """

    names: tuple[str, ...]
    images: int
    pixels: tuple[int, ...]
    images_with: tuple[int, ...]
    ignored: int

    @property
    def pixel_frequency(self) -> tuple[float, ...]:
        """Each class's fraction of the pixels that are not ignored."""
        return tuple(count / max(1, sum(self.pixels)) for count in self.pixels)

    @property
    def image_frequency(self) -> tuple[float, ...]:
        """The fraction of the labels in which each class occurs."""
        return tuple(count / max(1, self.images) for count in self.images_with)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields in a form for JSON."""
        rows = zip(self.names, self.pixel_frequency, self.image_frequency, strict=True)
        classes = [
            {"name": name, "pixel_frequency": pixels, "image_frequency": images}
            for name, pixels, images in rows
        ]
        ignored = self.ignored / max(1, self.ignored + sum(self.pixels))
        return {"labels": self.images, "ignored_fraction": ignored, "classes": classes}


@dataclass(frozen=True)
class Diagnosis:
    """Findings of a check of some splits.

    Args:
        findings: Findings in the order of the splits and files, those of whole splits last.
        images: Number of checked images by split.
        balance: Class balance of the splits with labels.
        notes: Checks that were not possible, with the reason.
    """

    findings: tuple[Finding, ...]
    images: Mapping[str, int]
    balance: Mapping[str, Balance]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether there is no error; there may be warnings."""
        return not self.errors

    @property
    def errors(self) -> int:
        """Return the number of errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """Return the number of warnings."""
        return len(self.findings) - self.errors

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of findings by kind, in the order of `KINDS`."""
        counts = Counter(finding.kind for finding in self.findings)
        return {kind: counts[kind] for kind in KINDS if counts[kind]}

    @property
    def verdict(self) -> str:
        """Return the outcome in one line."""
        images = f"in {counted(sum(self.images.values()), 'image')}"
        if not self.findings:
            return f"ok: nothing wrong {images}"
        warnings = counted(self.warnings, "warning")
        if self.ok:
            return f"ok: {warnings}, no error {images}"
        return f"not ok: {counted(self.errors, 'error')} and {warnings} {images}"

    def as_dict(self) -> dict[str, Any]:
        """Return all fields in a form for JSON."""
        return {
            "ok": self.ok,
            "verdict": self.verdict,
            "errors": self.errors,
            "warnings": self.warnings,
            "counts": self.counts,
            "images": dict(self.images),
            "notes": list(self.notes),
            "findings": [finding.as_dict() for finding in self.findings],
            "balance": {split: balance.as_dict() for split, balance in self.balance.items()},
        }


def print_diagnosis(diagnosis: Diagnosis, console: TextConsole) -> None:
    """Print the findings by kind, the class balance, the notes and the verdict."""
    for kind in diagnosis.counts:
        findings = [finding for finding in diagnosis.findings if finding.kind == kind]
        _print_kind(kind, findings, console)
    if diagnosis.balance:
        _print_balance(diagnosis.balance, console)
    for note in diagnosis.notes:
        console.print(note)
    console.print(diagnosis.verdict, style="bold")


def _print_kind(kind: str, findings: Sequence[Finding], console: TextConsole) -> None:
    def say(line: str, style: str = "") -> None:
        console.print(line, style=style)

    severe = any(finding.severity == "error" for finding in findings)
    name, color = ("error", "bold red") if severe else ("warning", "bold yellow")
    say(f"{name}: {kind} ({len(findings):,})", color)
    for finding in findings[:_LISTED]:
        say(f"  {finding.split}: {finding.message}")
    if len(findings) > _LISTED:
        say(f"  and {len(findings) - _LISTED:,} more")
    files = Counter(value for finding in findings for value in finding.values)
    pixels: Counter[int] = Counter()
    for finding in findings:
        pixels.update(finding.values)
    if len(findings) > 1:
        for value in sorted(files):
            many = f"{counted(files[value], 'file')}, {counted(pixels[value], 'pixel')}"
            say(f"  value {value}: {many}")
    say(f"  -> {findings[0].remedy}")
    say("")


def _print_balance(balances: Mapping[str, Balance], console: TextConsole) -> None:
    """Print a row for each class, with its shares of pixels and of images for each split."""
    table = Table(title="classes: % of labelled pixels / % of images", title_justify="left")
    table.add_column("class")
    columns: list[tuple[str, ...]] = []
    for split, balance in balances.items():
        table.add_column(split, justify="right")
        shares = zip(balance.pixel_frequency, balance.image_frequency, strict=True)
        columns.append(tuple(f"{100 * a:.3f} / {100 * b:5.1f}" for a, b in shares))
    by_name = [
        dict(zip(b.names, c, strict=True)) for b, c in zip(balances.values(), columns, strict=True)
    ]
    for name in dict.fromkeys(name for balance in balances.values() for name in balance.names):
        table.add_row(name, *(column.get(name, "") for column in by_name))
    console.print(table)
