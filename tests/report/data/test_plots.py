"""Plots of a split's statistics."""

import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from gcseg.data.label_spaces import CAMVID, LabelSpace
from gcseg.data.statistics import ClassStatistics, Statistics
from gcseg.errors import OutputError
from gcseg.report.data.plots import write_plots

ONE_SIZE = {(360, 480): 10}


def statistics(space=CAMVID, sizes=ONE_SIZE, pixels=None):
    count = space.num_classes
    pixels = tuple(10 ** (index % 6) for index in range(count)) if pixels is None else pixels
    having = tuple(10 if number else 0 for number in pixels)
    classes = ClassStatistics(space, 10, pixels, 5, having, tuple(10 * n for n in pixels))
    return Statistics((0.4,) * 3, (0.2,) * 3, sizes, classes)


def texts(path):
    """What the SVG's comments, one above each text, say."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.parse(path, parser).getroot()
    return [e.text.strip() for e in root.iter() if e.tag is ElementTree.Comment]


def test_bars_in_the_classes_colours(tmp_path):
    png, svg = write_plots(statistics(), tmp_path / "new", "camvid")
    assert (png, svg) == (tmp_path / "new/statistics.png", tmp_path / "new/statistics.svg")
    with Image.open(png) as image:
        colors = {color for _, color in image.convert("RGB").getcolors(1 << 24)}
    assert set(CAMVID.colors) <= colors
    said = texts(svg)
    assert set(CAMVID.names) <= set(said)
    assert "camvid: 10 images" in said
    order = [name for name in said if name in CAMVID.names]
    assert order[0] == "tree", "the most frequent comes first"
    assert not any("sizes" in text for text in said), "all images have one size"
    assert sorted(path.name for path in png.parent.iterdir()) == [png.name, svg.name]


def test_many_classes_go_into_columns(tmp_path):
    space = LabelSpace(tuple(f"class {index}" for index in range(101)))
    wide, svg = write_plots(statistics(space), tmp_path, "many")
    assert set(space.names) <= set(texts(svg))
    with Image.open(wide) as image:
        assert image.height < 1000
        assert image.width > 1500


def test_sizes_are_plotted_if_they_vary(tmp_path):
    sizes = {(360, 480): 10, (720, 960): 5, (100, 90): 1}
    _, svg = write_plots(statistics(sizes=sizes), tmp_path, "varied")
    assert {"3 sizes", "width, pixels", "height, pixels"} <= set(texts(svg))


@pytest.mark.filterwarnings("error:Glyph", "error:Data has no positive values")
def test_awkward_names_and_classes_that_never_occur(tmp_path):
    space = LabelSpace(("$x^2$ and $", "名前", "n" * 60))
    _, svg = write_plots(statistics(space, pixels=(0, 0, 0)), tmp_path, "$a_1$")
    said = texts(svg)
    assert {r"$x^2$ and $", f"{'n' * 27}…", "$a_1$: 10 images"} <= set(said)
    assert said.count("never") == 6, "of pixels and of images, for each class"


def test_without_labels_the_sizes_are_all_there_is(tmp_path):
    without = Statistics((0.4,) * 3, (0.2,) * 3, {(10, 20): 1}, None)
    png, svg = write_plots(without, tmp_path, "plain")
    assert {"plain: 1 image", "1 size"} <= set(texts(svg))
    with Image.open(png) as image:
        assert np.asarray(image.convert("L")).min() < 128


def test_the_state_that_callers_share_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    write_plots(statistics(), tmp_path, "x")
    assert "matplotlib.pyplot" not in sys.modules


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"statistics\.png can't be written"):
        write_plots(statistics(), tmp_path / "file", "x")
