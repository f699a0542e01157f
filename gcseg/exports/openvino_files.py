"""OpenVINO: a pair of .xml and .bin, converted from the ONNX form and quantised by NNCF."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gcseg.errors import WeightsError
from gcseg.exports import onnx_files
from gcseg.exports.program import quiet
from gcseg.exports.record import KEY
from gcseg.system.text import shown

WRITTEN_WITH: tuple[str, ...] = ("openvino", "nncf", "onnx", "onnxscript")
READ_WITH: tuple[str, ...] = ("openvino",)
RUNS_CODE = False
QUANTIZES = True


def write(network: nn.Module, example: Tensor, path: Path, output: str) -> None:
    """Write a network; batch, height and width stay open.

    Args:
        network: Network in evaluation mode.
        example: Images N x C x H x W.
        path: File to write.
        output: Name of the network's output.
    """
    import openvino

    onnx_path = path.with_suffix(".onnx")
    onnx_files.write(network, example, onnx_path, output)
    # Not by convert_model, which sends what it does to the makers of OpenVINO.
    model = openvino.Core().read_model(onnx_path)
    openvino.save_model(model, path, compress_to_fp16=False)


def quantize(source: Path, target: Path, pictures: Iterator[Tensor]) -> None:
    """Quantise a float32 file to int8 by NNCF's post-training quantisation.

    Args:
        source: File that `write` has written.
        target: File to write.
        pictures: Images 1 x C x H x W whose activations give the ranges.
    """
    _no_telemetry()
    import nncf
    import openvino

    images = [one.numpy() for one in pictures]
    with quiet():
        quantized = nncf.quantize(_model(source), nncf.Dataset(images), subset_size=len(images))
        openvino.save_model(quantized, target, compress_to_fp16=False)


def _no_telemetry() -> None:
    """Keep NNCF from sending what it does to its makers; has to come before its import."""
    os.environ.setdefault("NNCF_CI", "true")


def embed(source: Path, target: Path, record: str) -> None:
    """Write a file again with a record in its runtime information."""
    import openvino

    model = _model(source)
    model.set_rt_info(record, [KEY])
    openvino.save_model(model, target, compress_to_fp16=False)


def read_record(path: Path) -> str | None:
    """Read the record in a file's runtime information; None if there is none.

    Raises:
        WeightsError: OpenVINO can't read the file.
    """
    model = _model(path)
    return str(model.get_rt_info([KEY]).astype(str)) if model.has_rt_info([KEY]) else None


def opened(path: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """Open a file to run it on the CPU in float32, which OpenVINO itself does not always keep.

    Args:
        path: The file.
        threads: Number of threads.

    Raises:
        WeightsError: OpenVINO can't read the file.
    """
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(_model(path), "CPU", options)

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(compiled(images.numpy())[0].copy())

    return run


def _model(path: Path) -> Any:
    """Read a file.

    Raises:
        WeightsError: OpenVINO can't read it, or its `.bin` is missing.
    """
    import openvino

    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise WeightsError(f"{path} lacks its weights, {weights.name}", "put both in one folder")
    try:
        return openvino.Core().read_model(path, weights)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"OpenVINO can't read {path} ({shown(reason)})", "export the network again"
        ) from error
