"""python -m gcseg.predict: masks, pictures and videos of a checkpoint's predictions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from omegaconf import DictConfig

from gcseg.config.plain import plain
from gcseg.config.trained import CheckpointRef, output_folder, run_with_checkpoint
from gcseg.errors import ConfigError, DataError
from gcseg.system.text import counted, say

if TYPE_CHECKING:
    from gcseg.data.datasets import SegmentationDataset
    from gcseg.data.label_spaces import LabelSpace
    from gcseg.data.reading import UInt8Array
    from gcseg.predictor.done import Done
    from gcseg.predictor.files import PredictionFiles
    from gcseg.predictor.network import TrainedNetwork
    from gcseg.predictor.sources import Video
    from gcseg.weights import CheckpointFile


class Inputs(NamedTuple):
    """What is predicted.

    Args:
        pictures: The pictures; None if there are videos alone.
        videos: Videos, cameras and streams.
        space: Classes of the predictions.
    """

    pictures: SegmentationDataset | None
    videos: list[Video]
    space: LabelSpace

    @property
    def noun(self) -> str:
        """Noun for them, in the plural."""
        if not self.videos:
            return "pictures"
        return "videos" if self.pictures is None else "pictures and videos"


def predict(cfg: DictConfig, trained: CheckpointRef) -> None:
    """Predict a split, or any pictures and videos, under the one mode of `cfg.tta`.

    What can't be read is left out, and listed at the end.

    Raises:
        GcsegError: A setting, the checkpoint or the output folder is wrong, or pictures or videos
            could not be read.
    """
    # Heavy imports wait until the settings are known to be right.
    from gcseg.data.check.splits import tell_of_what_is_left_out
    from gcseg.engine.picture_outputs import (
        clear_partials,
        say_what_is_older,
        say_what_was_not_read,
    )
    from gcseg.exports.reading import read_trained
    from gcseg.predictor.build import trained_network
    from gcseg.predictor.done import Done
    from gcseg.predictor.files import PARTS, PredictionFiles
    from gcseg.predictor.formats import chosen
    from gcseg.predictor.settings import made_with
    from gcseg.predictor.videos import check_videos, predict_videos

    if len(cfg.tta.modes) != 1:
        raise ConfigError("tta=all predicts each image in several modes", "choose one mode")
    checkpoint = trained.path()
    output = Path(cfg.output or output_folder(cfg, checkpoint).path / "predictions")
    content = read_trained(checkpoint, cfg.weights)
    faults: list[DataError] = []
    inputs = _inputs(cfg, content, checkpoint, output, faults)
    count = (len(inputs.pictures) if inputs.pictures else 0) + len(inputs.videos) + len(faults)
    of_pictures, of_videos = chosen(plain(cfg)["format"])
    check_videos(inputs.videos, of_videos)
    if inputs.pictures is not None:
        tell_of_what_is_left_out(inputs.pictures)
    values = _mask_values(cfg, inputs, content, checkpoint)
    network = trained_network(cfg, content, checkpoint, inputs.space)
    clear_partials(output, PARTS)
    files = PredictionFiles(output, network.space, values, of_pictures)
    with Done(output, made_with(cfg, checkpoint, inputs.space, values), say) as done:
        if inputs.pictures is not None:
            _predict_pictures(network, inputs.pictures, files, done, faults)
        frames = predict_videos(network, inputs.videos, files, of_videos, done, faults, cfg.limit)
    say_what_is_older(output, PARTS, [*files.names, *frames])
    say_what_was_not_read(faults, count, inputs.noun)


def _inputs(
    cfg: DictConfig,
    content: CheckpointFile,
    checkpoint: Path,
    output: Path,
    faults: list[DataError],
) -> Inputs:
    """Find what `source=` names, or the split, whose classes are the checkpoint's."""
    from gcseg.builders import data as build_data
    from gcseg.data.datasets import SegmentationDataset
    from gcseg.engine.picture_outputs import written_folders
    from gcseg.predictor.build import predicted_classes
    from gcseg.predictor.files import PARTS
    from gcseg.predictor.sources import find_sources
    from gcseg.predictor.video_run import require_rgb
    from gcseg.runs.classes import check_classes

    setting = "images" if cfg.source is None else "source"
    given = plain(cfg)[setting]
    if given is None:
        dataset = build_data.dataset(cfg, cfg.split)
        check_classes(content.extra, dataset.label_space, checkpoint)
        return Inputs(dataset.first(cfg.limit or len(dataset)), [], dataset.label_space)
    space = predicted_classes(content, cfg.dataset.name)
    written = partial(written_folders, folder=output, parts=PARTS, setting=setting)
    found = find_sources(given, space, faults=faults, written=written, say=say)
    form = build_data.picture_format(cfg)
    for video in found.videos:
        require_rgb(form, video)
    if not found.pictures:
        return Inputs(None, found.videos, space)
    pictures = SegmentationDataset(found.pictures, space, found.description).in_form(form)
    return Inputs(pictures.first(cfg.limit or len(pictures)), found.videos, space)


def _mask_values(
    cfg: DictConfig, inputs: Inputs, content: CheckpointFile, checkpoint: Path
) -> UInt8Array | None:
    """Return the pixel values of the masks by class index; None for class indices."""
    from gcseg.builders import data as build_data
    from gcseg.predictor.build import known_classes
    from gcseg.predictor.files import file_values
    from gcseg.runs.classes import check_classes

    if cfg.mask_values != "dataset":
        return None
    space = known_classes().get(cfg.dataset.name)
    if space is None or space.names != inputs.space.names:  # its files have the values
        read = inputs.pictures
        if read is None or cfg.images is not None or cfg.source is not None:
            read = build_data.dataset(cfg, cfg.split)
        check_classes(content.extra, read.label_space, checkpoint)
        space = read.pairs[0].label_space
    return file_values(space)


def _predict_pictures(
    network: TrainedNetwork,
    dataset: SegmentationDataset,
    files: PredictionFiles,
    done: Done,
    faults: list[DataError],
) -> None:
    """Predict and write pictures; what can't be read is added to `faults`."""
    from gcseg.predictor.picture_run import predict_pictures
    from gcseg.system.terminal import progress_bar

    predict_pictures(network, dataset, files, done, faults.append)
    with progress_bar("converting") as progress:
        written = files.finish(dataset.pairs, progress)
    say(f"{counted(len(files.names), 'prediction')}: {files.folder}")
    for path in written:
        say(f"{'picture' if path.suffix == '.png' else 'written'}: {path}")


def main() -> None:
    """Predict pictures and videos."""
    run_with_checkpoint("predict", predict)
