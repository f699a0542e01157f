"""A dataset of plausible pictures in two layouts, whole or with one fault of each kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

NAMES = ("ground", "house", "tree", "lake", "mill")
HEIGHT, WIDTH = 48, 64
COUNTS = {"train": 400, "val": 100}


@dataclass(frozen=True)
class Layout:
    """Where a layout keeps its files: formats with `split` and `name`."""

    image: str
    label: str

    def files(self, root: Path, split: str, index: int) -> tuple[Path, Path]:
        named = {"split": split, "name": f"{split}_{index:03d}"}
        return root / self.image.format(**named), root / self.label.format(**named)


FOLDER = Layout("images/{split}/{name}.png", "labels/{split}/{name}.png")
VOC = Layout(
    "VOCdevkit/VOC2012/JPEGImages/{name}.jpg", "VOCdevkit/VOC2012/SegmentationClass/{name}.png"
)


def draw(random: np.random.Generator, classes: int = len(NAMES)):
    """Boxes and discs in front of a ground, and their label."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    for value in 1 + random.permutation(np.arange(2 * (classes - 1)) % (classes - 1)):
        y, x = int(random.integers(HEIGHT)), int(random.integers(WIDTH))
        if value % 2:
            size = random.integers(6, 24, 2)
            cv2.rectangle(label, (x, y), (x + int(size[0]), y + int(size[1])), int(value), -1)
        else:
            cv2.circle(label, (x, y), int(random.integers(4, 10)), int(value), -1)
    colors = random.integers(0, 256, (len(NAMES), 3))
    image = colors[label] + random.normal(0, 12, (HEIGHT, WIDTH, 3))
    label[:1, :4] = 255
    return np.clip(image, 0, 255).astype(np.uint8), label


def write_image(path: Path, image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])


def write_label(path: Path, label) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), label)


def write_tree(
    root: Path, layout: Layout, counts=COUNTS, seed: int = 0, val_classes: int = len(NAMES)
) -> Path:
    """Write a whole dataset."""
    random = np.random.default_rng(seed)
    for split, count in counts.items():
        for index in range(count):
            image, label = draw(random, val_classes if split == "val" else len(NAMES))
            image_file, label_file = layout.files(root, split, index)
            write_image(image_file, image)
            write_label(label_file, label)
        if layout is VOC:
            listing = root / "VOCdevkit/VOC2012/ImageSets/Segmentation" / f"{split}.txt"
            listing.parent.mkdir(parents=True, exist_ok=True)
            listing.write_text("".join(f"{split}_{index:03d}\n" for index in range(count)))
    (root / "classes.yaml").write_text(f"classes: [{', '.join(NAMES)}]\n")
    return root


@dataclass
class Planted:
    """The files at fault by kind, as sets, one for each finding."""

    root: Path
    files: dict[str, list[set[Path]]] = field(default_factory=dict)

    def add(self, kind: str, *files: Path) -> None:
        self.files.setdefault(kind, []).append(set(files))


def plant(root: Path, layout: Layout, step: int, absent: bool = True) -> Planted:
    """Spoil every `step`-th pair of a training split in another way."""
    planted = Planted(root)
    pairs = (layout.files(root, "train", 3 + step * k) for k in range(100))

    image, label = next(pairs)
    cv2.imwrite(str(label), cv2.imread(str(label), cv2.IMREAD_UNCHANGED)[:-4])
    planted.add("size mismatch", image, label)

    (image, label), (other_image, other_label) = next(pairs), next(pairs)
    content = label.read_bytes()
    label.write_bytes(other_label.read_bytes())
    other_label.write_bytes(content)
    planted.add("swapped labels", image, label, other_image, other_label)

    image, label = next(pairs)
    content = label.read_bytes()
    label.write_bytes(image.read_bytes())
    image.write_bytes(content)
    planted.add("swapped files", image, label)

    image, label = next(pairs)
    values = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
    values[10:12, 10:13] = 200
    cv2.imwrite(str(label), values)
    planted.add("label value", label)

    image, label = next(pairs)
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    planted.add("unreadable image", image)
    image, label = next(pairs)
    label.write_bytes(label.read_bytes()[:-10])
    planted.add("unreadable label", label)
    image, label = next(pairs)
    image.write_bytes(image.read_bytes()[:100])
    label.write_bytes(b"")
    planted.add("unreadable image", image)
    planted.add("unreadable label", label)

    image, label = next(pairs)
    label.unlink()
    planted.add("missing label", label if layout is VOC else image)
    image, label = next(pairs)
    image.unlink()
    planted.add("missing image", image if layout is VOC else label)

    (image, label), (val_image, val_label) = next(pairs), layout.files(root, "val", 5)
    val_image.write_bytes(image.read_bytes())
    write_label(val_label, np.minimum(cv2.imread(str(label), cv2.IMREAD_UNCHANGED) % 255, 3))
    planted.add("picture in two splits", image, val_image)

    (image, label), (again, again_label) = next(pairs), next(pairs)
    again.write_bytes(image.read_bytes())
    again_label.write_bytes(label.read_bytes())
    planted.add("picture twice", image, again)

    image, label = next(pairs)
    values = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
    write_label(label, np.dstack([values, values // 2, 255 - values]))
    planted.add("not an index mask", label)
    image, label = next(pairs)
    write_label(label, cv2.imread(str(label), cv2.IMREAD_UNCHANGED).astype(np.uint16) * 257)
    planted.add("not an index mask", label)

    image, label = next(pairs)
    wide = cv2.imread(str(image)).astype(np.uint16) * 257
    image.write_bytes(cv2.imencode(".png", wide)[1].tobytes())
    planted.add("16-bit image", image)

    image, label = next(pairs)
    clear = cv2.imread(str(image), cv2.IMREAD_COLOR)
    clear = np.dstack([clear, np.where(np.arange(WIDTH) < 16, 0, 255)[None].repeat(HEIGHT, 0)])
    image.write_bytes(cv2.imencode(".png", clear.astype(np.uint8))[1].tobytes())
    planted.add("transparent image", image)

    image, label = next(pairs)
    bands = np.dstack([cv2.imread(str(image)), np.full((HEIGHT, WIDTH), 9, np.uint8)])
    Image.fromarray(bands, "RGBX").save(image, "TIFF")
    planted.add("fourth channel", image)

    for orientation in (3, 6):  # upside down: of one size; and on its side: the label is not
        image, label = next(pairs)
        turned, exif = Image.open(image).convert("RGB"), Image.Exif()
        exif[0x0112] = orientation
        turned.save(image, "JPEG", exif=exif, quality=95)
        planted.add("rotated image", image, label)

    image, label = next(pairs)
    write_label(label, np.full((HEIGHT, WIDTH), 255, np.uint8))
    planted.add("ignored label", label)

    if absent:
        planted.add("absent class")
    return planted
