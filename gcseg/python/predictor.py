"""Prediction from Python: a checkpoint, and images in any form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy.typing as npt
from PIL import Image
from torch import Tensor

from gcseg.builders.data import picture_format
from gcseg.data.check.splits import tell_of_what_is_left_out
from gcseg.data.datasets import SegmentationDataset, images_as_dataset
from gcseg.data.label_spaces import LabelSpace
from gcseg.errors import ConfigError, DataError
from gcseg.exports.reading import read_trained
from gcseg.predictor.build import predicted_classes, trained_network
from gcseg.predictor.inputs import as_picture
from gcseg.predictor.prediction import Prediction
from gcseg.predictor.sources import VIDEO_SUFFIXES, Source, find_sources
from gcseg.predictor.stream import Picture, predictions
from gcseg.predictor.video_run import require_rgb, video_predictions
from gcseg.python.settings import as_arguments, composed
from gcseg.system.text import as_override

Input = str | Path | Image.Image | npt.NDArray[Any] | Tensor
"""One image: a file, a PIL image, an array H x W x C or a tensor C x H x W."""

Images = list[Input] | tuple[Input, ...]


class Predictor:
    """Segments images with a trained network, exactly as `python -m gcseg.predict` does.

    Normalisation, padding, size, windows and classes are those of the checkpoint's training.

    Args:
        checkpoint: A run folder, a published folder, hf://owner/name, a file of gcseg, PaddleSeg
            or mmsegmentation, or a name of `python -m gcseg.weights list`.
        device: `"auto"`, `"cpu"`, `"gpu"` (or `"cuda"`) or `"mps"`.
        tta: Mode of test-time augmentation: `"none"`, `"flip"` or `"msflip"`.
        precision: `32`, `"bf16-mixed"` or `"16-mixed"`.
        batch_size: Largest number of consecutive images of one size that are predicted together.
        trust: Whether to call what the checkpoint's settings name, also if it is not gcseg's own.
        overrides: More settings of `gcseg.predict`, as `["inference=slide"]`.

    Raises:
        ConfigError: A setting is wrong.
        WeightsError: The checkpoint is missing or damaged, or holds no network that gcseg knows.
        DownloadError: A published checkpoint can't be downloaded.

    Example:
        >>> from gcseg import Predictor
        >>> predictor = Predictor("runs/my_run", tta="flip")  # doctest: +SKIP
        >>> prediction = predictor("street.jpg")  # doctest: +SKIP
        >>> prediction.areas()  # doctest: +SKIP
        {'road': 0.41, 'sky': 0.3, 'building': 0.29}
        >>> prediction.save("mask.png")  # doctest: +SKIP
    """

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        device: str = "auto",
        tta: str = "none",
        precision: int | str = 32,
        batch_size: int = 1,
        trust: bool = False,
        overrides: Iterable[str] = (),
    ) -> None:
        if type(batch_size) is not int or batch_size < 1:
            raise ConfigError(f"batch_size={batch_size}", "give a whole number, 1 or more")
        settings = {
            "checkpoint": checkpoint,
            "tta": tta,
            "precision": precision,
            "accelerator": "gpu" if device == "cuda" else device,
        }
        given = [as_override(name, value) for name, value in settings.items()]
        given.append(f"trust={'true' if trust else 'false'}")
        cfg, trained = composed("predict", [*given, *as_arguments(overrides)], needs_data=False)
        path = trained.path()
        content = read_trained(path, cfg.weights)
        space = predicted_classes(content, cfg.dataset.name)
        self.batch_size = batch_size
        self.network = trained_network(cfg, content, path, space)
        self._form = picture_format(cfg)
        self._told: set[str] = set()

    @property
    def space(self) -> LabelSpace:
        """Return names and colours of the classes."""
        return self.network.space

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, by class index."""
        return self.space.names

    @overload
    def __call__(self, images: Input) -> Prediction: ...
    @overload
    def __call__(self, images: Images) -> list[Prediction]: ...
    def __call__(self, images: Input | Images) -> Prediction | list[Prediction]:
        """Predict an image, or a list of images.

        Args:
            images: One image, a file's path, a PIL image, an array H x W x C or a tensor
                C x H x W; or a list of such.

        Returns:
            The image's prediction, or a list of them in the images' order.

        Raises:
            DataError: An image can't be read, or has another form.
            WeightsError: The network's scores are NaN or infinite.
            MemoryLimitError: An image does not fit into memory.
        """
        if isinstance(images, list | tuple):
            return list(self.stream(images))
        (prediction,) = self.stream([images])
        return prediction

    def stream(self, images: Iterable[Input] | str | Path | int) -> Iterator[Prediction]:
        """Predict images one after the other, while the next ones are read.

        Args:
            images: Images as `__call__` takes them; a generator may be endless. Or one source: a
                picture, a folder, a pattern, a list of files, a video, the number of a camera or an
                address (rtsp, http). Frames of a video have `prediction.frame.seconds`.

        Raises:
            GcsegError: See `__call__`; of a video that ends in the middle, after its last frame.
        """
        if isinstance(images, str | Path | int):
            return self._of_source(images if isinstance(images, int) else str(images))
        loads = (partial(self._load, image, number) for number, image in enumerate(images))
        return predictions(self.network, loads, batch_size=self.batch_size)

    def _of_source(self, source: Source) -> Iterator[Prediction]:
        faults: list[DataError] = []
        sources = find_sources(source, self.space, faults=faults)
        if faults:
            raise faults[0]
        if sources.pictures:
            dataset = SegmentationDataset(sources.pictures, self.space, sources.description)
            dataset = dataset.in_form(self._form)
            tell_of_what_is_left_out(dataset, self._told)
            loads = (partial(_read, dataset, index) for index in range(len(dataset)))
            yield from predictions(self.network, loads, batch_size=self.batch_size)
        for video in sources.videos:
            require_rgb(self._form, video)
            yield from video_predictions(self.network, video, batch_size=self.batch_size)

    def _load(self, image: Input, number: int) -> Picture:
        """Read an image; one that has no file is named by its number, from 0."""
        if isinstance(image, str | Path):
            if Path(image).suffix.lower() in VIDEO_SUFFIXES:
                raise DataError(f"{image} is a video", "predict its frames with stream()")
            file = images_as_dataset(Path(image), self.space).in_form(self._form)
            tell_of_what_is_left_out(file, self._told)
            return Picture(file.pairs[0].name, file.read(0)[0])
        return Picture(str(number), as_picture(image, self._form))


def _read(dataset: SegmentationDataset, index: int) -> Picture:
    return Picture(dataset.pairs[index].name, *dataset.read(index))
