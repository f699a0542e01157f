"""Tiny datasets on disk, one in each layout, and the files that they are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gcseg.data.label_spaces import CITYSCAPES_TRAIN_IDS
from gcseg.data.scenes import write_scenes

COUNTS = {"train": 3, "val": 2, "test": 1}


def write(path: Path, array, palette=None) -> Path:
    """Write an array as an image file, in a palette's colours if one is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(array, np.uint8))
    if palette is not None:
        image.putpalette(np.asarray(palette, np.uint8).tobytes())
    image.save(path)
    return path


def picture(seed: int, height: int = 20, width: int = 24):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def mask(seed: int, values, height: int = 20, width: int = 24):
    return np.random.default_rng(1000 + seed).choice(np.array(values, np.uint8), (height, width))


def cityscapes_tree(root: Path, *, train_ids: bool = False) -> Path:
    """Cityscapes' folders; with train_ids, label files as csCreateTrainIdLabelImgs leaves them."""
    folder = write_scenes(root, height=32, width=48, **COUNTS)
    for path in folder.glob("gtFine/*/*/*_labelIds.png") if train_ids else ():
        ids = np.asarray(Image.open(path))
        table = [CITYSCAPES_TRAIN_IDS.get(value, 255) for value in range(256)]
        write(path.with_name(path.name.replace("labelIds", "labelTrainIds")), np.array(table)[ids])
        path.unlink()
    return folder


def voc_tree(root: Path) -> Path:
    return write_scenes(root, layout="voc", height=44, width=48, **COUNTS)


def camvid_tree(root: Path) -> Path:
    for split, count in COUNTS.items():
        for index in range(count):
            write(root / split / f"0001TP_{index:06d}.png", picture(index))
            write(root / f"{split}annot" / f"0001TP_{index:06d}.png", mask(index, range(12)))
    return root


def ade20k_tree(root: Path) -> Path:
    """ADEChallengeData2016 with values 0, 1, 2, 75 and 150 in its annotations; release_test."""
    data = root / "ADEChallengeData2016"
    for split, short in {"training": "train", "validation": "val"}.items():
        for index in range(COUNTS[short]):
            name = f"ADE_{short}_{index + 1:08d}"
            write(data / "images" / split / f"{name}.jpg", picture(index, 48, 64))
            label = mask(index, (0, 1, 2, 75, 150), 12, 16).repeat(4, axis=0).repeat(4, axis=1)
            write(data / "annotations" / split / f"{name}.png", label)
    for index in range(COUNTS["test"]):
        name = f"ADE_test_{index + 1:08d}.jpg"
        write(root / "release_test" / "testing" / name, picture(index, 48, 64))
    return root


def folder_tree(root: Path) -> Path:
    """Images and masks in subfolders, with a class list that has values and colours of its own."""
    (root / "classes.yaml").write_text(
        "classes:\n"
        "  - {name: sea, value: 10, color: [0, 0, 255]}\n"
        "  - {name: land, value: 20, color: [0, 255, 0]}\n"
        "  - {name: ship, value: 7, color: [255, 0, 0]}\n"
        "ignore: [0, 99]\n"
    )
    for split, count in COUNTS.items():
        for index in range(count):
            name = f"site{index % 2}/tile.{index}"
            write(root / "images" / split / f"{name}.{'jpg' if index else 'PNG'}", picture(index))
            if split != "test":
                write(root / "labels" / split / f"{name}.png", mask(index, (10, 20, 7, 0, 99, 255)))
    return root
