"""Identify the network of a checkpoint by the names and shapes of its tensors."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gcseg.errors import WeightsError
from gcseg.models import AuxiliaryHead, ResNet, Segmentor, insert_context, resnet
from gcseg.models.defaults import CONTEXT_CLASSES, HEAD_CLASSES
from gcseg.models.segmentor import taken_by
from gcseg.system.text import brief, listed, shown
from gcseg.weights.heads import KNOWN_HEADS
from gcseg.weights.keymaps import KEY_MAPS, MMSEG_NETWORKS, OURS
from gcseg.weights.names import KeyMap, Shapes
from gcseg.weights.parts import (
    CAN_BE,
    auxiliary_head_of,
    backbone_of,
    channels_of,
    depth_of,
    head_of,
)
from gcseg.weights.records import REMEDY, own_record

Node = dict[str, Any]

PROTOCOLS = ("paddleseg", "mmseg")  # options of conf/protocol

_TELLING = (
    *("backbone.stem.0", "head.classifier", "auxiliary_head.conv.0"),
    *(f"head.{module}" for known in KNOWN_HEADS for module in (known.mark, *known.telling)),
)
"""Convolutions whose sizes determine the network that is built."""
_MOST_CHANNELS = 2**16
"""Most channels of a convolution: four times the largest allowed setting."""
_MOST_SIZES = 8
"""Most sizes of a shape that a message shows."""


@dataclass(frozen=True)
class Description:
    """Description of the network that a checkpoint holds.

    Args:
        keys: Naming of the tensors, that of gcseg or of another framework.
        names: gcseg's name of each parameter and buffer, mapped to its name in the file.
        backbone: Settings of the backbone as in conf/backbone. The output stride does not show in
            the weights: 8, as of all published networks, unless the file says otherwise.
        head: Settings of the head as in conf/head; None for a backbone alone.
        auxiliary_head: Settings of the auxiliary head as in conf/auxiliary_head.
        num_classes: Number of classes of the heads; None for a backbone alone.
        protocol: Option of conf/protocol that fits the framework.
        variants: All variants of the backbone that have these names and shapes.
        parameters: Number of learnt values, without running statistics.
        unused: Names in the file of parts that gcseg's networks do not have, such as ImageNet's
            classifier.
        unknown: Names in the file that are not part of the network.
    """

    keys: KeyMap
    names: Mapping[str, str]
    backbone: Node
    head: Node | None
    auxiliary_head: Node
    num_classes: int | None
    protocol: str
    variants: tuple[str, ...]
    parameters: int
    unused: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The kind of checkpoint: `"network"` or `"backbone"`."""
        return "backbone" if self.head is None else "network"


def describe(
    tensors: Mapping[str, Tensor],
    extra: Mapping[str, Any] | None = None,
    *,
    variant: str | None = None,
    align_corners: bool | None = None,
    multi_grid: Sequence[int] | None = None,
) -> Description:
    """Describe the network that a checkpoint holds.

    Several variants of the backbone may have the same names and shapes. The result has the one
    that the file records, or the given one, or the usual one for these names.

    Args:
        tensors: Tensors by name, gcseg's or another framework's.
        extra: Other content of the file, see `gcseg.weights.reading.CheckpointFile`.
        variant: Variant of the backbone, if known.
        align_corners: Whether the network upsamples with aligned corners, if known; the weights do
            not show it.
        multi_grid: Factors of the dilation in the last stage's blocks, if known; the weights do not
            show them.

    Raises:
        WeightsError: If it is not a known network, or not a whole one.
    """
    keys, names = _naming(tensors)
    shapes = {ours: tensors[theirs].shape for ours, theirs in names.items()}
    _check_convolutions(shapes, names)
    said = _said(extra or {})
    if align_corners is not None:
        said["head"] = {"align_corners": align_corners, **said["head"]}
    if multi_grid is not None:
        said["backbone"] = {"multi_grid": multi_grid, **said["backbone"]}
    protocol = said["protocol"].get("name")
    mmseg = any(keys in both for both in MMSEG_NETWORKS.values())
    unused = tuple(key for key in tensors if keys.ignores(key))
    known = {*names.values(), *unused}
    backbone, variants = backbone_of(keys, shapes, variant, said["backbone"])
    description = Description(
        keys=keys,
        names=names,
        backbone=backbone,
        head=head_of(shapes, _with_implied(said["head"], keys.implies)),
        auxiliary_head=auxiliary_head_of(shapes, said["auxiliary_head"]),
        num_classes=channels_of(shapes, "head.classifier"),
        protocol=protocol if protocol in PROTOCOLS else "mmseg" if mmseg else "paddleseg",
        variants=variants,
        parameters=sum(
            shape.numel() for name, shape in shapes.items() if name.endswith((".weight", ".bias"))
        ),
        unused=unused,
        unknown=tuple(key for key in tensors if key not in known),
    )
    _check_complete(description, shapes)
    return description


