"""ONNX: written by torch.onnx, run by onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gcseg.errors import WeightsError
from gcseg.exports.program import program_of, quiet
from gcseg.exports.record import KEY
from gcseg.system.text import shown

WRITTEN_WITH: tuple[str, ...] = ("onnx", "onnxscript", "onnxruntime")
READ_WITH: tuple[str, ...] = ("onnxruntime",)
RUNS_CODE = False
QUANTIZES = True

_INPUT = "images"

_IN_INT8 = ("Conv", "MatMul", "Gemm", "Add", "AveragePool", "MaxPool", "Concat")
"""Operators that are computed in int8, where int8 is faster."""


def write(network: nn.Module, example: Tensor, path: Path, output: str) -> None:
    """Write a network; batch, height and width stay open.

    Args:
        network: Network in evaluation mode.
        example: Images N x C x H x W.
        path: File to write.
        output: Name of the network's output.
    """
    program = program_of(network, example)
    with quiet():
        written = torch.onnx.export(
            program,
            (example,),
            dynamo=True,
            input_names=[_INPUT],
            output_names=[output],
            verbose=False,
        )
        if written is None:
            raise RuntimeError("torch.onnx.export has written no program")
        written.save(path, external_data=False)
    _name_sizes(path)


def _name_sizes(path: Path) -> None:
    """Name the open sizes of the input and output as what they are."""
    import onnx

    model = onnx.load(path)
    (images,) = model.graph.input
    names = {}
    for place, name in ((0, "batch"), (2, "height"), (3, "width")):
        names[images.type.tensor_type.shape.dim[place].dim_param] = name
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]
    del model.graph.value_info[:]  # shapes inside the graph, under the former names
    onnx.save(model, path)


def quantize(source: Path, target: Path, pictures: Iterator[Tensor]) -> None:
    """Quantise a float32 file to int8 by onnxruntime's static quantisation.

    Weights are symmetric and per channel, of 7 bits, so that sums of products fit into 16 bits on
    processors without VNNI too; activations are uint8 per tensor. The context block's attention
    and the enlargement of the scores stay in float32: weights over a thousand positions are smaller
    than a step of 8 bits. The file has pairs of QuantizeLinear and DequantizeLinear.

    Args:
        source: File that `write` has written.
        target: File to write.
        pictures: Images 1 x C x H x W whose activations give the ranges.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            image = next(pictures, None)
            return None if image is None else {_INPUT: image.numpy()}

    prepared = target.with_name("prepared.onnx")
    with quiet():
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        graph = onnx.load(prepared).graph
        weights = {one.name for one in graph.initializer}
        without_weights = [
            node.name
            for node in graph.node
            if node.op_type == "MatMul" and not weights.intersection(node.input)
        ]
        quantize_static(
            str(prepared),
            str(target),
            Pictures(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=list(_IN_INT8),
            nodes_to_exclude=without_weights,
        )


def embed(source: Path, target: Path, record: str) -> None:
    """Write a file again with a record in its metadata."""
    import onnx

    model = onnx.load(source)
    _remove_places(model)
    onnx.helper.set_model_props(model, {KEY: record})
    onnx.save(model, target)


def _remove_places(model: Any) -> None:
    """Remove the lines of Python code that made each node, with their paths on this machine."""
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        for node in nodes:
            kept = [one for one in node.metadata_props if not one.key.endswith("stack_trace")]
            del node.metadata_props[:]
            node.metadata_props.extend(kept)


def read_record(path: Path) -> str | None:
    """Read the record in a file's metadata; None if there is none.

    Raises:
        WeightsError: onnxruntime can't read the file.
    """
    metadata = _session(path, threads=1, optimised=False).get_modelmeta().custom_metadata_map
    text: str | None = metadata.get(KEY)
    return text


class _Run:
    """Runs a file on the CPU."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def __call__(self, images: Tensor) -> Tensor:
        (output,) = self.session.run(None, {_INPUT: images.numpy()})
        return torch.from_numpy(output)


def opened(path: Path, threads: int) -> _Run:
    """Open a file to run it on the CPU.

    Args:
        path: The file.
        threads: Number of threads.

    Raises:
        WeightsError: onnxruntime can't read the file.
    """
    return _Run(_session(path, threads))


def _session(path: Path, threads: int, *, optimised: bool = True) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not optimised:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    # A file may say that its weights are in another file, by any name: there is no such folder.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.devnull
    )
    try:
        # From memory, because that setting holds only then.
        return onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions have no common class
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"onnxruntime can't read {path} ({shown(reason)})", "export the network again"
        ) from error
