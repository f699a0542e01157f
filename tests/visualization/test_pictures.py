"""Pictures: what is where, in which colour."""

import numpy as np
import pytest

from gcseg.data.label_spaces import CITYSCAPES, IGNORE_INDEX, LabelSpace
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
