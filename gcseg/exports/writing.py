"""Write an export: the network in a format and precision, then its record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.exports.form import Form, FormedNetwork, Precision, as_input
from gcseg.exports.formats import FORMATS, check_packages
from gcseg.exports.names import SUFFIXES
from gcseg.system.files import move_into_place, output_error


def check_format(name: str, precision: Precision) -> None:
    """Check that a format can be written in a precision here.

    Raises:
        ConfigError: It can't, or a package is missing.
    """
    if precision == "int8" and not FORMATS[name].QUANTIZES:
        able = [other for other, one in FORMATS.items() if one.QUANTIZES]
        raise ConfigError(f"format={name} has no int8", f"use format={' or '.join(able)}")
    check_packages(name, FORMATS[name].WRITTEN_WITH)


def write_network(
    network: nn.Module,
    form: Form,
    folder: Path,
    name: str,
    precision: Precision,
    pictures: Iterator[Tensor],
) -> Path:
    """Write a network, without a record.

    Args:
        network: Network on the CPU in evaluation mode, changed by float16.
        form: Form of the export.
        folder: Folder to write to.
        name: Format.
        precision: Precision of weights and computation.
        pictures: Normalised images 1 x C x H x W that int8 is calibrated by.

    Returns:
        The file.
    """
    formed = FormedNetwork(network, form, half=precision == "fp16").eval().requires_grad_(False)
    path = folder / f"network{SUFFIXES[name]}"
    # Sizes that differ, so that none is taken for another.
    example = torch.zeros(2, len(form.mean), 64, 96)
    FORMATS[name].write(formed, example, path, form.output)
    if precision != "int8":
        return path
    quantized = folder / f"int8{SUFFIXES[name]}"
    FORMATS[name].quantize(path, quantized, (as_input(one, form) for one in pictures))
    return quantized


def put_in_place(export: Path, target: Path) -> None:
    """Rename an export, in the place of an earlier one.

    Raises:
        OutputError: It can't be renamed.
    """
    weights = export.with_suffix(".bin")
    try:
        if weights.is_file():
            target.unlink(missing_ok=True)  # which is of other weights than those that come first
            move_into_place(weights, target.with_suffix(".bin"))
        move_into_place(export, target)
    except OSError as error:
        raise output_error(target, error) from error
