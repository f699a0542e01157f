"""What every written file of weights has: a record, the normalisation, the content of PyTorch's."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gcseg.errors import WeightsError
from gcseg.weights.architecture import Description, network_settings
from gcseg.weights.ema import is_averaged
from gcseg.weights.records import REMEDY, own_record

Tensors = dict[str, Tensor]
Written = tuple[bytes, list[str]]  # a file's content, and notes on its use

# Mean and standard deviation of images in 0..1, by conf/protocol.
NORMALIZE = {
    "paddleseg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    "mmseg": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
}


def record_of(description: Description, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record for files of gcseg: that of the training, or the network's settings."""
    nodes: dict[str, Any] = {"backbone": description.backbone}
    if description.head is not None:
        nodes = network_settings(description)
    own, config = own_record(extra), _config(extra)
    if not config:
        return {"network": {**nodes, "protocol": {"name": description.protocol}}}
    # The conversion to this file may have removed the biases.
    nodes = {
        group: {**config[group], "conv_bias": node["conv_bias"]}
        for group, node in nodes.items()
        if "conv_bias" in node and isinstance(config.get(group), Mapping)
    }
    averaged = {"weights": "ema"} if is_averaged(extra) else {}
    return {**own, **averaged, "config": {**config, **nodes}}


def normalize_of(description: Description, extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the mean and standard deviation by which the network's images are normalised.

    Raises:
        WeightsError: If the file does not give one number of each for every channel.
    """
    trained = _config(extra).get("normalize")
    if not isinstance(trained, Mapping):
        return NORMALIZE[description.protocol]
    channels = description.backbone.get("in_channels", 3)
    for name in ("mean", "std"):
        values = trained.get(name)
        if not (
            isinstance(values, list)
            and len(values) == channels
            and all(type(value) in (int, float) and abs(value) < 1e6 for value in values)
        ):
            raise WeightsError(
                f"the file's record says no {'three' if channels == 3 else channels} numbers as "
                f"normalize.{name}",
                REMEDY,
            )
    return trained


def _config(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration of the training that wrote a file; empty if it was not gcseg's."""
    config = own_record(extra).get("config")
    return config if isinstance(config, Mapping) else {}


def packed(content: object) -> bytes:
    """Return what `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