def build(description: Description) -> nn.Module:
    """Build the network with random weights: a `Segmentor`, or a `ResNet` alone."""
    backbone = _built_backbone(description.backbone)
    if description.head is None or description.num_classes is None:
        return backbone
    arguments = _arguments(description.head)
    kind = HEAD_CLASSES[description.head["name"]]
    if "context" in arguments:
        arguments["context"] = _built_block(arguments["context"], arguments["channels"])
    if "align_corners" in inspect.signature(kind).parameters:
        arguments["align_corners"] = description.head["align_corners"]
    in_channels = taken_by(kind, backbone.channels)
    auxiliary_head = None
    if description.auxiliary_head["_target_"] is not None:
        settings = _arguments(description.auxiliary_head)
        auxiliary_head = AuxiliaryHead(backbone.channels[2], description.num_classes, **settings)
    return Segmentor(
        backbone,
        kind(in_channels, description.num_classes, **arguments),
        auxiliary_head,
        align_corners=description.head["align_corners"],
        asymmetric=description.head.get("asymmetric", False),
        in_channels=backbone.in_channels,
    )


def _built_backbone(node: Node) -> ResNet:
    settings = _arguments(node)
    inserted = settings.pop("context", None)
    backbone = resnet(**settings)
    if inserted is not None:
        places = {key: inserted[key] for key in ("position", "stages", "blocks")}
        block = {key: value for key, value in inserted.items() if key not in places}
        insert_context(backbone, partial(_built_block, block), **places)
    return backbone


def _built_block(node: Node, channels: int) -> nn.Module:
    return CONTEXT_CLASSES[node["name"]](channels, **_arguments(node))


def network_settings(description: Description) -> dict[str, Node]:
    """Return the network as nodes of a configuration: `backbone`, `head` and `auxiliary_head`.

    Channels of the pictures are `in_channels` of the backbone, if they are not three; in a
    configuration they belong to the dataset.

    Raises:
        WeightsError: If it is a backbone alone.
    """
    if description.head is None:
        raise WeightsError(
            f"{description.keys.source} {description.backbone['name']} has no head",
            "give a whole network; to train from a backbone, give it as backbone.pretrained=",
        )
    return {
        "backbone": description.backbone,
        "head": description.head,
        "auxiliary_head": description.auxiliary_head,
    }


def empty_state(description: Description) -> dict[str, Tensor]:
    """Return every parameter and buffer by gcseg's name, with its shape and without values."""
    with without_values():
        network = build(description)
    prefix = "" if isinstance(network, Segmentor) else "backbone."
    return {prefix + name: tensor for name, tensor in network.state_dict().items()}


@contextmanager
def without_values() -> Iterator[None]:
    """Networks that are built here have shapes and no values, and so take no memory."""
    with torch.device("meta"), WithoutDrawing():
        yield


class WithoutDrawing(TorchFunctionMode):
    """Skip functions that draw weights, which would load PyTorch's compiler and take seconds."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call the function unless it draws weights; the result of those is never used."""
        if getattr(function, "__name__", "").endswith(("normal_", "uniform_")):
            return None
        return function(*args, **(kwargs or {}))


def _arguments(node: Node) -> Node:
    """Return the constructor's arguments in a node of a configuration."""
    others = ("name", "_target_", "pretrained", "align_corners", "asymmetric")
    return {key: value for key, value in node.items() if key not in others}


