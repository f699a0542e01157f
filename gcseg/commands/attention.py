"""python -m gcseg.attention: attention maps of a checkpoint's context block."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gcseg.config.trained import CheckpointRef, output_folder, run_with_checkpoint
from gcseg.errors import DataError, MemoryLimitError, WeightsError, is_out_of_memory
from gcseg.system.text import counted, say

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from gcseg.data.reading import UInt8Array
    from gcseg.inference.protocol import Protocol
    from gcseg.models import Segmentor
    from gcseg.weights import CheckpointFile

_PARTS = ("pictures",)
_SHEET_ROWS = 8


def show_attention(cfg: DictConfig, trained: CheckpointRef) -> None:
    """Write each image next to its attention map, and a sheet of the first few.

    They are `pictures/<name>.png` and `overview.png`. One image is in memory at a time.

    Raises:
        GcsegError: A setting, the checkpoint, an image or the output folder is wrong, or the head
            has no attention map.
    """
    # Heavy imports wait until the settings are known to be right.
    import torch
    from PIL import Image

    from gcseg.builders import data as build_data
    from gcseg.builders import devices
    from gcseg.builders import model as build
    from gcseg.data.datasets import images_as_dataset
    from gcseg.data.images import displayed
    from gcseg.data.label_spaces import CITYSCAPES
    from gcseg.data.samples import EvaluationSamples
    from gcseg.engine.picture_outputs import (
        SHEET,
        clear_partials,
        say_what_is_older,
        say_what_was_not_read,
        written_folders,
    )
    from gcseg.inference.protocol import Protocol
    from gcseg.system.terminal import progress_bar
    from gcseg.visualization.attention_pictures import attention_panel, attention_sheet, shrunk
    from gcseg.weights import read_weights

    device = devices.device(cfg)
    checkpoint = trained.path()
    output = Path(cfg.output or output_folder(cfg, checkpoint).path / "attention")
    content = read_weights(checkpoint, cfg.weights)
    faults: list[DataError] = []
    if cfg.images is None:
        dataset = build_data.dataset(cfg, cfg.split)
    else:  # the classes make no difference here
        images = Path(cfg.images)
        written = written_folders(images, output, _PARTS)
        dataset = images_as_dataset(images, CITYSCAPES, written=written, faults=faults, say=say)
        dataset = dataset.in_form(build_data.picture_format(cfg))
    if cfg.limit is not None:
        dataset = dataset.first(cfg.limit)
    model = build.trained_model(cfg, _class_count(content), content, checkpoint)
    layout = torch.channels_last if cfg.channels_last else torch.contiguous_format
    model = model.to(device, memory_format=layout).eval()  # type: ignore[call-overload]
    protocol = Protocol(resize=build.eval_resize(cfg))  # only its size is used
    samples = EvaluationSamples(dataset, build_data.evaluation_preprocessing(cfg))
    clear_partials(output, _PARTS)
    rows: list[UInt8Array] = []
    done: list[str] = []
    named = len(faults)
    with progress_bar("attention") as progress:
        for index in range(len(samples)):
            try:
                sample = samples[index]
            except DataError as error:
                faults.append(error)
                continue
            weights = _weights(model, sample["image"], protocol, sample["name"])
            image, _ = dataset.read(index)
            padded = tuple(sample["image"].shape[-2:])
            picture = attention_panel(displayed(image), weights.numpy(), padded=padded)
            _save(Image.fromarray(picture), output / f"pictures/{sample['name']}.png")
            done.append(sample["name"])
            if len(rows) < _SHEET_ROWS:
                rows.append(shrunk(picture))
            progress(index + 1, len(samples))
    say(f"{counted(len(done), 'attention map')}: {output}")
    if rows:
        _save(attention_sheet(rows, done), output / SHEET)
        say(f"picture: {output / SHEET}")
    say_what_is_older(output, _PARTS, done)
    say_what_was_not_read(faults, len(samples) + named)


def _class_count(content: CheckpointFile) -> int:
    """Number of a checkpoint's classes, from its record or its classifier.

    Raises:
        WeightsError: The file is not a whole network.
    """
    from gcseg.runs.classes import trained_classes
    from gcseg.weights import describe

    space = trained_classes(content.extra)
    if space is not None:
        return space.num_classes
    count = describe(content.tensors, content.extra).num_classes
    if count is None:
        raise WeightsError("the checkpoint is a backbone without a head", "give a whole network")
    return count


def _weights(model: Segmentor, image: Tensor, protocol: Protocol, name: str) -> Tensor:
    """Compute the attention map, h x w float32 on the CPU, of a prepared image 3 x H x W.

    Raises:
        MemoryLimitError: The image does not fit into memory.
        ConfigError: The head has no attention map.
        WeightsError: The map has NaN or infinite values.
    """
    from gcseg.inference.predict import predict_attention

    parameter = next(model.parameters())
    height, width = image.shape[-2:]
    try:
        weights = predict_attention(model.attention, image[None].to(parameter.device), protocol)[
            0, 0
        ]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryLimitError(
            f"{name} ({height} x {width} pixels) does not fit into memory",
            "give smaller images, or accelerator=cpu",
        ) from None
    if not weights.isfinite().all():
        raise WeightsError(
            f"the attention map of {name} has NaN or infinity",
            "use a checkpoint from before the network diverged",
        )
    return weights


def _save(picture: Image, path: Path) -> None:
    from gcseg.system.files import atomic_write

    with atomic_write(path) as file:
        picture.save(file, format="PNG")


def main() -> None:
    """Write the attention maps of a checkpoint."""
    run_with_checkpoint("attention", show_attention)
