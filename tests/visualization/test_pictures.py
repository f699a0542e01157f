"""Pictures: what is where, in which colour."""

import numpy as np
import pytest

from gcseg.data.label_spaces import CITYSCAPES, IGNORE_INDEX, LabelSpace
from gcseg.visualization.lettering import LINE, fitted, text_width
from gcseg.visualization.pictures import contact_sheet, overlay, panel

SPACE = LabelSpace(("sea", "land"), ((0, 0, 255), (0, 255, 0)))


@pytest.fixture
def image():
    return np.full((6, 8, 3), 100, np.uint8)


def test_overlay_mixes_the_class_colour_and_leaves_ignored_pixels(image):
    label = np.zeros((6, 8), np.uint8)
    label[3:] = 1
    label[:, 0] = IGNORE_INDEX
    mixed = overlay(image, label, SPACE)
    assert mixed.shape == image.shape and mixed.dtype == np.uint8
    assert mixed[0, 1].tolist() == [30, 30, 208]  # 0.3 * 100 + 0.7 * colour, rounded half to even
    assert mixed[5, 1].tolist() == [30, 208, 30]
    assert (mixed[:, 0] == 100).all()
    assert (image == 100).all(), "the input is not changed"


def test_panel_is_image_truth_and_prediction_in_a_row(image):
    truth, prediction = np.zeros((6, 8), np.uint8), np.ones((6, 8), np.uint8)
    row = panel(image, truth, prediction, SPACE)
    assert row.shape == (6, 3 * 8 + 2 * 4, 3)
    np.testing.assert_array_equal(row[:, :8], image)
    assert (row[:, 8:12] == 255).all()
    np.testing.assert_array_equal(row[:, 12:20], overlay(image, truth, SPACE))
    np.testing.assert_array_equal(row[:, 24:], overlay(image, prediction, SPACE))


def test_panel_without_truth(image):
    prediction = np.ones((6, 8), np.uint8)
    row = panel(image, None, prediction, SPACE)
    assert row.shape == (6, 2 * 8 + 4, 3)
    np.testing.assert_array_equal(row[:, 12:], overlay(image, prediction, SPACE))


@pytest.mark.parametrize("width", [100, 1280])
def test_contact_sheet_stacks_panels_of_any_size_and_a_legend(width):
    panels = [np.full((10, 20, 3), 50, np.uint8), np.full((30, 20, 3), 150, np.uint8)]
    sheet = contact_sheet(panels, CITYSCAPES, width=width)
    assert sheet.mode == "RGB"
    rows = -(-19 // max(1, width // 160))
    assert sheet.size == (width, width // 2 + 4 + width * 3 // 2 + 4 + rows * 18 + 4)
    pixels = np.asarray(sheet)
    assert (pixels[: width // 2] == 50).all()
    assert (pixels[width // 2 + 4 : width * 2 + 4] == 150).all()
    legend = pixels[width * 2 + 8 :].reshape(-1, 3)
    colors = {tuple(color) for color in legend.tolist()}
    assert set(CITYSCAPES.colors) <= colors, "every class is in the legend"


def test_names_above_the_panels():
    panels = [np.full((20, 200, 3), level, np.uint8) for level in (50, 150)]
    bare = np.asarray(contact_sheet(panels, SPACE, width=200))
    named = np.asarray(contact_sheet(panels, SPACE, width=200, names=["a.png", "b" * 300]))
    assert named.shape[0] == bare.shape[0] + 2 * LINE
    for top in (0, LINE + 24):
        assert (named[top + LINE : top + LINE + 20] == panels[top > 0]).all()
        assert (named[top : top + LINE] == 0).any(), "letters"
        assert (named[top : top + LINE, -4:] == 255).all(), "which end before the border"


@pytest.mark.parametrize("length", [10, 60, 400])
def test_long_names_leave_room_for_their_neighbours(length):
    """Of a class in the legend: it is shortened where it does not fit."""
    space = LabelSpace(("a" * length, "b", "c"), ((9, 9, 9), (0, 255, 0), (0, 0, 255)))
    panels = [np.full((10, 20, 3), 50, np.uint8)]
    legend = np.asarray(contact_sheet(panels, space, width=640))[320 + 4 :]
    alone = LabelSpace(("a", "b", "c"), space.colors)
    short = np.asarray(contact_sheet(panels, alone, width=640))[320 + 4 :]
    marks = [np.argwhere((legend == color).all(2)).min(0) for color in space.colors[1:]]
    for (row, column), mark in zip(marks, "bc", strict=True):
        part = legend[row : row + 12, column : column + 40]
        (there, at) = np.argwhere((short == space.colors["abc".index(mark)]).all(2)).min(0)
        assert (part == short[there : there + 12, at : at + 40]).all(), f"{mark} is covered"


def test_the_middle_of_a_name_is_left_out():
    assert fitted("short", 100) == "short"
    cut = fitted("city/frame_000001_of_a_long_video_left.png", 120)
    start, end = cut.split("...")
    assert "city/frame_000001_of_a_long_video_left.png".startswith(start)
    assert "city/frame_000001_of_a_long_video_left.png".endswith(end) and len(end) > 3
    assert text_width(cut) <= 120 and fitted("anything", 0) == "..."
