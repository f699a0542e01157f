"""python -m gcseg.submit: the archive of a test split's predictions that a test server takes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gcseg.config.command import run_command
from gcseg.config.command_line import asks_for_information, given
from gcseg.config.meant import first_unknown
from gcseg.config.trained import CheckpointRef, output_folder, run_with_checkpoint
from gcseg.errors import ConfigError, DataError
from gcseg.system.files import at_home, sha256_of
from gcseg.system.text import counted, say

if TYPE_CHECKING:
    from gcseg.data.datasets import Pair, SegmentationDataset
    from gcseg.predictor.done import Done
    from gcseg.predictor.files import PredictionFiles
    from gcseg.predictor.network import TrainedNetwork
    from gcseg.submission.servers import Server


def submit(cfg: DictConfig, trained: CheckpointRef) -> Path:
    """Predict the test split, check the masks, and pack them as the dataset's server wants them.

    Returns:
        Path of the archive.

    Raises:
        GcsegError: A setting, the checkpoint, the pictures or the output is wrong, the server
            scores other classes, or a mask is not as it takes them.
    """
    # Heavy imports wait until the settings are known to be right.
    from gcseg.engine.picture_outputs import clear_partials
    from gcseg.exports.reading import read_trained
    from gcseg.predictor.build import trained_network
    from gcseg.predictor.done import Done
    from gcseg.predictor.files import PARTS, PredictionFiles, file_values
    from gcseg.predictor.settings import made_with
    from gcseg.runs.classes import trained_classes
    from gcseg.submission.archive import write_archive
    from gcseg.submission.check import check_files
    from gcseg.submission.servers import server_of
    from gcseg.system.terminal import progress_bar

    if len(cfg.tta.modes) != 1:
        raise ConfigError("tta=all predicts each image in several modes", "choose one mode")
    (mode,) = cfg.tta.modes
    server = server_of(cfg.dataset.name)
    server.check_competition(cfg.competition)
    checkpoint = trained.path()
    content = read_trained(checkpoint, cfg.weights)
    dataset, pictures = _pictures(cfg, server)
    predicted = trained_classes(content.extra) or dataset.label_space
    space = server.classes(predicted.names, checkpoint)
    values = file_values(space)
    if cfg.competition == "comp5":
        _say_what_comp5_is(trained)
    network = trained_network(cfg, content, checkpoint, predicted)
    name = f"{server.name}-{cfg.split}-{mode}"
    output = Path(cfg.output or output_folder(cfg, checkpoint).path / "submissions" / name)
    clear_partials(output, PARTS)
    files = PredictionFiles(output, network.space, values, ("mask",))
    with Done(output, made_with(cfg, checkpoint, predicted, values), say) as done:
        _predict(network, dataset, files, done)
    masks = {name: output / "masks" / f"{pair.name}.png" for name, pair in pictures.items()}
    with progress_bar("checking", "masks") as progress:
        check_files(server, masks, pictures, progress)
    placed = {
        server.place(pair, cfg.split, cfg.competition): masks[name]
        for name, pair in pictures.items()
    }
    archive = output / f"{name}{server.suffix}"
    write_archive(placed, archive)
    say(f"{counted(len(placed), 'mask')}, mode {mode}, checked: {output / 'masks'}")
    _say_archive(archive, server, cfg.split)
    return archive


def check(cfg: DictConfig) -> None:
    """Check an existing archive against the rules of its server.

    Raises:
        GcsegError: A setting or the dataset is wrong, or the archive is not as the server takes it.
    """
    from gcseg.submission.check import check_archive
    from gcseg.submission.servers import server_of
    from gcseg.system.terminal import progress_bar

    server = server_of(cfg.dataset.name)
    server.check_competition(cfg.competition)
    archive = at_home(cfg.check)
    _, pictures = _pictures(cfg, server)
    with progress_bar("checking", "masks") as progress:
        doubts = check_archive(server, archive, pictures, cfg.split, cfg.competition, progress)
    say(f"{counted(len(pictures), 'mask')}: names, sizes and values are right")
    _say_archive(archive, server, cfg.split)
    say(*doubts)


def _pictures(cfg: DictConfig, server: Server) -> tuple[SegmentationDataset, Mapping[str, Pair]]:
    """Read the split, and check that it is the one that the server scores, as far as can be known.

    Raises:
        DataError: Pictures are missing, too many, or of another size.
    """
    from gcseg.builders import data as build_data
    from gcseg.submission.check import check_pictures
    from gcseg.submission.servers import TEST_SPLITS
    from gcseg.system.terminal import progress_bar

    dataset = build_data.dataset(cfg, cfg.split)
    pictures = server.pictures_of(dataset, cfg.split)
    if cfg.split in TEST_SPLITS:
        server.check_count(len(pictures), dataset.description)
        with progress_bar("sizes") as progress:
            check_pictures(server, pictures, progress)
    return dataset, pictures


def _predict(
    network: TrainedNetwork, dataset: SegmentationDataset, files: PredictionFiles, done: Done
) -> None:
    """Predict and write the masks that are not done yet.

    Raises:
        DataError: A picture can't be read.
    """
    from gcseg.predictor.picture_run import predict_pictures

    faults: list[DataError] = []
    predict_pictures(network, dataset, files, done, faults.append)
    files.finish(dataset.pairs, lambda done, total: None)
    if faults:
        say(*faults, error=True)
        raise DataError(
            f"{len(faults)} of {counted(len(dataset), 'picture')} could not be read, and the "
            "server wants a mask of each: there is no archive",
            "repair the files listed above and give the command again; all others are done",
        )


def _say_what_comp5_is(trained: CheckpointRef) -> None:
    """Say what comp5 excludes, if the training is known to have used it."""
    dataset = trained.config.get("dataset") or {}
    backbone = trained.config.get("backbone") or {}
    used = ["the augmented labels"] * (dataset.get("splits", {}).get("train") == "trainaug")
    used += ["pretrained weights"] * (backbone.get("pretrained") is not None)
    if used:
        say(
            f"note: comp5 is for training on VOC 2012's trainval alone; this network used "
            f"{' and '.join(used)}: competition=comp6 is for any training data"
        )


def _say_archive(archive: Path, server: Server, split: str) -> None:
    from gcseg.submission.servers import TEST_SPLITS

    size = archive.stat().st_size
    say(f"archive: {archive} ({size:,} bytes, SHA-256 {sha256_of(archive)})")
    if split in TEST_SPLITS:
        say(f"upload it at {server.address}")
    else:
        say(f"the server, {server.address}, scores the test split alone: split={split} is to try")


def _require_dataset(arguments: list[str]) -> None:
    """Check that the dataset of an archive is named.

    Raises:
        ConfigError: It is not.
    """
    if given(arguments, "dataset") is None and not asks_for_information(arguments):
        raise first_unknown(arguments, "submit_check") or ConfigError(
            "check= without dataset=, which says whose rules count",
            "give dataset=cityscapes, voc or ade20k, and dataset.root= if it is elsewhere",
        )


def main() -> None:
    """Write or check the archive for a test server."""
    if any(argument.startswith("check=") for argument in sys.argv[1:]):
        run_command("submit_check", check, prepare=_require_dataset)
    else:
        run_with_checkpoint("submit", submit)
