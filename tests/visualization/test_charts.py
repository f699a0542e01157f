"""Charts: SVG that is well formed, says what it shows, and has the page's colours."""

import base64
import re
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from gcseg.visualization.charts import (
    COLORS,
    Mark,
    Series,
    bar_chart,
    heatmap,
    line_chart,
    normalised,
    reliability_chart,
    thinned,
)

EVIL = "a<b>&\"$x_1$' \udcff"


def words(svg):
    """The texts of a chart, which is well formed and has no size of its own."""
    root = ElementTree.fromstring(svg)
    assert root.get("viewBox")
    assert root.get("width") is None
    assert root.get("role") == "img"
    assert root.get("aria-label") == root[0].text
    assert not re.search("#0[1-9]0[1-9]0[1-9]", svg), "every colour of the page is put in"
    assert "currentColor" in svg
    return ["".join(text.itertext()).strip() for text in root.iter() if text.tag.endswith("}text")]


ODD = [float("nan"), float("inf"), -1e308, 1e308, 5e-324, 1e100, 0.0, 0.5]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("log_y", [False, True])
def test_numbers_that_no_axis_holds_are_gaps_without_a_word(log_y, caplog):
    lines = [[odd, 0.25, 0.5, -odd] * more for more in (1, 101) for odd in ODD]
    over_steps = [Series("a", range(len(y)), y, y, y) for y in lines]
    for series in (over_steps, [Series("a", y, y) for y in lines], [Series("a", [1], [1e308])]):
        words(line_chart(series, x_label="x", y_label="y", log_y=log_y))
    assert caplog.records == []


def bins(count=15):
    return [
        {
            "lower": i / count,
            "upper": (i + 1) / count,
            "pixels": 10 * i,
            "confidence": (i + 0.5) / count if i else None,
            "accuracy": i / count if i else None,
        }
        for i in range(count)
    ]


def contrast(one, other):
    def luminance(color):
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return np.dot((0.2126, 0.7152, 0.0722), linear) + 0.05

    ratio = luminance(one) / luminance(other)
    return max(ratio, 1 / ratio)


@pytest.mark.parametrize("color", COLORS)
def test_series_are_seen_on_light_and_dark_cards(color):
    assert contrast(color, "#ffffff") >= 3
    assert contrast(color, "#222225") >= 3


def test_lines_with_a_mark():
    series = [Series("main", [1, 2, 3], [0.1, 0.5, 0.4]), Series(EVIL, [1], [0.2])]
    svg = line_chart(
        series, x_label="steps", y_label="IoU, %", percent=True, marks=[Mark(2, 0.5, "best: 50")]
    )
    found = words(svg)
    assert {"main", "steps", "IoU, %", "best: 50", "a<b>&\"$x_1$' ?", "50"} <= set(found)


@pytest.mark.parametrize(
    ("y", "log"),
    [
        ([], False),
        ([float("nan")] * 3, False),
        ([1.0, float("inf"), 2.0], False),
        ([0.0, -1.0, 0.0], True),
        ([1e-5, 1.0, 10.0], True),
    ],
)
def test_lines_of_hardly_anything(y, log):
    assert "y" in words(
        line_chart([Series("", range(len(y)), y)], x_label="x", y_label="y", log_y=log)
    )


def test_long_lines_become_means_within_a_band():
    x = list(range(10_000))
    y = [float(i % 2) for i in x]
    y[5000] = float("nan")
    short = thinned(Series("", x, y), most=100)
    assert len(short.x) == 100
    assert short.x[0] == pytest.approx(49.5)
    assert short.y[0] == pytest.approx(0.5)
    assert (set(short.low), set(short.high)) == ({0.0}, {1.0})
    assert np.isfinite(short.y).all()
    assert len(line_chart([Series("", x, y)], x_label="x", y_label="y")) < 60_000


@pytest.mark.parametrize("count", [1, 50])
def test_bars_for_each_class(count):
    names = [f"class {i}" for i in range(count)]
    values = [None, *np.linspace(0, 1, count - 1)] if count > 1 else [0.5]
    found = words(bar_chart(names, {"IoU": values, "boundary IoU": values}, x_label="IoU, %"))
    assert set(names) | {"IoU", "boundary IoU", "IoU, %"} <= set(found)
    assert ("–" in found) == (count > 1)


def test_a_small_confusion_matrix_has_numbers():
    found = words(heatmap([[3, 1], [0, 0]], ["sky", EVIL]))
    assert {"75", "25", "sky", "predicted", "true"} <= set(found)
    np.testing.assert_array_equal(normalised([[3, 1], [0, 0]])[0], [0.75, 0.25])
    assert np.isnan(normalised([[3, 1], [0, 0]])[1]).all()


def test_a_large_confusion_matrix_is_a_picture():
    matrix = np.eye(150, dtype=int) * 9
    matrix[3, 7] = 1
    svg = heatmap(matrix, [f"class {i}" for i in range(150)])
    assert "class 3" not in words(svg)
    (data,) = re.findall(r"data:image/png;base64,([^\"]*)", svg)
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("RGBA"))
    assert pixels.shape == (150, 150, 4)
    shown = pixels if pixels[3, 7, 3] else pixels[::-1]  # SVG's images may be upside down
    red, _, blue, alpha = shown[3, 7].astype(int)
    assert red > blue
    assert 0 < alpha < 100
    red, _, blue, alpha = shown[5, 5].astype(int)
    assert blue > red
    assert alpha == 255
    assert shown[3, 8, 3] == 0


def test_reliability():
    assert {"right, %", "confidence, %", "pixels, %"} <= set(words(reliability_chart(bins())))
    assert words(reliability_chart([]))


def test_charts_are_the_same_each_time_and_do_not_share_names():
    first, again = (reliability_chart(bins()) for _ in range(2))
    assert first == again
    other = reliability_chart(bins(10))
    names = [set(re.findall(r'\bid="([^"]*)"', svg)) for svg in (first, other)]
    assert names[0]
    assert not names[0] & names[1]
    for svg, own in zip((first, other), names, strict=True):
        assert set(re.findall(r'(?:url\(|href=")#([^")]*)', svg)) <= own
