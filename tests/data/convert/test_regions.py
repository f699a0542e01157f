"""Run lengths, brush masks and outlines, compared with the tools' own code and with themselves."""

import base64
import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as pycocotools

from gcseg.data.convert import brush, rle
from gcseg.data.convert.outlines import outlines
from gcseg.data.convert.regions import (
    bitmap,
    bitmap_of_png,
    box_corners,
    coco_polygons,
    ellipse_corners,
    opencv_polygon,
    pillow_circle,
    pillow_polygon,
    pillow_rectangle,
    points_of,
)
from gcseg.errors import DataError
from tests import golden
from tests.data.convert.exports import png

GOLDEN = json.loads((Path(golden.__file__).parent / "annotations.json").read_text())


def mask_of(rows):
    return np.array([list(map(int, row)) for row in rows], np.uint8)


def drawn_masks():
    """Random, blocky and smooth ones, of odd sizes, with and without ignored pixels."""
    for seed in range(30):
        random = np.random.default_rng(seed)
        height, width = random.integers(1, 34, 2).tolist()
        values = np.array([0, 1, 2, 255] if seed % 2 else [0, 1, 2], np.uint8)
        mask = random.choice(values, (height, width))
        if seed % 3:
            small = random.choice(values, (height // 4 + 1, width // 4 + 1))
            mask = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
        yield cv2.medianBlur(mask, 3) if seed % 5 == 0 else mask


@pytest.mark.parametrize("case", GOLDEN["masks"])
def test_masks_are_encoded_as_the_tools_do(case):
    mask = mask_of(case["rows"])
    assert brush.encoded(mask) == case["label_studio"]
    assert rle.encoded(mask) == {"size": list(mask.shape), "counts": case["coco"]}
    assert (brush.decoded(case["label_studio"], *mask.shape, "it") == mask).all()
    assert (rle.decoded(case["coco"], *mask.shape, "it", by_rows=False) == mask).all()


@pytest.mark.parametrize("case", GOLDEN["labelme"])
def test_shapes_are_drawn_as_labelme_does(case):
    points = np.array(case["points"])
    (left, top), (right, bottom) = points.min(0), points.max(0)
    draw = {
        "polygon": lambda: pillow_polygon(points),
        "rectangle": lambda: pillow_rectangle(left, top, right, bottom),
        "circle": lambda: pillow_circle(*points[0], np.hypot(*(points[0] - points[1]))),
    }[case["shape_type"]]()
    assert (draw(23, 31) == mask_of(case["rows"])).all()


@pytest.mark.parametrize("case", GOLDEN["coco"])
def test_polygons_are_drawn_as_coco_does(case):
    assert (coco_polygons([np.array(case["points"])])(23, 31) == mask_of(case["rows"])).all()


@pytest.mark.parametrize("border", ["edges", "centres"])
def test_masks_come_back_from_their_outlines(border):
    for mask in drawn_masks():
        drawn = np.full_like(mask, 255)
        for value, points in outlines(mask, border, 0):
            while len(points) < 3:
                points = np.concatenate([points, points[-1:]])
            draw = coco_polygons([points]) if border == "edges" else pillow_polygon(points)
            drawn[draw(*mask.shape) != 0] = value
        assert (drawn == mask).all(), mask


def test_a_tolerance_saves_corners():
    inside = cv2.circle(np.zeros((200, 200), np.uint8), (100, 100), 80, 1, -1)
    counts = [sum(len(points) for _, points in outlines(inside, "edges", tolerance))
              for tolerance in (0, 1, 3)]  # fmt: skip
    assert counts[0] > 4 * counts[1] > 4 * counts[2]


@pytest.mark.parametrize("border", ["edges", "centres"])
@pytest.mark.parametrize("tolerance", [1, 3])
def test_a_tolerance_loses_nothing_at_the_edge_of_the_picture(border, tolerance):
    """Bands in waves that meet all four edges, and a line of one pixel along the edge."""
    x, y = np.meshgrid(np.arange(97), np.arange(61))
    mask = ((x + y + 6 * np.sin(x / 7) + 5 * np.cos(y / 5)) // 23).astype(np.uint8)
    mask[0, 30:50] = 9
    drawn = np.full_like(mask, 255)
    for value, points in outlines(mask, border, tolerance):
        draw = coco_polygons([points]) if border == "edges" else pillow_polygon(points)
        drawn[draw(*mask.shape) != 0] = value
    edge = np.ones(mask.shape, bool)
    edge[1:-1, 1:-1] = False
    assert not (edge & (drawn == 255)).any()
    assert (drawn != mask)[edge].mean() < 0.08 * tolerance
    assert 0.9 < (drawn == mask).mean() < 1


def test_run_lengths_come_back():
    for seed in range(20):
        random = np.random.default_rng(seed)
        mask = (random.random(random.integers(1, 40, 2)) < random.random()).astype(np.uint8)
        found = rle.encoded(mask)
        assert (rle.decoded(found["counts"], *mask.shape, "it", by_rows=False) == mask).all()
        plain = pycocotools.frPyObjects(
            {"size": list(mask.shape), "counts": rle.unpacked(found["counts"], "it")}, *mask.shape
        )
        assert (pycocotools.decode(plain) == mask).all()
        rows = list(rle.runs_by_rows(mask))
        assert (rle.decoded(rows, *mask.shape, "it", by_rows=True) == mask).all()
        assert (brush.decoded(brush.encoded(mask), *mask.shape, "it") == mask).all()


def test_brush_masks_with_single_values():
    """Label Studio's own front end writes blocks of different values, which ours never does."""
    bits = f"{2 * 4:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    values = [0, 0, 0, 0, 9, 9, 9, 200]
    bits += "000" + f"{7:03b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    content = list(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    assert brush.decoded(content, 1, 2, "it").tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([3, 2], "run lengths of 5 pixels, and not of 4x4"),
        ([-1, 17], "no whole numbers from 0"),
        ([16.0], "no whole numbers from 0"),
        ([True] * 16, "no whole numbers from 0"),
        (None, "no whole numbers from 0"),
        ("1", "run lengths of 1 pixels"),
        ("o", "cut off"),
        ("o" * 60, "can't be read"),
        ("\x7f", "can't be read"),
        ("é", "run lengths"),
    ],
)
def test_wrong_run_lengths(counts, message):
    with pytest.raises(DataError, match=message):
        rle.decoded(counts, 4, 4, "it", by_rows=False)


@pytest.mark.parametrize(
    "content", [None, [], [1, 2], ["a"] * 20, [256] * 20, [0, 0, 0, 64, 60, 153, 191], "x" * 40]
)
def test_wrong_brush_masks(content):
    with pytest.raises(DataError, match="it has a brush mask"):
        brush.decoded(content, 4, 4, "it")


def test_cut_off_brush_masks_say_so():
    whole = brush.encoded(np.eye(9, dtype=np.uint8))
    with pytest.raises(DataError, match="it is cut off"):
        brush.decoded(whole[:20], 9, 9, "it")
    with pytest.raises(DataError, match="81 pixels, and not of 9x8"):
        brush.decoded(whole, 9, 8, "it")


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1, 2, 3], "no pairs of numbers"),
        ([[1, 2, 3]], "no pairs of numbers"),
        ([["a", "b"]], "no pairs of numbers"),
        ({"x": 1}, "no pairs of numbers"),
        ([[float("nan"), 1]], "no finite number"),
        ([[10**400, 1]], "no pairs of numbers"),
        ([[0, 0], [1e8, 0]], "far outside"),
        ([[0, 0], [9e4, 0]] * 40, "outline of over"),
    ],
)
def test_wrong_points(numbers, message):
    with pytest.raises(DataError, match=message):
        points_of(numbers, "it")


