"""Build the network and its evaluation from a composed configuration."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import nn

from gcseg.builders.data import picture_format, rectangle
from gcseg.builders.loss import loss
from gcseg.config.instantiate import find_target, instantiate
from gcseg.config.plain import plain
from gcseg.data.resize import ResizeToFit
from gcseg.engine.module import SegmentationModule
from gcseg.engine.monitor import monitor_of
from gcseg.errors import ConfigError, WeightsError
from gcseg.exports.names import format_of
from gcseg.exports.network import open_export
from gcseg.inference.protocol import Augmentation, Average, Protocol, SlidingWindow
from gcseg.models import Segmentor, insert_context
from gcseg.models.contract import check_backbone, check_head, check_stages
from gcseg.models.segmentor import taken_by
from gcseg.optim import parameter_groups
from gcseg.weights import CheckpointFile, load_tensors
from gcseg.weights.architecture import without_values
from gcseg.weights.load import check_tensors

_OUR_PARTS = "gcseg.models."
"""Beginning of the names of gcseg's own callables."""


def model(cfg: DictConfig, num_classes: int) -> Segmentor:
    """Build the network of `cfg.backbone`, `cfg.head` and `cfg.auxiliary_head`.

    Raises:
        ConfigError: A setting is wrong, or a user-defined part does not fit the others.
    """
    channels = picture_format(cfg).channels
    others: dict[str, Any] = {} if channels == 3 else {"in_channels": channels}
    if cfg.get("checkpoint_activations"):
        others["checkpoint_activations"] = True
    without = ("name", "pretrained", "freeze", "context")
    backbone = instantiate(cfg.backbone, without=without, **others)
    inserted = cfg.backbone.get("context")
    if inserted is not None and inserted.get("_target_") is not None:
        places = {key: plain(inserted)[key] for key in ("position", "stages", "blocks")}
        insert_context(
            backbone,
            lambda channels: instantiate(inserted, without=("name", *places), channels=channels),
            **places,
        )
    check_backbone(backbone, channels)
    target = find_target(cfg.head._target_)
    check_stages(cfg.head._target_, target)
    in_channels = taken_by(target, backbone.channels)
    align_corners = cfg.head.get("align_corners", False)
    resizes = "align_corners" in inspect.signature(target).parameters
    head = instantiate(
        cfg.head,
        # Settings of the whole network, and a part that is built next.
        without=("name", "align_corners", "asymmetric", "context"),
        **_context(cfg),
        **({"align_corners": align_corners} if resizes else {}),
        in_channels=in_channels if isinstance(in_channels, int) else tuple(in_channels),
        num_classes=num_classes,
    )
    auxiliary_head = instantiate(
        cfg.auxiliary_head, in_channels=backbone.channels[2], num_classes=num_classes
    )
    check_head("head", head, in_channels, num_classes)
    check_head("auxiliary_head", auxiliary_head, backbone.channels[2], num_classes)
    return Segmentor(
        backbone,
        head,
        auxiliary_head,
        align_corners=align_corners,
        asymmetric=cfg.head.get("asymmetric", False),
        num_classes=num_classes,
        in_channels=channels,
    )


def _context(cfg: DictConfig) -> dict[str, nn.Module]:
    """Build the context block of `cfg.head.context`, an argument of heads that take one.

    Raises:
        ConfigError: A setting is wrong, or the head takes no context block.
    """
    node = cfg.head.get("context")
    if node is None or node.get("_target_") is None:
        return {}
    if "context" not in inspect.signature(find_target(cfg.head._target_)).parameters:
        raise ConfigError(
            f"context={node.name} with head={cfg.head.name}, which takes no context block",
            "add head=fcn",
        )
    return {"context": instantiate(node, channels=cfg.head.channels)}


def trained_model(
    cfg: DictConfig, num_classes: int, content: CheckpointFile, source: Path
) -> Segmentor:
    """Build the network with the weights of a checkpoint.

    Args:
        cfg: The settings.
        num_classes: Number of classes of the dataset.
        content: Content of the checkpoint.
        source: The checkpoint, for messages.

    Raises:
        ConfigError: See `model`.
        WeightsError: The weights are of another network.
    """
    check_fits(cfg, num_classes, content, source)
    network = model(cfg, num_classes)
    load_tensors(network, content.tensors, content.extra, source=str(source))
    return network


def trained_network(
    cfg: DictConfig, num_classes: int, content: CheckpointFile, source: Path
) -> nn.Module:
    """Build the network of a checkpoint as `trained_model` does, or open an export.

    Args:
        cfg: The settings; `cfg.trust` says whether code in an export may be run.
        num_classes: Number of classes of the dataset.
        content: Content of the file, from `gcseg.exports.reading.read_trained`.
        source: The file.

    Raises:
        ConfigError: See `model`; or a setting has no meaning for an export.
        WeightsError: The weights are of another network, or the export can't be read.
    """
    if format_of(source) is None:
        return trained_model(cfg, num_classes, content, source)
    network = open_export(source, trust=cfg.trust)
    if network.form.num_classes != num_classes:
        raise WeightsError(
            f"{source} has {network.form.num_classes} classes, not {num_classes}",
            "give the dataset whose classes it was trained on",
        )
    precision = cfg.get("precision", 32)
    if precision in ("bf16-mixed", "16-mixed") or cfg.get("compile"):
        raise ConfigError(
            f"precision={precision} compile={cfg.get('compile', False)} with {source}, which "
            "has its own precision and is not run by PyTorch",
            "leave both out, or give the checkpoint that it was exported from",
        )
    once = all(mode == Augmentation() for mode in modes(cfg).values())
    whole = protocol(cfg).window is None and protocol(cfg).resize is None
    if network.form.output == "labels" and not (once and whole):
        raise ConfigError(
            f"{source} gives labels, of which no mean over views, windows or sizes can be taken",
            "give tta=none inference=whole, or export it with values=logits",
        )
    return network


