"""python -m gcseg.predict: pictures and index masks from a checkpoint."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gcseg.config.trained import CheckpointRef, output_folder, run_with_checkpoint
from gcseg.errors import ConfigError, DataError
from gcseg.system.text import counted, say

if TYPE_CHECKING:
    from gcseg.data.label_spaces import LabelSpace


def predict(cfg: DictConfig, trained: CheckpointRef) -> None:
    """Predict a split, or any pictures, under the one mode of `cfg.tta`.

    Pictures that can't be read are left out, and listed at the end.

    Raises:
        GcsegError: A setting, the checkpoint or the output folder is wrong, or pictures could not
            be read.
    """
    # Heavy imports wait until the settings are known to be right.
    from gcseg.builders import data as build_data
    from gcseg.builders import model as build
    from gcseg.builders import trainer as build_trainer
    from gcseg.data.datasets import images_as_dataset
    from gcseg.engine.callbacks.predictions import PARTS, PredictionWriter, file_values
    from gcseg.engine.callbacks.progress import RunProgress
    from gcseg.engine.data import SegmentationData
    from gcseg.engine.picture_outputs import (
        SHEET,
        clear_partials,
        say_what_is_older,
        say_what_was_not_read,
        written_folders,
    )
    from gcseg.runs.classes import check_classes, trained_classes
    from gcseg.weights import read_weights

    if len(cfg.tta.modes) != 1:
        raise ConfigError("tta=all predicts each picture in several ways", "choose one of them")
    checkpoint = trained.path()
    output = Path(cfg.output or output_folder(cfg, checkpoint).path / "predictions")
    content = read_weights(checkpoint, cfg.weights)
    faults: list[DataError] = []
    if cfg.images is None:
        dataset = build_data.dataset(cfg, cfg.split)
        space = dataset.label_space
        check_classes(content.extra, space, checkpoint)
    else:
        space = trained_classes(content.extra) or _published_classes(cfg.dataset.name)
        images = Path(cfg.images)
        written = written_folders(images, output, PARTS)
        dataset = images_as_dataset(images, space, written=written, faults=faults, say=say)
    values = None
    if cfg.mask_values == "dataset":
        in_files = _known_classes().get(cfg.dataset.name)
        if in_files is None or in_files.names != space.names:  # its files have the values
            read = dataset if cfg.images is None else build_data.dataset(cfg, cfg.split)
            check_classes(content.extra, read.label_space, checkpoint)
            in_files = read.pairs[0].label_space
        values = file_values(in_files)
    if cfg.limit is not None:
        dataset = dataset.first(cfg.limit)
    module = build.trained_module(cfg, space.names, content, checkpoint)
    module.set_modes(build.modes(cfg))
    clear_partials(output, PARTS)
    data = SegmentationData(dataset, build_data.evaluation_preprocessing(cfg), num_workers=1)
    writer = PredictionWriter(output, dataset, space, values)
    trainer = build_trainer.trainer(cfg, callbacks=[RunProgress(), writer])
    # Lightning warns of samples fewer than announced or without indices: both are intended here.
    for text in ("Your `IterableDataset` has `__len__`", "Couldn't infer the batch indices"):
        warnings.filterwarnings("ignore", message=text)
    trainer.predict(module, data, return_predictions=False)
    done = [dataset.pairs[index].name for index in writer.written]
    say(f"{counted(len(done), 'prediction')}: {output}")
    if done:
        say(f"picture: {output / SHEET}")
    say_what_is_older(output, PARTS, done)
    say_what_was_not_read([*faults, *writer.unwritten()], len(dataset) + len(faults))


def _published_classes(dataset: str) -> LabelSpace:
    """Classes of a dataset that are known without its files.

    Raises:
        ConfigError: The classes depend on the files.
    """
    known = _known_classes()
    if dataset not in known:
        raise ConfigError(
            f"the checkpoint does not say its classes, and dataset={dataset} has none of its own",
            f"add dataset={', '.join(known)}, or predict a split of yours without images=",
        )
    return known[dataset]


def _known_classes() -> dict[str, LabelSpace]:
    """Classes of the public datasets, with the pixel values of their published label files."""
    from gcseg.data.ade20k import ade20k_classes
    from gcseg.data.label_spaces import CAMVID, CITYSCAPES_LABEL_IDS, VOC

    return {
        "ade20k": ade20k_classes(),
        "camvid": CAMVID,
        "cityscapes": CITYSCAPES_LABEL_IDS,
        "voc": VOC,
    }


def main() -> None:
    """Predict pictures."""
    run_with_checkpoint("predict", predict)
