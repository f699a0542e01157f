"""The drawn scenes as a dataset, read by the same readers as real datasets."""

from __future__ import annotations

from pathlib import Path

from gcseg.data.cityscapes import cityscapes
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.label_spaces import CITYSCAPES
from gcseg.data.scenes.write import write_scenes
from gcseg.data.voc import voc
from gcseg.errors import DataError


def scenes(
    root: str | Path,
    split: str,
    *,
    layout: str = "cityscapes",
    train: int = 200,
    val: int = 40,
    height: int = 256,
    width: int = 512,
    seed: int = 0,
    draw: bool = True,
    faults: list[DataError] | None = None,
) -> SegmentationDataset:
    """Read a split of drawn street scenes; on first use they are drawn and written.

    Args:
        root: Folder of all drawn scenes, with one folder for each set of the arguments below.
        split: train or val.
        layout: Arrangement of the files, and reader that reads them: cityscapes or voc.
        train: Number of images in the training split.
        val: Number of images in the validation split.
        height: Height of the images, in pixels.
        width: Width of the images, in pixels.
        seed: Seed of the drawing.
        draw: Whether missing scenes are drawn and written.
        faults: Collects files without a partner, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        ConfigError: An argument is out of range.
        DataError: The scenes are missing and `draw` is false.
        OutputError: The root can't be written.
    """
    folder = write_scenes(
        Path(root),
        layout=layout,
        train=train,
        val=val,
        height=height,
        width=width,
        seed=seed,
        draw=draw,
    )
    if layout == "voc":
        return voc(folder, split, label_space=CITYSCAPES, faults=faults)
    return cityscapes(folder, split, faults=faults)
