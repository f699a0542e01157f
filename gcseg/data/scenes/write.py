"""A folder of drawn scenes in the layout of a public dataset, written once."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from gcseg.data.label_spaces import CITYSCAPES_TRAIN_IDS, IGNORE_INDEX, VOC
from gcseg.data.scenes.canvas import Bytes
from gcseg.data.scenes.draw import SMALLEST, draw_scene
from gcseg.errors import ConfigError, DataError, OutputError

Files = dict[str, bytes]
"""Content of each file, by path inside the dataset's folder."""

_VERSION = 1
"""Part of the folder's name; increase it when a change alters the pictures."""

_SPLITS = ("train", "val", "test")
_CITIES = {
    "train": ("aldenburg", "brunnhagen", "corvik"),
    "val": ("dorrstadt", "elmeth"),
    "test": ("farnau",),
}
_VOC_YEARS = {"train": 2010, "val": 2011, "test": 2012}
_VOC_VOID_COLOR = (224, 224, 192)


def write_scenes(
    root: str | Path,
    *,
    layout: str = "cityscapes",
    train: int = 200,
    val: int = 40,
    test: int = 0,
    height: int = 256,
    width: int = 512,
    seed: int = 0,
    draw: bool = True,
) -> Path:
    """Write drawn scenes as a dataset, unless the same ones were written before.

    A scene depends on the seed, its split, its number and the size, not on how many there are.
    The `voc` layout uses Cityscapes train ids as palette indices, ignored pixels are 255, and
    its images vary from three quarters of `height` and `width` up to them. Test images have no
    labels.

    Args:
        root: Folder in which the dataset gets a subfolder named after the parameters.
        layout: `cityscapes` (`leftImg8bit/` and `gtFine/` with `_labelIds.png`) or `voc`
            (`VOCdevkit/VOC2012/` with palette PNGs, also as the augmented `trainaug` list).
        train: Number of training images.
        val: Number of validation images.
        test: Number of images without labels.
        height: Height of the images in pixels, at least 32.
        width: Width of the images in pixels, at least 32.
        seed: Seed of all random choices, at least 0.
        draw: Whether missing scenes are drawn and written.

    Returns:
        The dataset's folder: the one that holds `leftImg8bit` or `VOCdevkit`.

    Raises:
        ConfigError: A parameter is out of range.
        DataError: The scenes are missing and `draw` is false.
        OutputError: The files can't be written.
    """
    counts = {"train": train, "val": val, "test": test}
    _check(layout, counts, height, width, seed)
    held_out = f"+{test}" if test else ""
    name = f"{layout}-{height}x{width}-{train}+{val}{held_out}-s{seed}-v{_VERSION}"
    target = Path(root) / name
    if _is_folder(target):
        return target
    if not draw:
        raise DataError(
            f"there are no drawn scenes in {target}, and a checkpoint's settings draw none",
            "give dataset=scenes on the command line, or dataset.root= the folder with the scenes",
        )

    def write(draft: Path) -> None:
        _write_files(draft, _LISTS[layout](counts))
        for split, count in counts.items():
            for index in range(count):
                _write_files(draft, _ENCODERS[layout](split, index, height, width, seed))

    _write_folder(target, write)
    return target


def _write_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Write a folder that appears in one step, when it is finished.

    So the final name never belongs to half a dataset, even if this process is killed or another
    one writes the same.

    Raises:
        OutputError: A file can't be written.
    """
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        draft.mkdir(parents=True)
        write(draft)
        draft.rename(target)
    except OSError as error:
        if _is_folder(target):  # another process was first
            return
        raise OutputError(
            f"the street scenes can't be written to {target} ({error.strerror or error})",
            "choose a writable folder with enough free space",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_folder(path: Path) -> bool:
    """Return whether a folder exists; False if it can't be examined, as writing fails then too."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _check(layout: str, counts: Mapping[str, int], height: int, width: int, seed: int) -> None:
    """Raise ConfigError for parameters that no dataset can have."""
    if layout not in _ENCODERS:
        raise ConfigError(
            f"street scenes have layout={layout!r}", f"use one of {', '.join(_ENCODERS)}"
        )
    for name, value in counts.items():
        if value < 0:
            raise ConfigError(f"street scenes have {name}={value}", "use 0 or more images")
    if not sum(counts.values()):
        raise ConfigError(
            "street scenes have train=0, val=0 and test=0", "ask for at least one image"
        )
    for name, value in (("height", height), ("width", width)):
        if value < SMALLEST:
            raise ConfigError(
                f"street scenes have {name}={value}", f"use at least {SMALLEST} pixels"
            )
    if seed < 0:
        raise ConfigError(f"street scenes have seed={seed}", "use 0 or more")


