"""Networks as files of mmsegmentation, with the settings of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gcseg.errors import WeightsError
from gcseg.models.resnets import DEPTHS, BasicBlock
from gcseg.weights.architecture import Description
from gcseg.weights.biases import convolutions, without_biases
from gcseg.weights.heads import known_head
from gcseg.weights.heads.fcn import mmseg_global_context
from gcseg.weights.heads.known import Mmseg, refuse_unless, refuse_unless_all
from gcseg.weights.keymaps import MMPRETRAIN_RESNET, MMSEG_NETWORKS, TORCH_RESNET
from gcseg.weights.names import KeyMap
from gcseg.weights.written import Tensors, Written, normalize_of, packed, record_of

BATCH_NORM = {"type": "BN", "requires_grad": True}  # SyncBN has the same parameters


def as_mmseg(tensors: Tensors, description: Description, extra: Mapping[str, Any]) -> Written:
    """Return a file for mmsegmentation's EncoderDecoder or mmpretrain's ResNet, with a config.

    Source: mmsegmentation 1.2, models/backbones/resnet.py, models/utils/res_layer.py and
    models/decode_heads/gc_head.py.
    """
    plain = description.backbone["variant"] == "v1b"
    keys: KeyMap = TORCH_RESNET if plain else MMPRETRAIN_RESNET
    model: dict[str, Any] = {"backbone": _backbone(description.backbone)}
    if description.head is not None:
        head, both = _head(description.head)
        keys = both[plain]
        refuse_unless_all("mmsegmentation", "head", description.head, head.implies)
        normalize = normalize_of(description, extra)
        model = _model(description, head, normalize, model["backbone"])
        tensors = without_biases(tensors, convolutions(tensors))
    record = record_of(description, extra)
    meta: dict[str, Any] = {"gcseg": record, "model": model}
    if {"classes", "colors"} <= record.keys():
        meta["dataset_meta"] = {"classes": record["classes"], "palette": record["colors"]}
    state = {keys.to_theirs(ours): tensor for ours, tensor in tensors.items()}
    notes = [f"mmsegmentation: {part}={settings}" for part, settings in model.items()]
    return packed({"meta": meta, "state_dict": state}), notes


def _head(node: Mapping[str, Any]) -> tuple[Mmseg, tuple[KeyMap, KeyMap]]:
    """Return mmsegmentation's head, and its names with a deep stem and with a plain ResNet.

    Raises:
        WeightsError: If mmsegmentation has no such head.
    """
    known = known_head(node["name"])
    for name, head in () if known is None else known.mmseg.items():
        if head.takes(node):
            return head, MMSEG_NETWORKS[name]
    block = node.get("context", {}).get("name")
    which = node["name"] if block is None else f"with the context block {block}"
    raise WeightsError(
        f"mmsegmentation has no head {which} of this network", "convert to another format"
    )


def _backbone(backbone: Mapping[str, Any]) -> dict[str, Any]:
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
    grid: dict[str, Any] = {}
    if "multi_grid" in backbone:  # there the dilations themselves
        grid["multi_grid"] = tuple(dilations[3] * factor for factor in backbone["multi_grid"])
    return {
        **_plugins(backbone),
        **grid,
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


def _plugins(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Return the context blocks in a backbone as plugins of mmsegmentation's ResNet, if any.

    Raises:
        WeightsError: If mmsegmentation can't have them there.
    """
    block = backbone.get("context")
    if block is None:
        return {}
    refuse_unless("mmsegmentation", "backbone.context.position", block["position"], "after_1x1")
    refuse_unless("mmsegmentation", "backbone.context.blocks", block["blocks"], "all")
    if DEPTHS[backbone["depth"]][0] is BasicBlock:
        raise WeightsError(
            f"mmsegmentation has no context blocks in ResNet{backbone['depth']}",
            "convert r50, r101 or r152, or to another format",
        )
    refuse_unless("mmsegmentation", "backbone.context", block["name"], "gc")
    refuse_unless("mmsegmentation", "backbone.context.layer_norm", block["layer_norm"], True)
    stages = tuple(stage in block["stages"] for stage in (1, 2, 3, 4))
    settings = {"type": "ContextBlock", **mmseg_global_context(block)}
    return {"plugins": [{"cfg": settings, "stages": stages, "position": "after_conv3"}]}


def _model(
    description: Description,
    head: Mmseg,
    normalize: Mapping[str, Any],
    backbone: dict[str, Any],
) -> dict[str, Any]:
    """Return the parts of `model` in mmsegmentation's configuration that determine the logits."""
    node, auxiliary = description.head or {}, description.auxiliary_head
    wide = DEPTHS[backbone["depth"]][0].expansion
    channels = [64 * 2**stage * wide for stage in range(4)]
    common = {
        "num_classes": description.num_classes,
        "norm_cfg": BATCH_NORM,
        "align_corners": node["align_corners"],
    }
    decode_head = {
        "in_channels": channels[3],
        "in_index": 3,
        "channels": node["channels"],
        "dropout_ratio": node["dropout"],
        **common,
        **head.settings(node, channels),
    }
    model: dict[str, Any] = {
        "data_preprocessor": {
            "type": "SegDataPreProcessor",
            "mean": [round(255 * value, 3) for value in normalize["mean"]],
            "std": [round(255 * value, 3) for value in normalize["std"]],
            "bgr_to_rgb": len(normalize["mean"]) == 3,
        },
        "backbone": backbone,
        "decode_head": decode_head,
    }
    if auxiliary["_target_"] is None:
        return model
    auxiliary_head = {
        "type": "FCNHead",
        "in_channels": channels[2],
        "in_index": 2,
        "channels": auxiliary["channels"] or channels[2] // 4,
        "num_convs": 1,
        "concat_input": False,
        "dropout_ratio": auxiliary["dropout"],
        **common,
    }
    if head.cascade:
        cascade = {"type": "CascadeEncoderDecoder", "num_stages": 2}
        return {**cascade, **model, "decode_head": [auxiliary_head, decode_head]}
    return {**model, "auxiliary_head": auxiliary_head}
