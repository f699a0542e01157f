"""Pages of training samples: parsed, decoded and compared with the samples."""

import base64
import hashlib
import re
import weakref
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from gcseg.data.label_spaces import CAMVID, LabelSpace
from gcseg.errors import ConfigError, OutputError
from gcseg.report.data.browse import write_pages
from gcseg.report.data.browse_page import BrowseSample
from gcseg.visualization.pictures import overlay

VOID = {"meta", "link", "img", "input", "br"}
STRIPES = {(70, 70, 70), (225, 225, 225)}


class Node:
    def __init__(self, tag, attributes):
        self.tag, self.attributes, self.children, self.text = tag, attributes, [], ""

    def all(self, tag, kind=None):
        """Elements below this one, of a tag and, if it is given, of a class."""
        found = []
        for child in self.children:
            if child.tag == tag and kind in (None, *(child.attributes.get("class") or "").split()):
                found.append(child)
            found += child.all(tag, kind)
        return found

    def words(self):
        """Its text and that of all below it."""
        return " ".join([self.text, *(child.words() for child in self.children)])


class Tree(HTMLParser):
    """Fails where an element is closed that is not the one last opened."""

    def __init__(self, text):
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root], "every element is closed"

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes)
        node = Node(tag, dict(attributes))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        self.open[-1].text += data


def decode(image):
    """An <img>'s pixels, H x W x 3, and its type."""
    kind, data = re.fullmatch(
        r"data:image/(png|jpeg);base64,([\w+/=]+)", image.attributes["src"]
    ).groups()
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(data, validate=True))).convert("RGB"))
    assert image.attributes["height"] == str(pixels.shape[0])
    assert image.attributes["width"] == str(pixels.shape[1])
    return pixels, kind


