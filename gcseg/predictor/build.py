"""A trained network from a composed configuration and a checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig

from gcseg.builders import data as build_data
from gcseg.builders import devices
from gcseg.builders import model as build
from gcseg.data.ade20k import ade20k_classes
from gcseg.data.label_spaces import CAMVID, CITYSCAPES_LABEL_IDS, VOC, LabelSpace
from gcseg.errors import ConfigError
from gcseg.inference.protocol import Augmentation, Protocol
from gcseg.predictor.network import TrainedNetwork
from gcseg.runs.classes import trained_classes
from gcseg.weights import CheckpointFile


def trained_network(
    cfg: DictConfig, content: CheckpointFile, checkpoint: Path, space: LabelSpace
) -> TrainedNetwork:
    """Build the network of a checkpoint, with the preprocessing and protocol of `cfg`.

    Args:
        cfg: Settings of `gcseg.predict`; `cfg.tta` has one mode.
        content: Content of the checkpoint.
        checkpoint: The checkpoint, for messages.
        space: Classes that it predicts.

    Raises:
        ConfigError: A setting is wrong, or several modes are given.
        WeightsError: The weights are of another network.
    """
    if len(cfg.tta.modes) != 1:
        raise ConfigError("tta=all predicts each image in several modes", "choose one mode")
    (network,) = trained_networks(cfg, content, checkpoint, space).values()
    return network


def trained_networks(
    cfg: DictConfig, content: CheckpointFile, checkpoint: Path, space: LabelSpace
) -> dict[str, TrainedNetwork]:
    """Build the network of a checkpoint for each mode of `cfg.tta`; all share its weights.

    Args:
        cfg: See `trained_network`; `cfg.tta` may have several modes.
        content: See `trained_network`.
        checkpoint: See `trained_network`.
        space: See `trained_network`.

    Returns:
        The network by name of its mode.

    Raises:
        ConfigError: A setting is wrong.
        WeightsError: The weights are of another network.
    """
    modes = build.modes(cfg)
    mode = next(iter(modes.values()))
    first = network_in_mode(cfg, content, checkpoint, space, mode, build.protocol(cfg))
    return {name: first.in_mode(mode) for name, mode in modes.items()}


def network_in_mode(
    cfg: DictConfig,
    content: CheckpointFile,
    checkpoint: Path,
    space: LabelSpace,
    mode: Augmentation,
    protocol: Protocol,
) -> TrainedNetwork:
    """Build the network of a checkpoint, with the preprocessing of `cfg`.

    Args:
        cfg: See `trained_network`; without settings of protocols and modes.
        content: See `trained_network`.
        checkpoint: See `trained_network`.
        space: See `trained_network`.
        mode: Views of test-time augmentation.
        protocol: Averaged quantity, windows and sizes.

    Raises:
        ConfigError: A setting is wrong.
        WeightsError: The weights are of another network.
    """
    device = devices.device(cfg)
    layout = torch.channels_last if cfg.channels_last else torch.contiguous_format
    model = build.trained_network(cfg, space.num_classes, content, checkpoint)
    model = model.to(device, memory_format=layout).eval()  # type: ignore[call-overload]
    return TrainedNetwork(
        model,
        space,
        build_data.evaluation_preprocessing(cfg),
        protocol,
        mode,
        device=device,
        precision=cfg.get("precision", 32),
        memory_format=layout,
    )


def predicted_classes(content: CheckpointFile, dataset: str) -> LabelSpace:
    """Return the classes that a checkpoint predicts.

    Args:
        content: Content of the checkpoint.
        dataset: Name of its dataset, which tells the classes of another framework's file.

    Raises:
        ConfigError: The checkpoint does not list them, and the dataset's depend on its files.
        WeightsError: The checkpoint's list of classes is not valid.
    """
    if (space := trained_classes(content.extra)) is not None:
        return space
    known = known_classes()
    if dataset not in known:
        raise ConfigError(
            f"the checkpoint does not list its classes, and dataset={dataset} has no fixed ones",
            f"add dataset={', '.join(known)}, or predict a split of your dataset without source=",
        )
    return known[dataset]


def known_classes() -> dict[str, LabelSpace]:
    """Return the classes of the public datasets, with the pixel values of their label files."""
    return {
        "ade20k": ade20k_classes(),
        "camvid": CAMVID,
        "cityscapes": CITYSCAPES_LABEL_IDS,
        "voc": VOC,
    }
