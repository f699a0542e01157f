"""torch.export: a program of PyTorch's operators in a .pt2 archive, run by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from gcseg.errors import WeightsError
from gcseg.exports.program import program_of, quiet
from gcseg.exports.torch_files import EXTRA_FILE, extra_text
from gcseg.system.text import shown

WRITTEN_WITH: tuple[str, ...] = ()
READ_WITH: tuple[str, ...] = ()
RUNS_CODE = True
"""PyTorch evaluates expressions for sizes that are texts in the file."""
QUANTIZES = False

read_record = extra_text


def write(network: nn.Module, example: Tensor, path: Path, output: str) -> None:
    """Write a network; batch, height and width stay open.

    Args:
        network: Network in evaluation mode.
        example: Images N x C x H x W.
        path: File to write.
        output: Not used: the format names no outputs.
    """
    with quiet():
        torch.export.save(program_of(network, example), path)


def quantize(source: Path, target: Path, pictures: Iterator[Tensor]) -> None:
    """Not offered, see `QUANTIZES`."""
    raise NotImplementedError


def embed(source: Path, target: Path, record: str) -> None:
    """Write a file again with a record among its extra files; `source` has to be trusted."""
    with quiet():
        torch.export.save(torch.export.load(source), target, extra_files={EXTRA_FILE: record})


def opened(path: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """Open a file, which may run code in it.

    Args:
        path: The file.
        threads: Not used: PyTorch has one number of threads for the whole process.

    Raises:
        WeightsError: PyTorch can't read the file.
    """
    try:
        with quiet():
            module = torch.export.load(path).module()
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"PyTorch can't read {path} ({shown(reason)})", "export the network again"
        ) from error

    def run(images: Tensor) -> Tensor:  # hides the module, whose mode and device are its own
        output: Tensor = module(images)
        return output

    return run
