"""python -m gcseg.predict: pictures and index masks from a checkpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gcseg.config.trained import CheckpointRef, output_folder, run_with_checkpoint
from gcseg.errors import ConfigError, DataError
from gcseg.system.text import counted, say

if TYPE_CHECKING:
    from gcseg.data.datasets import SegmentationDataset
    from gcseg.data.reading import UInt8Array
    from gcseg.predictor.files import PredictionFiles
    from gcseg.predictor.network import TrainedNetwork
    from gcseg.weights import CheckpointFile


def predict(cfg: DictConfig, trained: CheckpointRef) -> None:
    """Predict a split, or any pictures, under the one mode of `cfg.tta`.

    Pictures that can't be read are left out, and listed at the end.

    Raises:
        GcsegError: A setting, the checkpoint or the output folder is wrong, or pictures could not
            be read.
    """
    # Heavy imports wait until the settings are known to be right.
    from gcseg.engine.picture_outputs import (
        SHEET,
        clear_partials,
        say_what_is_older,
        say_what_was_not_read,
    )
    from gcseg.predictor.build import trained_network
    from gcseg.predictor.files import PARTS, PredictionFiles
    from gcseg.weights import read_weights

    if len(cfg.tta.modes) != 1:
        raise ConfigError("tta=all predicts each image in several modes", "choose one mode")
    checkpoint = trained.path()
    output = Path(cfg.output or output_folder(cfg, checkpoint).path / "predictions")
    content = read_weights(checkpoint, cfg.weights)
    faults: list[DataError] = []
    dataset = _pictures(cfg, content, checkpoint, output, faults)
    values = _mask_values(cfg, dataset, content, checkpoint)
    if cfg.limit is not None:
        dataset = dataset.first(cfg.limit)
    network = trained_network(cfg, content, checkpoint, dataset.label_space)
    clear_partials(output, PARTS)
    files = PredictionFiles(output, network.space, values)
    named = len(faults)
    _predict_all(network, dataset, files, faults)
    say(f"{counted(len(files.names), 'prediction')}: {output}")
    if files.write_sheet():
        say(f"picture: {output / SHEET}")
    say_what_is_older(output, PARTS, files.names)
    say_what_was_not_read(faults, len(dataset) + named)


def _pictures(
    cfg: DictConfig,
    content: CheckpointFile,
    checkpoint: Path,
    output: Path,
    faults: list[DataError],
) -> SegmentationDataset:
    """Return the pictures of `images=`, or the split, whose classes are the checkpoint's."""
    from gcseg.builders import data as build_data
    from gcseg.data.datasets import images_as_dataset
    from gcseg.engine.picture_outputs import written_folders
    from gcseg.predictor.build import predicted_classes
    from gcseg.predictor.files import PARTS
    from gcseg.runs.classes import check_classes

    if cfg.images is None:
        dataset = build_data.dataset(cfg, cfg.split)
        check_classes(content.extra, dataset.label_space, checkpoint)
        return dataset
    space = predicted_classes(content, cfg.dataset.name)
    images = Path(cfg.images)
    written = written_folders(images, output, PARTS)
    dataset = images_as_dataset(images, space, written=written, faults=faults, say=say)
    return dataset.in_form(build_data.picture_format(cfg))


def _mask_values(
    cfg: DictConfig, dataset: SegmentationDataset, content: CheckpointFile, checkpoint: Path
) -> UInt8Array | None:
    """Return the pixel values of the masks by class index; None for class indices."""
    from gcseg.builders import data as build_data
    from gcseg.predictor.build import known_classes
    from gcseg.predictor.files import file_values
    from gcseg.runs.classes import check_classes

    if cfg.mask_values != "dataset":
        return None
    space = known_classes().get(cfg.dataset.name)
    if space is None or space.names != dataset.label_space.names:  # its files have the values
        read = dataset if cfg.images is None else build_data.dataset(cfg, cfg.split)
        check_classes(content.extra, read.label_space, checkpoint)
        space = read.pairs[0].label_space
    return file_values(space)


def _predict_all(
    network: TrainedNetwork,
    dataset: SegmentationDataset,
    files: PredictionFiles,
    faults: list[DataError],
) -> None:
    """Predict and write pictures, with progress; what can't be read is added to `faults`."""
    from gcseg.predictor.overlapped import WriteBehind
    from gcseg.predictor.stream import Picture, predictions
    from gcseg.system.terminal import progress_bar

    def load(index: int) -> Picture:
        return Picture(dataset.pairs[index].name, *dataset.read(index))

    before = len(faults)
    loads = (partial(load, index) for index in range(len(dataset)))
    found = predictions(network, loads, confidence=False, unread=faults.append)
    with progress_bar("predicting") as progress, WriteBehind() as writer:
        for number, prediction in enumerate(found, 1):
            writer.submit(partial(files.write, prediction))
            progress(number + len(faults) - before, len(dataset))


def main() -> None:
    """Predict pictures."""
    run_with_checkpoint("predict", predict)
