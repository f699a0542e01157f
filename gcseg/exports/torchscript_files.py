"""TorchScript: a traced network, run by PyTorch and by libtorch without Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from gcseg.errors import WeightsError
from gcseg.exports.program import quiet
from gcseg.exports.torch_files import EXTRA_FILE, extra_text
from gcseg.system.text import shown

WRITTEN_WITH: tuple[str, ...] = ()
READ_WITH: tuple[str, ...] = ()
RUNS_CODE = True
"""The language of the file has operators that read and write files."""
QUANTIZES = False

read_record = extra_text


def write(network: nn.Module, example: Tensor, path: Path, output: str) -> None:
    """Write a network as traced on an example.

    Sizes of tensors are traced as values, so batch, height and width stay open, unless a network
    calculates with them in Python. The proof finds that.

    Args:
        network: Network in evaluation mode.
        example: Images N x C x H x W.
        path: File to write.
        output: Not used: the format names no outputs.
    """
    with quiet(), torch.inference_mode():
        torch.jit.save(torch.jit.trace(network, example), path)  # type: ignore[no-untyped-call]


def quantize(source: Path, target: Path, pictures: Iterator[Tensor]) -> None:
    """Not offered, see `QUANTIZES`."""
    raise NotImplementedError


def embed(source: Path, target: Path, record: str) -> None:
    """Write a file again with a record among its extra files; `source` has to be trusted."""
    with quiet():
        program = torch.jit.load(source)  # type: ignore[no-untyped-call]
        torch.jit.save(program, target, _extra_files={EXTRA_FILE: record})


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
            module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"PyTorch can't read {path} ({shown(reason)})", "export the network again"
        ) from error

    def run(images: Tensor) -> Tensor:  # hides the module, whose mode and device are its own
        output: Tensor = module(images)
        return output

    return run
