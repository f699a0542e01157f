"""python -m gcseg.attention: attention maps of a checkpoint's context block."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gcseg.config.plain import plain
from gcseg.config.trained import CheckpointRef, output_folder, run_with_checkpoint
from gcseg.errors import ConfigError, DataError, MemoryLimitError, WeightsError
from gcseg.system.text import counted, say

if TYPE_CHECKING:
    from PIL.Image import Image

    from gcseg.data.datasets import SegmentationDataset
    from gcseg.data.label_spaces import LabelSpace
    from gcseg.data.reading import UInt8Array
    from gcseg.weights import CheckpointFile

_PARTS = ("pictures",)
_SHEET_ROWS = 8


def show_attention(cfg: DictConfig, trained: CheckpointRef) -> None:
    """Write each image next to its attention map, and a sheet of the first few.

    They are `pictures/<name>.png` and `overview.png`. The next images are read meanwhile.

    Raises:
        GcsegError: A setting, the checkpoint, an image or the output folder is wrong, or the head
            has no attention map.
    """
    # Heavy imports wait until the settings are known to be right.
    from PIL import Image

    from gcseg.builders import model as build
    from gcseg.data.images import Picture, displayed
    from gcseg.engine.picture_outputs import (
        SHEET,
        clear_partials,
        say_what_is_older,
        say_what_was_not_read,
    )
    from gcseg.inference.protocol import Augmentation, Protocol
    from gcseg.predictor.attention import attention_map
    from gcseg.predictor.build import network_in_mode
    from gcseg.predictor.overlapped import read_ahead
    from gcseg.system.terminal import progress_bar
    from gcseg.visualization.attention_pictures import attention_panel, attention_sheet, shrunk
    from gcseg.weights import read_weights

    checkpoint = trained.path()
    output = Path(cfg.output or output_folder(cfg, checkpoint).path / "attention")
    content = read_weights(checkpoint, cfg.weights)
    faults: list[DataError] = []
    space = _classes(content)
    dataset = _pictures(cfg, space, output, faults)
    dataset = dataset.first(cfg.limit or len(dataset))
    protocol = Protocol(resize=build.eval_resize(cfg))  # only its size is used
    network = network_in_mode(cfg, content, checkpoint, space, Augmentation(), protocol)
    clear_partials(output, _PARTS)
    rows: list[UInt8Array] = []
    done: list[str] = []
    count = len(dataset) + len(faults)

    def read(index: int) -> Picture:
        image, _ = dataset.read(index)
        network.check_memory(image, dataset.pairs[index].name)
        return image

    with progress_bar("attention") as progress:
        for index, future in read_ahead(range(len(dataset)), read):
            name = dataset.pairs[index].name
            try:
                image = future.result()
                relative = attention_map(network, image, name)
            except DataError as error:
                faults.append(error)
                continue
            except MemoryLimitError as error:
                faults.append(DataError(error.cause, error.remedy))
                continue
            picture = attention_panel(displayed(image), relative)
            _save(Image.fromarray(picture), output / f"pictures/{name}.png")
            done.append(name)
            if len(rows) < _SHEET_ROWS:
                rows.append(shrunk(picture))
            progress(index + 1, len(dataset))
    say(f"{counted(len(done), 'attention map')}: {output}")
    if rows:
        _save(attention_sheet(rows, done), output / SHEET)
        say(f"picture: {output / SHEET}")
    say_what_is_older(output, _PARTS, done)
    say_what_was_not_read(faults, count)


def _pictures(
    cfg: DictConfig, space: LabelSpace, output: Path, faults: list[DataError]
) -> SegmentationDataset:
    """Find the pictures of `source=`, or of the split.

    Raises:
        ConfigError: A source is a video.
        DataError: There are no pictures.
    """
    from gcseg.builders import data as build_data
    from gcseg.data.datasets import SegmentationDataset
    from gcseg.engine.picture_outputs import written_folders
    from gcseg.predictor.sources import find_sources

    setting = "images" if cfg.source is None else "source"
    given = plain(cfg)[setting]
    if given is None:
        return build_data.dataset(cfg, cfg.split)
    written = partial(written_folders, folder=output, parts=_PARTS, setting=setting)
    found = find_sources(given, space, faults=faults, written=written, say=say)
    if found.videos:
        if not found.pictures:
            raise ConfigError(f"{found.videos[0]} is a video", "give pictures")
        say(f"left out: {counted(len(found.videos), 'video')}, such as {found.videos[0]}")
    pictures = SegmentationDataset(found.pictures, space, found.description)
    return pictures.in_form(build_data.picture_format(cfg))


def _classes(content: CheckpointFile) -> LabelSpace:
    """Return a checkpoint's classes, by number if it does not list them: only those count here.

    Raises:
        WeightsError: The file is not a whole network.
    """
    from gcseg.data.label_spaces import LabelSpace
    from gcseg.runs.classes import trained_classes
    from gcseg.weights import describe

    if (space := trained_classes(content.extra)) is not None:
        return space
    count = describe(content.tensors, content.extra).num_classes
    if count is None:
        raise WeightsError("the checkpoint is a backbone without a head", "give a whole network")
    return LabelSpace(tuple(f"class {index}" for index in range(count)))


def _save(picture: Image, path: Path) -> None:
    from gcseg.system.files import atomic_write

    with atomic_write(path) as file:
        picture.save(file, format="PNG")


def main() -> None:
    """Write the attention maps of a checkpoint."""
    run_with_checkpoint("attention", show_attention)