def _scene_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """Return the random generator of one scene, independent of scenes drawn before it."""
    return np.random.default_rng([seed, _SPLITS.index(split), index])


def _encode_cityscapes(split: str, index: int, height: int, width: int, seed: int) -> Files:
    """Encode one scene's image and, outside of test, its label ids."""
    image, label = draw_scene(_scene_rng(seed, split, index), height, width)
    city = _CITIES[split][index % len(_CITIES[split])]
    stem = f"{split}/{city}/{city}_{index:06d}_000019"
    files = {f"leftImg8bit/{stem}_leftImg8bit.png": _encode_png(image[..., ::-1])}
    if split != "test":
        files[f"gtFine/{stem}_gtFine_labelIds.png"] = _encode_png(label)
    return files


def _encode_voc(split: str, index: int, height: int, width: int, seed: int) -> Files:
    """Encode one scene's JPEG and, outside of test, its train ids in both label folders."""
    rng = _scene_rng(seed, split, index)
    height, width = (
        int(rng.integers(max(SMALLEST, size * 3 // 4), size + 1)) for size in (height, width)
    )
    image, label = draw_scene(rng, height, width)
    name = _voc_name(split, index)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    jpeg = cv2.imencode(".jpg", image[..., ::-1], quality)[1].tobytes()
    files = {f"{_VOC}/JPEGImages/{name}.jpg": jpeg}
    if split != "test":
        indices = _TRAIN_ID_TABLE[label]
        files[f"{_VOC}/SegmentationClass/{name}.png"] = _encode_palette_png(indices)
        # The augmented annotations come without a palette.
        files[f"{_VOC}/SegmentationClassAug/{name}.png"] = _encode_png(indices)
    return files


def _list_voc(counts: Mapping[str, int]) -> Files:
    """Return the split lists, one name per line."""
    names = {
        split: [_voc_name(split, index) for index in range(count)]
        for split, count in counts.items()
    }
    names["trainval"] = names["train"] + names["val"]
    names["trainaug"] = names["train"]
    return {
        f"{_VOC}/ImageSets/Segmentation/{name}.txt": "".join(f"{stem}\n" for stem in stems).encode()
        for name, stems in names.items()
        if stems
    }


def _voc_name(split: str, index: int) -> str:
    """Return a VOC image's name, unique over the splits."""
    return f"{_VOC_YEARS[split]}_{index:06d}"


def _encode_png(array: Bytes) -> bytes:
    """Encode a grey (H x W) or BGR (H x W x 3) array as PNG."""
    return bytes(cv2.imencode(".png", array)[1].tobytes())


def _encode_palette_png(indices: Bytes) -> bytes:
    """Encode class indices (H x W) as a PNG in the VOC colours."""
    palette = VOC.palette.copy()
    palette[IGNORE_INDEX] = _VOC_VOID_COLOR
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _write_files(folder: Path, files: Files) -> None:
    """Write each file and the folders that contain it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _train_id_table() -> Bytes:
    """Return the train id of each label id, 256 of them."""
    table = np.full(256, IGNORE_INDEX, np.uint8)
    for label_id, train_id in CITYSCAPES_TRAIN_IDS.items():
        table[label_id] = train_id
    return table


_TRAIN_ID_TABLE = _train_id_table()
_VOC = "VOCdevkit/VOC2012"
_ENCODERS: dict[str, Callable[[str, int, int, int, int], Files]] = {
    "cityscapes": _encode_cityscapes,
    "voc": _encode_voc,
}
_LISTS: dict[str, Callable[[Mapping[str, int]], Files]] = {
    "cityscapes": lambda counts: {},
    "voc": _list_voc,
}