def check_fits(cfg: DictConfig, num_classes: int, content: CheckpointFile, source: Path) -> None:
    """Check that a checkpoint's weights are of the network, before that takes any memory.

    Recorded settings may say a network a thousand times as large as the weights. Parts of the
    user's own are left to what loads them: they may need values to be built.

    Args:
        cfg: The settings.
        num_classes: Number of classes of the dataset.
        content: Content of the checkpoint.
        source: The checkpoint, for messages.

    Raises:
        ConfigError: See `model`.
        WeightsError: The weights are of another network.
    """
    targets = [cfg[part].get("_target_") for part in ("backbone", "head", "auxiliary_head")]
    if all(target is None or str(target).startswith(_OUR_PARTS) for target in targets):
        with without_values():
            network = model(cfg, num_classes)
        check_tensors(network, content.tensors, content.extra, source=str(source))


def modes(cfg: DictConfig) -> dict[str, Augmentation]:
    """The modes of test-time augmentation of `cfg.tta`."""
    return {name: Augmentation(**mode) for name, mode in plain(cfg.tta)["modes"].items()}


def protocol(cfg: DictConfig, average: Average | None = None) -> Protocol:
    """Evaluation protocol of the dataset's images, for every mode of test-time augmentation.

    Args:
        cfg: The configuration.
        average: Kind of scores averaged over the views; `cfg.tta.average` if None.
    """
    return Protocol(
        average or cfg.tta.average,
        sliding_window(cfg),
        eval_resize(cfg),
        cfg.head.get("align_corners", False),
    )


def eval_resize(cfg: DictConfig) -> ResizeToFit | None:
    """Size to which the protocol resizes images of this dataset; None for their own size."""
    if cfg.protocol.resize != "fit":
        return None
    return rectangle("dataset.fit", plain(cfg.dataset).get("fit"))


def sliding_window(cfg: DictConfig) -> SlidingWindow | None:
    """The sliding window of `cfg.inference`, or None for whole images."""
    if cfg.inference.window is None:
        return None
    sizes = plain(cfg.inference.window)
    for side in ("height", "width"):
        if sizes[f"stride_{side}"] is None:
            sizes[f"stride_{side}"] = max(round(sizes[side] * 2 / 3), 1)
    return SlidingWindow(**sizes)


def trained_module(
    cfg: DictConfig, classes: tuple[str, ...], content: CheckpointFile, source: Path
) -> SegmentationModule:
    """Build the LightningModule around `trained_network`."""
    if format_of(source) is not None:
        network = trained_network(cfg, len(classes), content, source)
        return SegmentationModule(
            network, classes, protocol=protocol(cfg), channels_last=cfg.channels_last
        )
    check_fits(cfg, len(classes), content, source)
    built = module(cfg, classes)
    load_tensors(built.model, content.tensors, content.extra, source=str(source))
    return built


def module(cfg: DictConfig, classes: tuple[str, ...]) -> SegmentationModule:
    """Build the LightningModule; if the configuration has an optimizer, ready to be trained.

    Raises:
        ConfigError: See `model`; or what is to be frozen is no part of the backbone, or the
            monitored score is of no class.
    """
    network = model(cfg, len(classes))
    if "optim" in cfg:
        network.freeze(cfg.backbone.get("freeze", "none"))
    if cfg.get("compile"):
        network.compile()
    return SegmentationModule(
        network,
        classes,
        optimizer=(lambda network: optimizer(cfg, network)) if "optim" in cfg else None,
        auxiliary_weight=cfg.get("auxiliary_weight", 0.0),
        loss=loss(cfg, classes),
        protocol=protocol(cfg),
        monitor=monitor_of(cfg.monitor, classes) if "monitor" in cfg else None,
        channels_last=cfg.channels_last,
    )


def optimizer(cfg: DictConfig, network: Segmentor) -> Any:
    """Build the optimizer and the schedule of `cfg.optim` for what is trained of a network.

    Raises:
        ConfigError: A setting is wrong, or nothing is left to train.
    """
    rates = {key: cfg.optim.get(key, 1.0) for key in ("backbone_lr_factor", "layer_decay")}
    if "lr" not in cfg.optim and set(rates.values()) != {1.0}:
        raise ConfigError(
            f"optim.backbone_lr_factor={rates['backbone_lr_factor']:g} and "
            f"optim.layer_decay={rates['layer_decay']:g} for an optimizer without optim.lr",
            "leave both at 1, or call its learning rate lr",
        )
    parameters = parameter_groups(network, lr=cfg.optim.get("lr", 0.0), **rates)
    if not parameters:
        raise ConfigError(
            f"backbone.freeze={cfg.backbone.freeze} leaves nothing to train", "freeze less of it"
        )
    return instantiate(cfg.optim, without=("name", *rates), parameters=parameters, iters=cfg.iters)