def _said(extra: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the settings of the network in a file of gcseg, as nodes of a configuration.

    Raises:
        WeightsError: If no network can have these settings.
    """
    record = own_record(extra)
    config = record.get("config", record.get("network"))
    config = config if isinstance(config, Mapping) else {}
    nodes = {name: config.get(name) for name in ("backbone", "head", "auxiliary_head", "protocol")}
    said = {name: node if isinstance(node, Mapping) else {} for name, node in nodes.items()}
    for name, node in said.items():
        for key, (can_be, wanted) in CAN_BE.items():
            if key in node and not can_be(node[key]):
                said_value = shown(brief(node[key]))
                raise WeightsError(
                    f"the file's record says {name}.{key}={said_value}, but that is {wanted}",
                    REMEDY,
                )
    return said


def _with_implied(said: Mapping[str, Any], implied: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return recorded settings of the head with those that its naming implies, also in nodes."""
    found = dict(said)
    for key, value in implied.items():
        before = said.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            value = {**before, **value}
        found[key] = value
    return found


def _naming(tensors: Mapping[str, Tensor]) -> tuple[KeyMap, dict[str, str]]:
    """Find the naming of the tensors, and map gcseg's names to those in the file.

    Raises:
        WeightsError: If the names are of no known network.
    """
    namings = []
    for keys in (OURS, *KEY_MAPS):
        names = {ours: key for key in tensors if (ours := keys.to_ours(key)) is not None}
        if depth_of(names) is not None:
            left = len(tensors) - len(names) - sum(keys.ignores(key) for key in tensors)
            namings.append((left, keys, names))
    if not namings:
        seen = ", ".join(map(shown, list(tensors)[:3])) or "none"
        raise WeightsError(
            f"the weights are of no network that is known, with names such as {seen}",
            "give a GCNet of gcseg, PaddleSeg or mmsegmentation, or a ResNet of PaddleClas, "
            "mmpretrain, torchvision or timm",
        )
    # Several namings share a backbone. The right one leaves the fewest names over.
    _, keys, names = min(namings, key=lambda naming: naming[0])
    return keys, names


def _check_convolutions(shapes: Shapes, names: Mapping[str, str]) -> None:
    """Check the shapes of the convolutions that show the network's sizes.

    Raises:
        WeightsError: If one does not have four sizes, or has impossible ones.
    """
    for module in _TELLING:
        shape = shapes.get(name := f"{module}.weight")
        if shape is not None and not (
            len(shape) == 4 and all(1 <= size <= _MOST_CHANNELS for size in shape)
        ):
            raise WeightsError(
                f"{shown(names[name])} is {show(shape)}, but a convolution has four sizes from 1 "
                f"to {_MOST_CHANNELS:,}",
                "give the original file",
            )


def _check_complete(description: Description, shapes: Shapes) -> None:
    """Check that the tensors are those of the described network, all of them.

    Raises:
        WeightsError: If names or shapes differ, with the first mismatches.
    """
    wanted = empty_state(description)
    mismatches = [
        f"there is no {description.keys.to_theirs(name)}"
        for name in wanted
        if name not in shapes and not name.endswith("num_batches_tracked")
    ]
    for name, theirs in description.names.items():
        if name not in wanted:
            mismatches.append(f"{shown(theirs)} is not part of the network")
        elif not same_but_for_ones(shapes[name], wanted[name].shape):
            sizes = f"{show(shapes[name])} and not {show(wanted[name].shape)}"
            mismatches.append(f"{shown(theirs)} is {sizes}")
    if mismatches:
        raise WeightsError(
            f"the weights are not a whole network: {description.keys.source} "
            f"{description.backbone['name']}, but {listed(mismatches, '; ')}",
            "give the complete file",
        )


def same_but_for_ones(first: torch.Size, second: torch.Size) -> bool:
    """Return whether two shapes differ at most by ones at their ends.

    A layer norm over channels has the shape (C,) in Paddle and (C, 1, 1) in PyTorch.
    """
    rank = max(len(first), len(second))
    ones = (1,) * rank
    return (*first, *ones)[:rank] == (*second, *ones)[:rank]


def show(shape: torch.Size) -> str:
    """Return a shape as it is written in messages."""
    if len(shape) > _MOST_SIZES:
        return f"a tensor of {len(shape)} dimensions"
    return " x ".join(map(str, shape)) or "a scalar"
