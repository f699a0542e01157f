"""The formats of exports, and the packages that each needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.exports import (
    onnx_files,
    openvino_files,
    torch_export_files,
    torchscript_files,
)


class Format(Protocol):
    """A module that writes and reads a format."""

    WRITTEN_WITH: tuple[str, ...]
    """Packages that write it."""
    READ_WITH: tuple[str, ...]
    """Packages that read it."""
    RUNS_CODE: bool
    """Whether a file of this format may run code when it is read."""
    QUANTIZES: bool
    """Whether there is an int8 form."""

    def write(self, network: nn.Module, example: Tensor, path: Path, output: str) -> None:
        """Write a network in evaluation mode, in float32 or float16."""

    def quantize(self, source: Path, target: Path, pictures: Iterator[Tensor]) -> None:
        """Write the int8 form of a float32 file."""

    def embed(self, source: Path, target: Path, record: str) -> None:
        """Write a file again with a record in its metadata."""

    def read_record(self, path: Path) -> str | None:
        """Read the record in a file's metadata without running code of the file."""

    def opened(self, path: Path, threads: int) -> Callable[[Tensor], Tensor]:
        """Open a file to run it on the CPU."""


FORMATS: dict[str, Format] = {
    "onnx": onnx_files,
    "openvino": openvino_files,
    "torch_export": torch_export_files,
    "torchscript": torchscript_files,
}
"""Formats by their names on the command line."""


def check_packages(name: str, packages: Sequence[str]) -> None:
    """Check that the packages of a format are installed.

    Args:
        name: Name of the format.
        packages: Packages that are needed.

    Raises:
        ConfigError: Some are missing.
    """
    missing = [one for one in packages if find_spec(one) is None]
    if missing:
        raise ConfigError(
            f"exports in the format {name} need {', '.join(missing)}, which is not installed",
            f"pip install 'gcseg[{name}]'",
        )
