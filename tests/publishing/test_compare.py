"""Confusion matrices and checksums, and how they differ."""

import numpy as np
import pytest

from gcseg.errors import WeightsError
from gcseg.publishing import data_files, predictions
from gcseg.publishing.compare import changed_pictures, in_words, moved_pixels
from gcseg.publishing.data_files import DataFile

CLASSES = ("road", "car", "sky")


def test_equal_matrices_need_no_words():
    matrix = np.arange(9).reshape(3, 3)
    assert in_words(matrix, matrix.copy(), CLASSES) == [] and moved_pixels(matrix, matrix) == 0


def test_the_largest_cells_come_first():
    before = np.array([[50, 10, 0], [5, 20, 0], [0, 0, 15]])
    after = np.array([[47, 13, 0], [6, 19, 0], [0, 0, 15]])
    assert moved_pixels(after, before) == 4
    assert in_words(after, before, CLASSES) == [
        "at least 4 of 100 pixels are counted elsewhere (4.000000 %)",
        "4 cells of the matrix: road as road -3, road as car +3, car as road +1, car as car -1",
        "2 classes concerned: road, car",
    ]


def test_a_missing_picture_moves_its_pixels():
    before = np.diag([50, 0, 10])
    assert moved_pixels(np.diag([40, 0, 10]), before) == 10
    assert in_words(before * 0, before, CLASSES)[0].startswith("at least 60 of 60 pixels")


def test_only_pictures_in_both_are_compared():
    assert changed_pictures({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "0", "d": "4"}) == ["b"]


FILES = {("a, 1", "image"): DataFile("x/a.png", "00"), ("a, 1", "label"): DataFile("y/a.png", "11")}


def test_tables_are_read_back(tmp_path):
    assert data_files.of_table(data_files.as_table(FILES), tmp_path) == FILES
    digests = {"a, 1": "00", "b": "11"}
    assert predictions.of_table(predictions.as_table(digests), tmp_path) == digests


@pytest.mark.parametrize("text", ["", "a,b", "name,labels\n1,2,3\n", "name,labels\n1\n"])
def test_a_damaged_table(text, tmp_path):
    with pytest.raises(WeightsError, match="is damaged"):
        predictions.of_table(text, tmp_path)


def test_differences_are_counted_and_the_first_named():
    here = {(str(number), "image"): DataFile("", "0") for number in range(9)}
    there = {key: DataFile("", "1") for key in here}
    assert data_files.differences(here, here) == []
    assert data_files.differences(here, there) == ["9 pictures differ: 0, 1, 2, 3, 4, and 4 more"]
    assert data_files.differences(here, {}) == [
        "9 pictures are not among the published: 0, 1, 2, 3, 4, and 4 more"
    ]
    assert data_files.differences({}, FILES) == [
        "1 picture is missing here: a, 1",
        "1 label is missing here: a, 1",
    ]
