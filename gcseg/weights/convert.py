"""Convert a checkpoint to another framework's format, for a network with the same logits."""

from __future__ import annotations

import io
import json
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from gcseg.errors import OutputError, WeightsError
from gcseg.models.defaults import DEFAULTS
from gcseg.models.resnets import DEPTHS, BasicBlock
from gcseg.system.files import atomic_write
from gcseg.system.text import listed, shown
from gcseg.weights import digests
from gcseg.weights.architecture import (
    Description,
    describe,
    empty_state,
    network_settings,
)
from gcseg.weights.ema import Kind, is_averaged, read_weights
from gcseg.weights.keymaps import (
    MMPRETRAIN_RESNET,
    MMSEG_NETWORKS,
    PADDLE_RESNET_VD,
    PADDLESEG_GCNET,
    TORCH_RESNET,
    KeyMap,
)
from gcseg.weights.other_parts import other_parts
from gcseg.weights.reading import CheckpointFile
from gcseg.weights.records import REMEDY, own_record

Tensors = dict[str, Tensor]
Written = tuple[bytes, list[str]]  # a file's content, and notes on its use

# Convolutions before batch norm in both heads: PaddleSeg has biases there, mmsegmentation not.
BIASED = ("head.conv_in", "head.conv_out", "head.conv_cat", "auxiliary_head.conv")

BATCH_NORM = {"type": "BN", "requires_grad": True}  # SyncBN has the same parameters

# Mean and standard deviation of images in 0..1, by conf/protocol.
NORMALIZE = {
    "paddleseg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    "mmseg": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
}


def convert(
    source: Path,
    target: Path,
    *,
    force: bool = False,
    variant: str | None = None,
    align_corners: bool | None = None,
    kind: Kind | None = None,
) -> list[str]:
    """Convert a checkpoint to the format of the target's suffix.

    `.ckpt` and `.safetensors` are gcseg's, `.pdparams` is PaddleSeg's, `.pth` mmsegmentation's.
    The network gives the same logits there in evaluation mode, from float32 weights.

    Args:
        source: File of any format that `read_checkpoint_file` knows.
        target: File to write.
        force: Whether to overwrite an existing file.
        variant: See `gcseg.weights.architecture.describe`.
        align_corners: See `gcseg.weights.architecture.describe`.
        kind: See `gcseg.weights.ema.read_weights`.

    Returns:
        Notes for users of the file, one line each.

    Raises:
        WeightsError: If the source can't be read, is not a known network, or has no equivalent in
            the target's framework.
        OutputError: If the target exists or can't be written.
    """
    write = _WRITERS.get(target.suffix)
    if write is None:
        raise WeightsError(
            f"there is no format for the suffix of {target}",
            "end the name in .ckpt or .safetensors (gcseg), .pdparams (PaddleSeg) or .pth "
            "(mmsegmentation)",
        )
    if target.exists() and not force:
        raise OutputError(f"{target} exists", "choose another name, or overwrite it with --force")
    file = read_weights(source, kind)
    if parts := other_parts(file.extra):
        content, notes = _unchanged(file, target, parts)
        with atomic_write(target) as output:
            output.write(content)
        return notes
    description = describe(file.tensors, file.extra, variant=variant, align_corners=align_corners)
    if description.unknown:
        raise WeightsError(
            f"{source} holds {len(description.unknown)} tensors that are not part of a "
            f"{description.kind}: {listed(map(shown, description.unknown))}",
            "remove them from the file",
        )
    content, notes = write(our_tensors(file.tensors, description), description, file.extra)
    with atomic_write(target) as output:
        output.write(content)
    if is_averaged(file.extra):
        notes.append("weights: the moving average that the training kept")
    if description.unused:
        notes.append(
            f"left out, because gcseg does not use them: {listed(map(shown, description.unused))}"
        )
    return notes


def _unchanged(file: CheckpointFile, target: Path, parts: Sequence[str]) -> Written:
    """Return a network that its weights do not show as a file of gcseg, with its record.

    Raises:
        WeightsError: If the target is of another framework.
    """
    if target.suffix not in (".ckpt", ".safetensors"):
        framework = {".pdparams": "PaddleSeg", ".pth": "mmsegmentation"}[target.suffix]
        raise WeightsError(
            f"{framework}'s GCNet has no such {' and '.join(parts)}",
            "end the name in .ckpt or .safetensors (gcseg)",
        )
    averaged = {"weights": "ema"} if is_averaged(file.extra) else {}
    record = {**own_record(file.extra), **averaged}
    notes = [f"it needs {part}" for part in parts]
    if averaged:
        notes.append("weights: the moving average that the training kept")
    if target.suffix == ".ckpt":
        tensors = {name: one.detach().clone().contiguous() for name, one in file.tensors.items()}
        return _pack({"state_dict": tensors, "gcseg": record}), notes
    return as_safetensors(file.tensors, record), notes


