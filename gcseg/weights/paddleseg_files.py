"""Networks as files of PaddleSeg."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gcseg.errors import WeightsError
from gcseg.models.defaults import DEFAULTS
from gcseg.models.resnets import DEPTHS
from gcseg.weights import digests
from gcseg.weights.architecture import Description
from gcseg.weights.biases import convolutions, without_biases
from gcseg.weights.heads import known_head
from gcseg.weights.heads.known import PaddleSeg, refuse_unless, refuse_unless_all
from gcseg.weights.keymaps import PADDLE_RESNET_VD, PADDLESEG_NETWORKS
from gcseg.weights.names import matches
from gcseg.weights.written import Tensors, Written, normalize_of


def as_paddleseg(tensors: Tensors, description: Description, extra: Mapping[str, Any]) -> Written:
    """Return a file as `paddle.save` writes it, for paddleseg.models.GCNet or its ResNet alone.

    Source: PaddleSeg 2.8, models/gcnet.py and models/backbones/resnet_vd.py.
    """
    backbone, head = description.backbone, description.head
    refuse_unless("PaddleSeg", "variant", backbone["variant"], "vd")
    refuse_unless("PaddleSeg", "backbone.context", "context" in backbone, False)
    taken = f", in_channels={backbone['in_channels']}" if "in_channels" in backbone else ""
    if "multi_grid" in backbone:
        taken = f", multi_grid={backbone['multi_grid']}{taken}"
    name = f"ResNet{backbone['depth']}_vd(output_stride={backbone['output_stride']}{taken})"
    keys = PADDLE_RESNET_VD
    left_out: list[str] = []
    if head is not None:
        network = _network(head)
        keys = PADDLESEG_NETWORKS[network.network]
        features = 512 * DEPTHS[backbone["depth"]][0].expansion
        refuse_unless_all("PaddleSeg", "head", head, network.implies)
        refuse_unless_all("PaddleSeg", "head", head, network.sizes(features))
        arguments = network.arguments(head)
        has_auxiliary = description.auxiliary_head["_target_"] is not None
        fits = _auxiliary_fits(network, tensors)
        if network.auxiliary_rows:
            arguments["enable_auxiliary_loss"] = has_auxiliary and fits
        if has_auxiliary and not fits:
            tensors = {key: one for key, one in tensors.items() if "auxiliary" not in key}
            left_out.append(
                f"left out: the auxiliary head, as that of PaddleSeg's {network.network} is another"
            )
        arguments["align_corners"] = head["align_corners"]
        given = "".join(f", {key}={value!r}" for key, value in arguments.items())
        name = f"{network.network}(num_classes={description.num_classes}, backbone={name}{given})"
        tensors = keys.in_their_order(_with_biases(tensors, network))
    arrays: dict[str, Any] = {
        theirs: (tensor.flatten() if _is_flat(ours, tensor) else tensor).numpy()
        for ours, tensor in tensors.items()
        if (theirs := keys.to_theirs(ours)) is not None
    }
    if head is not None and network.idle is not None:
        shapes = network.idle(head, description.num_classes or 0)
        arrays |= {f"head.{key}": np.zeros(shape, np.float32) for key, shape in shapes.items()}
    arrays["StructuredToParameterName@@"] = {theirs: theirs for theirs in arrays}
    # One of the protocols of paddle.save. In it module names are plain text, so that they can be
    # replaced by the name that NumPy 1 and 2 both know.
    content = pickle.dumps(arrays, protocol=3).replace(
        b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n", 1
    )
    normalize = normalize_of(description, extra)
    notes = [
        f"PaddleSeg: {name}",
        f"images: Normalize with mean {list(normalize['mean'])} and std {list(normalize['std'])}",
    ]
    if backbone["output_stride"] != DEFAULTS["backbone"]["output_stride"]:
        notes.append(
            "the file does not say its output stride: in gcseg use it with "
            f"backbone.output_stride={backbone['output_stride']}"
        )
    return digests.with_trailer(content), [*notes, *left_out]


def _network(head: Mapping[str, Any]) -> PaddleSeg:
    """Return PaddleSeg's network with a head.

    Raises:
        WeightsError: If there is none.
    """
    known = known_head(head["name"])
    for network in () if known is None else known.paddleseg:
        if network.takes(head):
            return network
    block = head.get("context", {}).get("name")
    which = head["name"] if block is None else f"{head['name']} with the context block {block}"
    raise WeightsError(
        f"PaddleSeg has no network for ResNets with the head {which} of this one",
        "convert to another format",
    )


def _auxiliary_fits(network: PaddleSeg, tensors: Tensors) -> bool:
    """Return whether PaddleSeg's network has such an auxiliary head as this one."""
    weight = tensors.get("auxiliary_head.conv.0.weight")
    if weight is None or not network.auxiliary_rows:
        return False
    return weight.shape[0] == weight.shape[1] // network.auxiliary_divisor


def _with_biases(tensors: Tensors, network: PaddleSeg) -> Tensors:
    """Give the heads' convolutions the biases that PaddleSeg has, zero where they have none.

    Those that have one here and none there lose it to the running mean of their batch norm.
    """
    without = {
        module for module in convolutions(tensors)
        if any(matches(pattern, module) for pattern in network.without_bias)
    }  # fmt: skip
    zeros = {
        f"{module}.0.bias": torch.zeros(tensors[f"{module}.0.weight"].shape[0])
        for module in convolutions(tensors) - without
    }
    return {**zeros, **without_biases(tensors, without)}


def _is_flat(name: str, tensor: Tensor) -> bool:
    """Return whether a tensor has one dimension in Paddle: of a layer norm, or a single number."""
    return tensor.dim() == 0 or re.search(r"\.channel_(add|mul)_conv\.1\.", name) is not None
