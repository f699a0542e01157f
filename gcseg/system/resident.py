"""Memory that this process has and has had, in MiB, as Linux measures it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_memory() -> float | None:
    """Return the memory that the process has, in MiB; None where the system does not tell."""
    return _line("VmRSS")


def peak_memory() -> float | None:
    """Return the largest memory that the process has had, in MiB, since `forget_peak`."""
    return _line("VmHWM")


def forget_peak() -> None:
    """Let the system measure the process's largest memory from now on."""
    with suppress(OSError):  # elsewhere it counts from the process's start
        Path("/proc/self/clear_refs").write_text("5")


def _line(name: str) -> float | None:
    if not _STATUS.is_file():
        return None
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return None
