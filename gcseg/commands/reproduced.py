"""Evaluations of a published network or of one to publish, by their records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, open_dict

from gcseg.errors import ConfigError
from gcseg.system.text import listed, shown

if TYPE_CHECKING:
    import pytorch_lightning as L

    from gcseg.data.datasets import SegmentationDataset
    from gcseg.publishing.compare import Counts
    from gcseg.publishing.evaluations import Scored
    from gcseg.weights import CheckpointFile

ALL_MODES = ("none", "flip", "msflip")
"""Modes of `tta=all`, which stands for every mode that is recorded."""


@dataclass
class Reproduced:
    """Results of evaluations, by their names.

    Args:
        is_first: Whether this process is the first of several.
        records: Records as in results.json.
        matrices: Confusion matrices, C x C integers.
        predictions: Digests of the predicted labels, by name of the picture.
        splits: The splits that were read, by name.
        classes: Names of the C classes.
    """

    is_first: bool
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    matrices: dict[str, Counts] = field(default_factory=dict)
    predictions: dict[str, dict[str, str]] = field(default_factory=dict)
    splits: dict[str, SegmentationDataset] = field(default_factory=dict)
    classes: tuple[str, ...] = ()


def chosen(cfg: DictConfig, evaluations: Mapping[str, Scored]) -> dict[str, Scored]:
    """Choose evaluations by `cfg.tta`, and by `cfg.split` if it is set.

    Raises:
        ConfigError: There are none.
    """
    wanted, split = set(cfg.tta.modes), cfg.get("split")
    found = {
        name: one
        for name, one in evaluations.items()
        if (wanted == set(ALL_MODES) or one.mode in wanted) and split in (None, one.split)
    }
    if not found:
        asked = f"tta={','.join(wanted)}{'' if split is None else f' split={split}'}"
        raise ConfigError(
            f"{asked} is not recorded", f"choose of {listed(map(shown, evaluations))}"
        )
    return found


def with_protocol(cfg: DictConfig, precision: str, channels_last: bool) -> DictConfig:
    """Return settings with the precision and memory format of the recorded evaluation.

    Args:
        cfg: Settings of the command; a precision in them counts.
        precision: Recorded precision.
        channels_last: Recorded memory format.
    """
    own = cfg.get("precision")
    with open_dict(cfg):
        merged = OmegaConf.merge(
            cfg,
            {"precision": precision if own is None else own, "channels_last": channels_last},
        )
    assert isinstance(merged, DictConfig)
    return merged


def reproduce(
    cfg: DictConfig,
    content: CheckpointFile,
    checkpoint: Path,
    evaluations: Mapping[str, Scored],
) -> Reproduced:
    """Run evaluations as they are recorded; every process gets the results.

    Args:
        cfg: The settings, with precision and memory format.
        content: Content of the checkpoint.
        checkpoint: The checkpoint, for messages.
        evaluations: The evaluations by name.

    Raises:
        GcsegError: A setting, the checkpoint or the data is wrong.
    """
    from gcseg.builders import data as build_data
    from gcseg.builders import devices
    from gcseg.builders import model as build
    from gcseg.builders import trainer as build_trainer
    from gcseg.data.check.splits import tell_of_what_is_left_out
    from gcseg.engine.callbacks.picture_digests import PictureDigests
    from gcseg.engine.callbacks.progress import RunProgress
    from gcseg.engine.data import SegmentationData
    from gcseg.engine.evaluate import evaluate
    from gcseg.inference.protocol import Augmentation
    from gcseg.runs.classes import check_classes

    digests = PictureDigests()
    trainer: L.Trainer = build_trainer.trainer(cfg, callbacks=[RunProgress(), digests])
    results = Reproduced(trainer.is_global_zero)
    for split in dict.fromkeys(one.split for one in evaluations.values()):
        dataset = build_data.dataset(cfg, split).with_labels()
        space = dataset.label_space
        check_classes(content.extra, space, checkpoint)
        module = build.trained_module(cfg, space.names, content, checkpoint)
        data = SegmentationData(
            build_data.cached(cfg, dataset),
            build_data.evaluation_preprocessing(cfg),
            num_workers=devices.worker_count(cfg),
        )
        here = {name: one for name, one in evaluations.items() if one.split == split}
        # Names of splits may have characters that names in PyTorch's modules can't have.
        keys = {name: f"mode{number}" for number, name in enumerate(here)}
        modes = {keys[name]: Augmentation(one.scales, one.flip) for name, one in here.items()}
        records = evaluate(trainer, module, data, modes, split=split, checkpoint=checkpoint)
        names = [pair.name for pair in dataset.pairs]
        results.classes = space.names
        results.splits[split] = dataset
        for name, key in keys.items():
            by_index = digests.by_mode[key]
            results.records[name] = records[key]
            results.matrices[name] = module.matrices[key].numpy()
            results.predictions[name] = {
                names[index]: by_index[index] for index in sorted(by_index)
            }
        if results.is_first:
            tell_of_what_is_left_out(dataset)
    return results


def environment(cfg: DictConfig) -> dict[str, Any]:
    """Return what may round otherwise elsewhere, without names of the machine."""
    import torch

    from gcseg.builders import devices
    from gcseg.runs import environment as runs_environment

    here = runs_environment.environment()
    device = devices.device(cfg)
    return {
        "python": here["python"],
        "packages": {name: version for name, version in here["packages"].items() if version},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": devices.process_count(cfg),
        "threads": torch.get_num_threads(),
    }
