"""Label spaces against tables written down independently of the code."""

import numpy as np
import pytest

from gcseg.data.label_spaces import CAMVID, CITYSCAPES, CITYSCAPES_LABEL_IDS, VOC, LabelSpace
from gcseg.errors import ConfigError

# cityscapesScripts, helpers/labels.py: name, id, trainId, color; all labels but the licence plate.
LABELS = [
    ("unlabeled", 0, 255, (0, 0, 0)),
    ("ego vehicle", 1, 255, (0, 0, 0)),
    ("rectification border", 2, 255, (0, 0, 0)),
    ("out of roi", 3, 255, (0, 0, 0)),
    ("static", 4, 255, (0, 0, 0)),
    ("dynamic", 5, 255, (111, 74, 0)),
    ("ground", 6, 255, (81, 0, 81)),
    ("road", 7, 0, (128, 64, 128)),
    ("sidewalk", 8, 1, (244, 35, 232)),
    ("parking", 9, 255, (250, 170, 160)),
    ("rail track", 10, 255, (230, 150, 140)),
    ("building", 11, 2, (70, 70, 70)),
    ("wall", 12, 3, (102, 102, 156)),
    ("fence", 13, 4, (190, 153, 153)),
    ("guard rail", 14, 255, (180, 165, 180)),
    ("bridge", 15, 255, (150, 100, 100)),
    ("tunnel", 16, 255, (150, 120, 90)),
    ("pole", 17, 5, (153, 153, 153)),
    ("polegroup", 18, 255, (153, 153, 153)),
    ("traffic light", 19, 6, (250, 170, 30)),
    ("traffic sign", 20, 7, (220, 220, 0)),
    ("vegetation", 21, 8, (107, 142, 35)),
    ("terrain", 22, 9, (152, 251, 152)),
    ("sky", 23, 10, (70, 130, 180)),
    ("person", 24, 11, (220, 20, 60)),
    ("rider", 25, 12, (255, 0, 0)),
    ("car", 26, 13, (0, 0, 142)),
    ("truck", 27, 14, (0, 0, 70)),
    ("bus", 28, 15, (0, 60, 100)),
    ("caravan", 29, 255, (0, 0, 90)),
    ("trailer", 30, 255, (0, 0, 110)),
    ("train", 31, 16, (0, 80, 100)),
    ("motorcycle", 32, 17, (0, 0, 230)),
    ("bicycle", 33, 18, (119, 11, 32)),
]

# The colours as the VOC 2012 development kit's labels show them.
VOC_COLORS = {
    "background": (0, 0, 0), "aeroplane": (128, 0, 0), "bicycle": (0, 128, 0),
    "bird": (128, 128, 0), "boat": (0, 0, 128), "bottle": (128, 0, 128), "bus": (0, 128, 128),
    "car": (128, 128, 128), "cat": (64, 0, 0), "chair": (192, 0, 0), "cow": (64, 128, 0),
    "diningtable": (192, 128, 0), "dog": (64, 0, 128), "horse": (192, 0, 128),
    "motorbike": (64, 128, 128), "person": (192, 128, 128), "pottedplant": (0, 64, 0),
    "sheep": (128, 64, 0), "sofa": (0, 192, 0), "train": (128, 192, 0), "tvmonitor": (0, 64, 128),
}  # fmt: skip


def test_cityscapes_label_ids_are_cityscapesscripts():
    assert len(LABELS) == 34
    lookup = CITYSCAPES_LABEL_IDS.lookup
    for name, label_id, train_id, color in LABELS:
        assert lookup[label_id] == train_id, name
        if train_id != 255:
            for space in (CITYSCAPES, CITYSCAPES_LABEL_IDS):
                assert space.names[train_id] == name
                assert space.colors[train_id] == color
            assert CITYSCAPES.lookup[train_id] == train_id
    assert set(lookup[34:255]) == {254}, "no other value is known"
    assert lookup[255] == 255
    assert CITYSCAPES.num_classes == 19


def test_voc_names_and_colours():
    assert dict(zip(VOC.names, VOC.colors, strict=True)) == VOC_COLORS
    assert list(VOC.names) == list(VOC_COLORS)


def test_voc_colour_map_beyond_its_classes():
    many = LabelSpace(tuple(str(index) for index in range(254)))
    assert many.colors[:21] == VOC.colors
    assert many.colors[253] == (224, 96, 192)  # 253 is 0b11_111_101
    assert len(set(many.colors)) == 254


def test_camvid_has_eleven_classes_and_void():
    assert CAMVID.num_classes == 11
    assert CAMVID.lookup[:13].tolist() == [*range(11), 255, 254]


def test_palette_covers_every_byte():
    palette = CITYSCAPES.palette
    assert palette.shape == (256, 3) and palette.dtype == np.uint8
    assert palette[18].tolist() == [119, 11, 32]
    assert not palette[19:].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ()}, "^0 classes in the class list: give 2 to 254 names$"),
        ({"names": tuple(map(str, range(255)))}, "^255 classes in the class list"),
        (
            {"names": ("road",)},
            "^the only class in the class list is road, so any network would be right "
            "everywhere: list the background too: {name: background, value: its value in the ma",
        ),
        ({"names": ("a", "b", "a")}, "^class names repeat: a: make each name unique$"),
        ({"names": ("a", 5)}, "^the name of class 2 is an object of type int: give text$"),
        ({"names": ("a", "b\0")}, r"^the name of class 2 has control characters: b\\x00: write"),
        ({"names": ("a", "b"), "colors": ((0, 0, 0),)}, "^1 colours for 2 classes: give one"),
        ({"names": ("a", "b"), "values": {256: 0}}, "^label value 256 in the class list: use 0 "),
        ({"names": ("a", "b"), "ignored": (-1,)}, "^label value -1 in the class list"),
        ({"names": ("a", "b"), "ignored": (0,)}, r"^label values \[0\] are both a class and ign"),
        (
            {"names": ("a", "b"), "values": {0: 0, 255: 1}, "ignored": (255,)},
            r"^label values \[255\] are both a class and ignored: list each value once$",
        ),
    ],
)
def test_impossible_spaces_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        LabelSpace(**arguments)


def test_254_classes_are_possible():
    space = LabelSpace(tuple(map(str, range(254))))
    assert space.lookup[253] == 253
    assert space.lookup[254] == 254 and space.lookup[255] == 255