def our_tensors(tensors: Mapping[str, Tensor], description: Description) -> Tensors:
    """Return the tensors by gcseg's names, complete, in its shapes and in float32."""
    ours = {}
    for name, empty in empty_state(description).items():
        theirs = description.names.get(name)
        if theirs is None:  # a count of batches, which Paddle does not store
            ours[name] = torch.zeros(empty.shape, dtype=empty.dtype)
        else:
            ours[name] = tensors[theirs].reshape(empty.shape).to(empty.dtype)
    return ours


def _record(description: Description, extra: Mapping[str, Any]) -> dict[str, Any]:
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


def _normalize(description: Description, extra: Mapping[str, Any]) -> Mapping[str, Any]:
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


def _pack(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------ ours


def _to_ckpt(tensors: Tensors, description: Description, extra: Mapping[str, Any]) -> Written:
    return _pack({"state_dict": tensors, "gcseg": _record(description, extra)}), []


def _to_safetensors(
    tensors: Tensors, description: Description, extra: Mapping[str, Any]
) -> Written:
    return as_safetensors(tensors, _record(description, extra)), []


def as_safetensors(tensors: Tensors, record: Mapping[str, Any]) -> bytes:
    """Return the content of a `.safetensors` file of gcseg, with a digest.

    Args:
        tensors: Tensors by name.
        record: Plain values on the training.
    """
    # The library writes no tensor that shares its memory with another.
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": "pt", "gcseg": json.dumps(record)}
    metadata[digests.METADATA] = digests.of_tensors(tensors, metadata)
    return save(tensors, metadata)


# ------------------------------------------------------------------------------------- PaddleSeg


def _to_paddleseg(tensors: Tensors, description: Description, extra: Mapping[str, Any]) -> Written:
    """Return a file as `paddle.save` writes it, for paddleseg.models.GCNet or its ResNet alone.

    Source: PaddleSeg 2.8, models/gcnet.py and models/backbones/resnet_vd.py.
    """
    backbone, head = description.backbone, description.head
    _refuse_unless("PaddleSeg", "variant", backbone["variant"], "vd")
    _refuse_unless("PaddleSeg", "backbone.context", "context" in backbone, False)
    taken = f", in_channels={backbone['in_channels']}" if "in_channels" in backbone else ""
    name = f"ResNet{backbone['depth']}_vd(output_stride={backbone['output_stride']}{taken})"
    keys = PADDLE_RESNET_VD
    if head is not None:
        _refuse_unless("PaddleSeg", "head", head["name"], "gc")
        _refuse_unless("PaddleSeg", "pooling", head["pooling"], "attention")
        _refuse_unless("PaddleSeg", "fusion", head["fusion"], "add")
        auxiliary = description.auxiliary_head
        channels = auxiliary.get("channels")
        _refuse_unless("PaddleSeg", "auxiliary_head.channels", channels, None)
        keys = PADDLESEG_GCNET
        name = (
            f"GCNet(num_classes={description.num_classes}, backbone={name}, "
            f"gc_channels={head['channels']}, ratio={head['ratio']}, "
            f"enable_auxiliary_loss={auxiliary['_target_'] is not None}, "
            f"align_corners={head['align_corners']})"
        )
        tensors = _with_biases(tensors)
    arrays: dict[str, Any] = {
        theirs: (tensor.flatten() if _is_layer_norm(ours) else tensor).numpy()
        for ours, tensor in tensors.items()
        if (theirs := keys.to_theirs(ours)) is not None
    }
    arrays["StructuredToParameterName@@"] = {theirs: theirs for theirs in arrays}
    # One of the protocols of paddle.save. In it module names are plain text, so that they can be
    # replaced by the name that NumPy 1 and 2 both know.
    content = pickle.dumps(arrays, protocol=3).replace(
        b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n", 1
    )
    normalize = _normalize(description, extra)
    notes = [
        f"PaddleSeg: {name}",
        f"images: Normalize with mean {list(normalize['mean'])} and std {list(normalize['std'])}",
    ]
    if backbone["output_stride"] != DEFAULTS["backbone"]["output_stride"]:
        notes.append(
            "the file does not say its output stride: in gcseg use it with "
            f"backbone.output_stride={backbone['output_stride']}"
        )
    return digests.with_trailer(content), notes


def _with_biases(tensors: Tensors) -> Tensors:
    """Give the heads' convolutions the biases that PaddleSeg has, zero where they have none."""
    zeros = {
        f"{module}.0.bias": torch.zeros(tensors[f"{module}.0.weight"].shape[0])
        for module in BIASED
        if f"{module}.0.weight" in tensors
    }
    return {**zeros, **tensors}


def _is_layer_norm(name: str) -> bool:
    return re.search(r"\.channel_(add|mul)_conv\.1\.", name) is not None


# -------------------------------------------------------------------------------- mmsegmentation


def _to_mmseg(tensors: Tensors, description: Description, extra: Mapping[str, Any]) -> Written:
    """Return a file for mmsegmentation's EncoderDecoder or mmpretrain's ResNet, with a config.

    Source: mmsegmentation 1.2, models/backbones/resnet.py, models/utils/res_layer.py and
    models/decode_heads/gc_head.py.
    """
    plain = description.backbone["variant"] == "v1b"
    keys: KeyMap = TORCH_RESNET if plain else MMPRETRAIN_RESNET
    model: dict[str, Any] = {"backbone": _mmseg_backbone(description.backbone)}
    if description.head is not None:
        keys = _mmseg_names(description.head)[plain]
        model = _mmseg_model(description, _normalize(description, extra), model["backbone"])
        tensors = _without_biases(tensors)
    record = _record(description, extra)
    meta: dict[str, Any] = {"gcseg": record, "model": model}
    if {"classes", "colors"} <= record.keys():
        meta["dataset_meta"] = {"classes": record["classes"], "palette": record["colors"]}
    state = {keys.to_theirs(ours): tensor for ours, tensor in tensors.items()}
    notes = [f"mmsegmentation: {part}={settings}" for part, settings in model.items()]
    return _pack({"meta": meta, "state_dict": state}), notes


def _mmseg_names(head: Mapping[str, Any]) -> tuple[KeyMap, KeyMap]:
    """Return mmsegmentation's names of networks with a head, see `MMSEG_NETWORKS`.

    Raises:
        WeightsError: If mmsegmentation has no such head.
    """
    block = head.get("context", {"name": "gc"})
    if block["name"] not in ("gc", "nl", "dnl") or not block.get("layer_norm", True):
        raise WeightsError(
            f"mmsegmentation has no head with the context block {block['name']} of this network",
            "convert to another format",
        )
    return MMSEG_NETWORKS[block["name"]]


def _mmseg_backbone(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Return the backbone's part of a configuration of mmsegmentation.

    Raises:
        WeightsError: If mmsegmentation has no such backbone.
    """
    variant, depth = backbone["variant"], backbone["depth"]
    kinds = {"v1b": "ResNet", "v1c": "ResNetV1c", "v1d": "ResNetV1d", "vd": "ResNetV1d"}
    if variant not in kinds:
        raise WeightsError(
            f"mmsegmentation has no ResNet of variant {variant}: none of its shortcuts pools where "
            "the stride became a dilation",
            f"train with backbone.variant={' or '.join(kinds)}",
        )
    if variant == "vd" and DEPTHS[depth][0] is BasicBlock:
        raise WeightsError(
            f"mmsegmentation has no ResNet{depth} of variant vd: its basic blocks dilate only the "
            "first convolution, and the first stage has no projection",
            "convert r50, r101 or r152, or train with backbone.variant=v1c",
        )
    strides, dilations = {
        8: ((1, 2, 1, 1), (1, 1, 2, 4)),
        16: ((1, 2, 2, 1), (1, 1, 1, 2)),
        32: ((1, 2, 2, 2), (1, 1, 1, 1)),
    }[backbone["output_stride"]]
    return {
        **_mmseg_plugins(backbone),
        "type": kinds[variant],
        "depth": depth,
        "in_channels": backbone.get("in_channels", 3),
        "num_stages": 4,
        "out_indices": (0, 1, 2, 3),
        "strides": strides,
        "dilations": dilations,
        "style": "pytorch",
        "norm_cfg": BATCH_NORM,
        "contract_dilation": variant != "vd",
    }


def _mmseg_plugins(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Return the context blocks in a backbone as plugins of mmsegmentation's ResNet, if any.

    Raises:
        WeightsError: If mmsegmentation can't have them there.
    """
    block = backbone.get("context")
    if block is None:
        return {}
    _refuse_unless("mmsegmentation", "backbone.context.position", block["position"], "after_1x1")
    _refuse_unless("mmsegmentation", "backbone.context.blocks", block["blocks"], "all")
    if DEPTHS[backbone["depth"]][0] is BasicBlock:
        raise WeightsError(
            f"mmsegmentation has no context blocks in ResNet{backbone['depth']}",
            "convert r50, r101 or r152, or to another format",
        )
    _refuse_unless("mmsegmentation", "backbone.context", block["name"], "gc")
    _refuse_unless("mmsegmentation", "backbone.context.layer_norm", block["layer_norm"], True)
    stages = tuple(stage in block["stages"] for stage in (1, 2, 3, 4))
    settings = {"type": "ContextBlock", **_mmseg_gc(block)}
    return {"plugins": [{"cfg": settings, "stages": stages, "position": "after_conv3"}]}


def _mmseg_gc(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a global context block in mmsegmentation's configuration."""
    return {
        "ratio": block["ratio"],
        "pooling_type": {"attention": "att", "average": "avg"}[block["pooling"]],
        "fusion_types": tuple(
            {"add": "channel_add", "multiply": "channel_mul"}[fusion]
            for fusion in block["fusion"].split("+")
        ),
    }


def _mmseg_model(
    description: Description, normalize: Mapping[str, Any], backbone: dict[str, Any]
) -> dict[str, Any]:
    """Return the parts of `model` in mmsegmentation's configuration that determine the logits."""
    head, auxiliary = description.head or {}, description.auxiliary_head
    wide = DEPTHS[backbone["depth"]][0].expansion
    common = {
        "num_classes": description.num_classes,
        "norm_cfg": BATCH_NORM,
        "align_corners": head["align_corners"],
    }
    decode_head = {
        "type": "FCNHead",
        "in_channels": 512 * wide,
        "in_index": 3,
        "channels": head["channels"],
        "dropout_ratio": head["dropout"],
        **common,
    }
    if (block := head.get("context")) is not None:
        hidden = int(head["channels"] * block["ratio"])
        reduction = head["channels"] // hidden
        divides = head["channels"] // max(reduction, 1) == hidden
        _refuse_unless("mmsegmentation", "channels divided by a whole number", divides, True)
        decode_head |= {
            "type": {"nl": "NLHead", "dnl": "DNLHead"}[block["name"]],
            "reduction": reduction,
            "use_scale": block["scale"],
            "mode": block["pairwise"],
        }
        if block["name"] == "dnl":
            decode_head["temperature"] = block["temperature"]
    elif head["name"] == "fcn":
        decode_head |= {"num_convs": 2, "concat_input": True}
    else:
        decode_head |= {"type": "GCHead", **_mmseg_gc(head)}
    model = {
        "data_preprocessor": {
            "type": "SegDataPreProcessor",
            "mean": [round(255 * value, 3) for value in normalize["mean"]],
            "std": [round(255 * value, 3) for value in normalize["std"]],
            "bgr_to_rgb": len(normalize["mean"]) == 3,
        },
        "backbone": backbone,
        "decode_head": decode_head,
    }
    if auxiliary["_target_"] is not None:
        model["auxiliary_head"] = {
            "type": "FCNHead",
            "in_channels": 256 * wide,
            "in_index": 2,
            "channels": auxiliary["channels"] or 256 * wide // 4,
            "num_convs": 1,
            "concat_input": False,
            "dropout_ratio": auxiliary["dropout"],
            **common,
        }
    return model


def _without_biases(tensors: Tensors) -> Tensors:
    """Move the biases of the heads' convolutions into the running means of their batch norms.

    Batch norm subtracts the mean m from conv(x) + b, which is conv(x) minus m - b.
    """
    result = dict(tensors)
    for module in BIASED:
        bias = result.pop(f"{module}.0.bias", None)
        if bias is not None:
            result[f"{module}.1.running_mean"] = result[f"{module}.1.running_mean"] - bias
    return result


def _refuse_unless(framework: str, setting: str, value: object, only: object) -> None:
    """Require the only value of a setting that a framework's network can have.

    Raises:
        WeightsError: If the value is another.
    """
    if value != only:
        raise WeightsError(
            f"{framework}'s network has {setting}={only}, this one {setting}={value}",
            "convert to another format",
        )


_WRITERS = {
    ".ckpt": _to_ckpt,
    ".safetensors": _to_safetensors,
    ".pdparams": _to_paddleseg,
    ".pth": _to_mmseg,
}