def sample(seed, height=30, width=40, space=CAMVID, **more):
    """Blocks of classes with a stripe of ignored pixels at the right; a smooth image."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, space.num_classes, (-(-height // 10), -(-width // 10)), np.uint8)
    label = blocks.repeat(10, 0).repeat(10, 1)[:height, :width].copy()
    label[:, width - width // 4 :] = 255
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] % 200
    image = (ramp + rng.integers(0, 55, 3)).astype(np.uint8)
    more.setdefault("name", f"picture {seed}")
    return BrowseSample(counter=100 + seed, image=image, label=label, **more)


def write(folder, samples, space=CAMVID, **more):
    """Write the two files; the sheet's pixels and the page's text."""
    more.setdefault("title", "camvid train")
    sheet, page = write_pages(iter(samples), space, folder, **more)
    assert (sheet, page) == (folder / "browse.png", folder / "browse.html")
    assert sorted(path.name for path in folder.iterdir()) == ["browse.html", "browse.png"]
    with Image.open(sheet) as image:
        assert image.mode == "RGB"
        return np.asarray(image), page.read_text("utf-8")


def legend(node):
    """Class name to share in percent, of the first legend in an element."""
    rows = node.all("ul", "legend")[0].all("li")
    return {row.all("span")[0].text: float(row.all("b")[0].text.strip(" %")) for row in rows}


@pytest.mark.parametrize("count", [1, 5])
def test_every_sample_is_on_the_page(tmp_path, count):
    samples = [sample(seed, text=f"scale {seed}") for seed in range(count)]
    _, text = write(tmp_path, samples)
    root = Tree(text).root
    cards = root.all("article", "card")
    assert len(cards) == count
    for one, card in zip(samples, cards, strict=True):
        words = " ".join(card.words().split())
        for wanted in (str(one.counter), one.name, one.text, "30 x 40 (height x width)"):
            assert wanted in words
        (image,), (label,) = card.all("img", "image"), card.all("img", "label")
        pixels, kind = decode(image)
        assert kind == "png"
        np.testing.assert_array_equal(pixels, one.image)
        shown, _ = decode(label)
        labelled = one.label != 255
        np.testing.assert_array_equal(shown[labelled], CAMVID.palette[one.label][labelled])
        assert {tuple(color) for color in shown[~labelled].tolist()} == STRIPES
        assert "original" not in card.words()


def test_larger_images_are_jpegs_and_none_is_larger_than_the_page_needs(tmp_path):
    one = sample(1, 300, 400, original_image=np.full((900, 1300, 3), 90, np.uint8))
    _, text = write(tmp_path, [one, sample(2, 700, 2000)])
    cards = Tree(text).root.all("article")
    image, original = (decode(image) for image in cards[0].all("img", "image"))
    assert image[1] == "jpeg"
    difference = np.abs(image[0].astype(int) - one.image)
    assert difference.mean() < 3
    assert original[0].shape == (443, 640, 3)
    assert len(cards[0].all("img", "label")) == 1, "this original has no label"
    for layer in cards[1].all("img"):
        assert decode(layer)[0].shape == (358, 1024, 3)


def test_originals_with_labels(tmp_path):
    before = sample(7, 50, 60)
    after = sample(8, 20, 20, name="x", original_image=before.image, original_label=before.label)
    _, text = write(tmp_path, [after])
    (details,) = (node for node in Tree(text).root.all("details") if "original" in node.words())
    np.testing.assert_array_equal(decode(details.all("img", "image")[0])[0], before.image)
    assert decode(details.all("img", "label")[0])[0].shape == (50, 60, 3)


def test_shares_of_the_pixels(tmp_path):
    space = LabelSpace(("sea", "land", "never"))
    first = BrowseSample("a", 0, np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8))
    label = np.array([[0, 1, 1, 255], [0, 1, 1, 255]], np.uint8)
    second = BrowseSample("b", 1, np.zeros((2, 4, 3), np.uint8), label)
    _, text = write(tmp_path, [first, second], space)
    root = Tree(text).root
    one, two = root.all("article")
    assert legend(one) == {"sea": 100}
    assert legend(two) == {"sea": 25, "land": 50, "ignored": 25}
    assert legend(root) == {"sea": 79, "land": 14, "never": 0, "ignored": 7.1}
    styles = [swatch.attributes["style"] for swatch in root.all("ul")[0].all("i")]
    assert styles[:3] == [f"background: rgb{color}" for color in space.colors]


HOSTILE = ("<script>alert(1)</script>", "a\"b'c&amp;d", "名前 🌳 é", "x\ny", "</style>", "\udcff?")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_are_text_and_nothing_else(tmp_path, hostile):
    # A class's name has no control characters; a picture's and a folder's may.
    named = f"0 {hostile}" if hostile.isprintable() else "0"
    space = LabelSpace((named, "land"))
    one = sample(0, space=space, name=hostile, text=hostile)
    plain = sample(0, space=space, name="plain", text="plain")
    _, text = write(tmp_path / "hostile", [one], space, title=hostile)
    _, usual = write(tmp_path / "plain", [plain], LabelSpace(("0", "land")), title="plain")
    root = Tree(text).root

    def shape(node):
        return [(child.tag, sorted(child.attributes), shape(child)) for child in node.children]

    assert shape(root) == shape(Tree(usual).root)
    said = hostile.replace("\n", " ").replace("\udcff", "?")
    for tag in ("title", "h1", "p"):
        assert root.all(tag)[0].text == said
    assert root.all("h2")[0].text.strip() == said
    assert root.all("img", "image")[0].attributes["alt"] == said
    assert named in legend(root)


def test_the_page_loads_nothing(tmp_path):
    _, text = write(tmp_path, [sample(0), sample(1, 200, 300)])
    root = Tree(text).root
    assert "http:" not in text and "https:" not in text
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", text)
    for node in [*root.all("img"), *root.all("link")]:
        for key in ("src", "href"):
            assert node.attributes.get(key, "data:").startswith("data:")
    (script,) = root.all("script")
    assert "src" not in script.attributes
    policy = root.all("meta")[1].attributes["content"]
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "prefers-color-scheme: dark" in root.all("style")[0].text
    assert "width=device-width" in root.all("meta")[2].attributes["content"]


def test_switches_and_sliders(tmp_path):
    _, text = write(tmp_path, [sample(0)], columns=5)
    root = Tree(text).root
    inputs = {node.attributes.get("id") or node.attributes["name"]: node.attributes
              for node in root.all("input")}  # fmt: skip
    style, script = root.all("style")[0].text, root.all("script")[0].text
    for view in ("view-image", "view-label", "view-overlay"):
        assert inputs[view]["type"] == "radio"
        assert f"#{view}:checked" in style
    assert "checked" in inputs["view-overlay"]
    assert inputs["columns"]["value"] == "5"
    assert "--columns: 5" in root.all("body")[0].attributes["style"]
    for slider in ("opacity", "columns"):
        assert inputs[slider]["type"] == "range"
        assert f"var(--{slider})" in style
    assert '"--" + slider.name' in script


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_contact_sheet(tmp_path, columns):
    samples = [sample(seed, 240, 320) for seed in range(5)]
    sheet, _ = write(tmp_path, samples, columns=columns)
    cell = 1600 // columns
    width = cell // 2 - 4
    height = round(width * 240 / 320)
    row = 16 + 4 + height + 4  # caption, margin, pictures, gap
    legend_rows = -(-11 // 10)
    rows = -(-5 // columns)
    assert sheet.shape == (32 + 4 + rows * row + legend_rows * 18 + 4, 1600, 3)
    for index, one in enumerate(samples):
        top = 36 + index // columns * row + 16
        left = index % columns * cell
        image = sheet[top : top + height, left : left + width]
        over = sheet[top : top + height, left + width + 4 : left + 2 * width + 4]
        # In the middle of a block of 10 x 10 pixels, whatever the scale.
        for y, x in ((5, 5), (115, 75), (235, 15)):
            at = (int((y + 0.5) * height / 240), int((x + 0.5) * width / 320))
            assert np.abs(image[at].astype(int) - one.image[y, x]).max() <= 6
            wanted = overlay(image, np.full((height, width), one.label[y, x]), CAMVID)[at]
            np.testing.assert_array_equal(over[at], wanted)
        ignored = (slice(5, height - 5), slice(width * 3 // 4 + 4, width - 4))
        under, striped = image[ignored].astype(float), over[ignored]
        near = [np.abs(striped - (0.3 * under + 0.7 * level)).max(2) <= 1 for level in (70, 225)]
        assert (near[0] | near[1]).all(), "one stripe or the other"
        assert 0.3 < near[0].mean() < 0.7
    colors = {tuple(color) for color in sheet[-40:].reshape(-1, 3).tolist()}
    assert set(CAMVID.colors) <= colors


def test_captions_of_a_sheet(tmp_path):
    plain, _ = write(tmp_path / "a", [sample(0)])
    named, _ = write(tmp_path / "b", [sample(0, name="n" * 500)])
    texts, _ = write(tmp_path / "c", [sample(0, text="scale 1.5 " * 100)])
    assert named.shape == plain.shape
    assert (named[36:52] != plain[36:52]).any()
    assert (named[36:52, 800:] == 255).all(), "a long name is cut at its cell"
    assert texts.shape[0] == plain.shape[0] + 16, "a line more"
    assert (texts[52:68, 800:] == 255).all()
    assert (texts[52:68, :800] < 255).any()


def test_samples_of_any_sizes_and_nothing_but_ignored_pixels(tmp_path):
    space = LabelSpace(tuple(f"class {index}" for index in range(150)))
    nothing = sample(3, 64, 64, space)
    nothing.label[:] = 255
    sizes = [(1, 1), (1, 500), (500, 1), (37, 91), (600, 200)]
    samples = [nothing, *(sample(n, *size, space) for n, size in enumerate(sizes))]
    sheet, text = write(tmp_path, samples, space, columns=4)
    root = Tree(text).root
    cards = root.all("article")
    assert len(cards) == 6
    assert legend(cards[0]) == {"ignored": 100}
    assert len(legend(root)) == 151
    for card, one in zip(cards, samples, strict=True):
        shown, _ = decode(card.all("img", "label")[0])
        assert shown.shape == one.image.shape
    assert sheet.shape[0] < 1500, "a tall sample does not make a tall row"


def test_noise_does_not_bloat_the_page(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (512, 1024, 3), dtype=np.uint8)
    label = np.zeros((512, 1024), np.uint8)
    write(tmp_path, [BrowseSample("noise", 0, noise, label)])
    assert (tmp_path / "browse.html").stat().st_size < 512 * 1024 * 0.6


def test_samples_are_not_kept(tmp_path):
    made = []

    def samples():
        for seed in range(12):
            assert sum(one() is not None for one in made) <= 4, "two rows"
            one = sample(seed)
            made.append(weakref.ref(one))
            yield one
            del one

    write_pages(samples(), CAMVID, tmp_path, title="x", columns=2)
    assert len(made) == 12


@pytest.mark.parametrize("columns", [0, -1, 17])
def test_wrong_columns(tmp_path, columns):
    with pytest.raises(ConfigError, match=f"columns={columns}: give 1 to 16"):
        write_pages([sample(0)], CAMVID, tmp_path, title="x", columns=columns)


def test_no_samples(tmp_path):
    with pytest.raises(ConfigError, match="no samples to show: ask for one or more"):
        write_pages([], CAMVID, tmp_path, title="x")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"browse\.png can't be written"):
        write_pages([sample(0)], CAMVID, tmp_path / "file", title="x")
