"""Blocks of pages: escaped, without references to anything outside."""

import base64
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import gcseg
from gcseg.errors import OutputError
from gcseg.visualization.html import (
    Document,
    command,
    details,
    facts,
    figure,
    grid,
    image,
    jpeg_uri,
    notice,
    png_uri,
    swatch,
    table,
    text,
)
from tests.report.data.test_browse import Tree

EVIL = "<b onclick=\"x\">&amp; 'quoted' \udcff \x00 </section><script>alert(1)</script>"


def write(folder, document):
    """A document's tree; its text is checked to refer to nothing outside."""
    content = document.write(folder / "new" / "page.html").read_text("utf-8")
    check(content)
    return Tree(content).root


def check(content):
    """Fail where a page is not all there is: scripts, addresses, or no policy that forbids them."""
    assert "<script" not in content
    assert not re.findall(r"@import|url\((?!#)", content)
    for address in re.findall(r'(?:src|href)="([^"]*)"', content):
        assert address.startswith(("data:", "#")), address
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', content).group(1)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert 'name="viewport" content="width=device-width' in content
    assert "prefers-color-scheme: dark" in content
    targets = set(re.findall(r'href="#([^"]*)"', content))
    names = re.findall(r'\bid="([^"]*)"', content)
    assert targets <= set(names)
    assert len(set(names)) == len(names)


def decode(uri):
    kind, data = re.fullmatch(r"data:image/(\w+);base64,([\w+/=]+)", uri).groups()
    return kind, np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("RGB"))


def test_sections_are_listed_and_said_to_be_ours(tmp_path):
    document = Document("A run", "of yesterday")
    document.add("First", "A paragraph.", note="small print")
    document.add("Second", notice("Mind."))
    root = write(tmp_path, document)
    assert [link.text for link in root.all("nav")[0].all("a")] == ["First", "Second"]
    assert [head.text for head in root.all("h2")] == ["First", "Second"]
    assert root.all("p", "note")[0].text == "small print"
    assert root.all("footer")[0].text == f"made by gcseg {gcseg.__version__}"


def test_text_is_escaped_wherever_it_goes(tmp_path):
    document = Document(EVIL, EVIL)
    document.add(
        EVIL, EVIL,
        table([EVIL, "number"], [[EVIL, EVIL]]),
        facts({EVIL: EVIL}),
        grid(figure(image(png_uri(np.zeros((2, 2, 3), np.uint8)), EVIL), EVIL)),
        details(EVIL, EVIL),
        command(EVIL),
        notice(EVIL),
        note=EVIL,
    )  # fmt: skip
    root = write(tmp_path, document)
    assert not root.all("b")
    assert len(root.all("section")) == 1
    for tag in ("h1", "h2", "td", "dt", "dd", "figcaption", "summary", "code"):
        said = root.all(tag)[0].text.replace("  ", " ").replace("\\x00", "?")
        assert "<b onclick=\"x\">&amp; 'quoted' ? ?" in said
    assert "<b onclick" in root.all("img")[0].attributes["alt"]


def test_what_is_html_already_stays_as_it_is():
    assert text(text("<")) == "&lt;"
    assert "<i " in table(["class"], [[swatch((1, 2, 3))]])


def test_numbers_stand_to_the_right_and_what_stands_out_is_bold():
    root = Tree(table(["name", "a", "b"], [["x", "1", "2"], ["y"]], bold={(1, 0), (0, 2)})).root
    rows = [[cell.attributes.get("class") for cell in row.all("td")] for row in root.all("tr")[1:]]
    assert rows == [["t", None, "b"], ["t b", None, None]]
    assert root.all("div", "wide")


def test_pictures_are_reduced_and_labels_keep_their_colours():
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (200, 3), np.uint8)
    label = palette[rng.integers(0, 200, (30, 40))]
    kind, pixels = decode(png_uri(label))
    assert kind == "png"
    np.testing.assert_array_equal(pixels, label)
    kind, pixels = decode(png_uri(label, longest=10))
    assert pixels.shape == (8, 10, 3)
    assert set(map(tuple, pixels.reshape(-1, 3))) <= set(map(tuple, palette))
    kind, pixels = decode(jpeg_uri(np.full((20, 60, 3), 128, np.uint8), longest=30))
    assert kind == "jpeg"
    assert pixels.shape == (10, 30, 3)
    assert abs(int(pixels.mean()) - 128) <= 1


def test_a_place_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/page\.html can't be written"):
        Document("A").write(tmp_path / "file" / "page.html")
