"""An export as a network that evaluation and prediction use like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.exports.form import Form, as_input, as_logits
from gcseg.exports.formats import FORMATS, check_packages
from gcseg.exports.names import format_of
from gcseg.exports.record import checked_record


class ExportedNetwork(nn.Module):
    """Runs an export on the CPU: normalised images in, logits out, on the images' device.

    Args:
        run: Function that maps images N x C x H x W float32 to the export's output.
        form: Form of the export.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], form: Form) -> None:
        super().__init__()
        self.run = run
        self.form = form

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images N x C x H x W to logits N x classes x H x W."""
        values = images.detach().to("cpu", torch.float32)
        output = self.run(as_input(values, self.form).contiguous())
        return as_logits(output, self.form).to(images.device)


def read_record(path: Path) -> dict[str, Any]:
    """Read the record of an export, without running code in it.

    Args:
        path: A file with a suffix of one of `FORMATS`.

    Raises:
        ConfigError: A package is missing.
        WeightsError: The file can't be read, or gcseg did not write it.
    """
    name = str(format_of(path))
    check_packages(name, FORMATS[name].READ_WITH)
    return checked_record(FORMATS[name].read_record(path), path)


def open_export(path: Path, *, threads: int | None = None, trust: bool = False) -> ExportedNetwork:
    """Open an export to run it.

    Args:
        path: A file with a suffix of one of `FORMATS`.
        threads: Number of threads; None for as many as PyTorch uses.
        trust: Whether code in the file may be run, which some formats can't be read without.

    Raises:
        ConfigError: A package is missing, or the file may hold code and is not trusted.
        WeightsError: The file can't be read, or gcseg did not write it.
    """
    form = Form.of(read_record(path)["export"])
    name = str(format_of(path))
    if FORMATS[name].RUNS_CODE and not trust:
        raise ConfigError(
            f"{path} may hold code, which runs when the file is read",
            "if you trust whoever made it, give trust=true",
        )
    return ExportedNetwork(FORMATS[name].opened(path, threads or torch.get_num_threads()), form)