def test_holes_of_polygons():
    ring = np.array([(1, 1), (8, 1), (8, 8), (1, 8)], float)
    hole = np.array([(3, 3), (6, 3), (6, 6), (3, 6)], float)
    mask = opencv_polygon(ring, [hole])(10, 10)
    assert mask.sum() == 8 * 8 - 4 * 4 and not mask[3:7, 3:7].any()


def test_bitmaps_are_clipped():
    draw, bounds = bitmap(np.ones((3, 4), np.uint8), -2, 5)
    assert bounds == (-2, 5, 2, 8)
    mask = draw(7, 6)
    assert mask.sum() == 4 and mask[5:, :2].all()
    assert not bitmap(np.ones((2, 2), np.uint8), 9, 9)[0](5, 5).any()


def test_bitmaps_of_pngs():
    inside = np.eye(4, dtype=np.uint8)
    four = np.zeros((4, 4, 4), np.uint8)
    four[..., 3] = 255 * inside
    for array in (255 * inside, four):
        text = base64.b64encode(zlib.compress(png(array))).decode()
        assert (bitmap_of_png(text, "it", most=16, packed=True) == inside).all()
    with pytest.raises(DataError, match="4x4, larger than its picture"):
        bitmap_of_png(text, "it", most=15, packed=True)
    bomb = base64.b64encode(zlib.compress(bytes(10**7))).decode()
    for wrong in ("?", "aGFsbG8=", bomb, None):
        with pytest.raises(DataError, match="it has a bitmap that can't be read"):
            bitmap_of_png(wrong, "it", most=16, packed=True)


def test_turned_boxes_and_ellipses():
    corners = box_corners(0, 0, 4, 2, 90, pivot="corner")
    assert np.allclose(corners, [(0, 0), (0, 4), (-2, 4), (-2, 0)])
    assert np.allclose(box_corners(0, 0, 4, 2, 90, pivot="centre")[0], (3, -1))
    mask = coco_polygons([ellipse_corners(20, 15, 12, 6, 0)])(30, 40)
    assert abs(mask.sum() - np.pi * 12 * 6) < 6
    assert (coco_polygons([ellipse_corners(20, 15, 6, 12, 90)])(30, 40) == mask).mean() > 0.99
