"""Label spaces: the classes of a dataset, and the class index of each value in its label files."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gcseg.data.color_masks import ColorKey
from gcseg.errors import ConfigError
from gcseg.system.text import printable, shown

IGNORE_INDEX = 255
"""Class index of pixels that are neither trained on nor scored, as in every framework.

The value 255 of label files means the same, unless a class takes it.
"""

UNKNOWN = 254
"""Entry of the lookup table for values outside the label space, so that they can be found."""


_UNSEEN = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, halves of characters, and separators of lines."""


def _distinct_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """The PASCAL VOC colour map (devkit, VOClabelcolormap): class bits spread over R, G and B."""
    colors = []
    for index in range(count):
        r = g = b = 0
        for bit in range(8):
            shift = 7 - bit
            r |= (index >> (3 * bit) & 1) << shift
            g |= (index >> (3 * bit + 1) & 1) << shift
            b |= (index >> (3 * bit + 2) & 1) << shift
        colors.append((r, g, b))
    return tuple(colors)


def _check_name(number: int, name: object) -> None:
    """Check that a class's name is text that can be shown; `number` is its position from 1.

    Raises:
        ConfigError: The name is no text, is empty or has control characters.
    """
    if not isinstance(name, str):
        raise ConfigError(f"the name of class {number} is {shown(name)}", "give text")
    if not name.strip():
        raise ConfigError(f"the name of class {number} is empty", "give each class a name")
    if any(unicodedata.category(one) in _UNSEEN for one in name):
        raise ConfigError(
            f"the name of class {number} has control characters: {shown(name)}",
            "write it with letters, digits, spaces and signs",
        )


@dataclass(frozen=True)
class LabelSpace:
    """Names and colours of the classes, and the file values that stand for them.

    Args:
        names: Class names; a class's index is its position.
        colors: RGB (0..255) per class; the PASCAL VOC colour map where empty.
        values: File value to class index; the identity over the classes where empty.
        ignored: File values that mean "ignore"; 255 does too, unless it is the value of a class.
        key: Meaning of colours where label files hold colours; None where they hold values.

    Raises:
        ConfigError: Fewer than two classes, too many, a repeated name, or values that do not fit a
            byte.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] = ()
    values: Mapping[int, int] = field(default_factory=dict)
    ignored: tuple[int, ...] = ()
    key: ColorKey | None = None

    def __post_init__(self) -> None:
        """Fill in the defaults and check that the table is consistent."""
        count = len(self.names)
        for number, name in enumerate(self.names, 1):
            _check_name(number, name)
        if count == 1:
            # Any network would then be right everywhere.
            value = self.ignored[0] if self.ignored else "its value in the masks"
            raise ConfigError(
                f"the only class in the class list is {printable(self.names[0])}, so any "
                "network would be right everywhere",
                f"list the background too: {{name: background, value: {value}}}",
            )
        if not 2 <= count <= UNKNOWN:
            raise ConfigError(f"{count} classes in the class list", f"give 2 to {UNKNOWN} names")
        if repeated := sorted({n for n in self.names if self.names.count(n) > 1}):
            raise ConfigError(
                f"class names repeat: {printable(', '.join(repeated))}", "make each name unique"
            )
        if not self.colors:
            object.__setattr__(self, "colors", _distinct_colors(count))
        if len(self.colors) != count:
            raise ConfigError(
                f"{len(self.colors)} colours for {count} classes", "give one colour per class"
            )
        if not self.values:
            object.__setattr__(self, "values", {index: index for index in range(count)})
        for value in (*self.values, *self.ignored):
            if not 0 <= value <= IGNORE_INDEX:
                raise ConfigError(
                    f"label value {shown(str(value))} in the class list", "use 0 to 255"
                )
        if both := sorted(set(self.values) & set(self.ignored)):
            raise ConfigError(
                f"label values {both} are both a class and ignored",
                "list each value once",
            )

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return len(self.names)

    @property
    def ignored_values(self) -> tuple[int, ...]:
        """The file values that mean "ignore", sorted; none where a class takes 255."""
        usual = () if IGNORE_INDEX in self.values else (IGNORE_INDEX,)
        return tuple(sorted({*self.ignored, *usual}))

    @property
    def palette(self) -> npt.NDArray[np.uint8]:
        """256 x 3 RGB colours by class index; ignored pixels are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: self.num_classes] = self.colors
        return palette

    @property
    def lookup(self) -> npt.NDArray[np.uint8]:
        """256 class indices by file value: `IGNORE_INDEX` ignored, `UNKNOWN` not in the space."""
        table = np.full(256, UNKNOWN, np.uint8)
        for value, index in self.values.items():
            table[value] = index
        table[list(self.ignored_values)] = IGNORE_INDEX
        return table


# Source: cityscapesScripts, helpers/labels.py; values without a train id are ignored.
CITYSCAPES_TRAIN_IDS: dict[int, int] = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9,
    23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18,
}  # fmt: skip

_CITYSCAPES_NAMES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
    "motorcycle", "bicycle",
)  # fmt: skip

_CITYSCAPES_COLORS = (
    (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153),
    (153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152),
    (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100),
    (0, 80, 100), (0, 0, 230), (119, 11, 32),
)  # fmt: skip

CITYSCAPES = LabelSpace(_CITYSCAPES_NAMES, _CITYSCAPES_COLORS, ignored=(IGNORE_INDEX,))
"""The 19 evaluated classes, as train ids (`*_labelTrainIds.png`)."""

CITYSCAPES_LABEL_IDS = LabelSpace(
    _CITYSCAPES_NAMES,
    _CITYSCAPES_COLORS,
    values=CITYSCAPES_TRAIN_IDS,
    ignored=tuple(value for value in range(34) if value not in CITYSCAPES_TRAIN_IDS),
)
"""The same classes, as label ids 0 to 33 (`*_labelIds.png`)."""

VOC = LabelSpace(
    (
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat",
        "chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant",
        "sheep", "sofa", "train", "tvmonitor",
    ),
    ignored=(IGNORE_INDEX,),
)  # fmt: skip
"""PASCAL VOC 2012: 20 objects and the background."""

# Source: Badrinarayanan et al., "SegNet", TPAMI 2017: 11 classes, value 11 is unlabelled.
CAMVID = LabelSpace(
    (
        "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car",
        "pedestrian", "bicyclist",
    ),
    (
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222),
        (128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
    ignored=(11,),
)  # fmt: skip
