"""Pictures on the page: predicted once, as the predictor does, and refused in one message."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gcseg.data.images import PictureFormat
from gcseg.demo_page import shown as shown_module
from gcseg.demo_page import uploads
from gcseg.demo_page.uploads import plain_name
from gcseg.exports.form import Form
from gcseg.exports.network import ExportedNetwork
from gcseg.models import FCNHead
from gcseg.predictor.attention import attention_map
from gcseg.predictor.network import TrainedNetwork
from gcseg.predictor.stream import Picture, predictions
from tests.demo_page.pages import SPACE, LabelSpace, picture, served, shown

FOUR = PictureFormat(4, (0.0, 1000.0))


@pytest.fixture(scope="module")
def browser():
    with served() as browser:
        yield browser


def predicted(network, image):
    (found,) = predictions(network, [lambda: Picture("it", image)])
    return found


@pytest.mark.parametrize("mode", ["none", "flip"])
def test_what_is_shown_is_the_prediction(browser, tmp_path, mode):
    path = picture(tmp_path)
    given = browser.give("street.png", path.read_bytes())
    assert (given["name"], given["video"], given["size"]) == ("street.png", False, [40, 56])
    wanted = predicted(browser.page.networks[0].networks[mode], np.asarray(Image.open(path)))
    (result,) = browser.json(f"/pictures/{given['key']}/in/{mode}")["results"]
    areas = dict(zip(SPACE.names, result["areas"], strict=True))
    assert areas == pytest.approx({name: wanted.areas().get(name, 0) for name in SPACE.names})
    at = f"/pictures/{given['key']}/in/{mode}/0"
    assert np.array_equal(browser.array(f"{at}/mask", (40, 56)), wanted.mask)
    confidence = browser.array(f"{at}/confidence", (40, 56)) / 255
    assert np.abs(confidence - wanted.confidence).max() < 1 / 255
    status, headers, file = browser.ask(f"{at}/mask.png")
    assert status == 200 and "attachment" in headers["Content-Disposition"]
    with Image.open(io.BytesIO(file)) as mask:
        assert mask.mode == "P" and np.array_equal(np.asarray(mask), wanted.mask)
    shown_image = browser.ask(f"/pictures/{given['key']}/image")[2]
    assert Image.open(io.BytesIO(shown_image)).size == (56, 40)


def test_a_picture_is_predicted_once_in_each_mode(browser, tmp_path, monkeypatch):
    calls = []
    predict = TrainedNetwork.predict
    monkeypatch.setattr(
        TrainedNetwork, "predict", lambda self, *a, **b: calls.append(1) or predict(self, *a, **b)
    )
    key = browser.give("a.png", picture(tmp_path).read_bytes())["key"]
    for path in ("", "", "/0/mask", "/0/confidence", "/0/mask.png"):
        assert browser.ask(f"/pictures/{key}/in/none{path}")[0] == 200
    assert len(calls) == 1
    browser.json(f"/pictures/{key}/in/flip")
    assert len(calls) == 2


def test_the_attention_of_the_context_block(browser, tmp_path):
    path = picture(tmp_path)
    key = browser.give("a.png", path.read_bytes())["key"]
    network = browser.page.networks[0].networks["none"]
    wanted = attention_map(network, np.asarray(Image.open(path)), "it")
    assert wanted.shape == (40, 56) and wanted.max() > 1 > wanted.min()
    _, headers, _ = browser.ask(f"/pictures/{key}/attention/0")
    end = float(headers["X-Scale-End"])
    assert end == pytest.approx(max(wanted.max(), 2), rel=1e-3)
    found = browser.array(f"/pictures/{key}/attention/0", (40, 56)) * (end / 255)
    assert np.abs(found - wanted).max() < end / 200


def test_a_head_without_a_context_block_has_none(tmp_path):
    with served(shown(head=FCNHead)) as browser:
        (network,) = browser.json("/about")["networks"]
        assert "no context block" in network["no_attention"]
        key = browser.give("a.png", picture(tmp_path).read_bytes())["key"]
        error = browser.json(f"/pictures/{key}/attention/0", status=422)["error"]
        assert "no context block" in error


def test_a_large_picture_is_shown_reduced(tmp_path, monkeypatch):
    monkeypatch.setattr(shown_module, "LONGEST", 28)
    with served() as browser:
        given = browser.give("a.png", picture(tmp_path).read_bytes())
        assert (given["height"], given["width"], given["size"]) == (20, 28, [40, 56])
        at = f"/pictures/{given['key']}/in/none/0"
        browser.array(f"{at}/mask", (20, 28))
        browser.array(f"{at}/confidence", (20, 28))
        browser.array(f"/pictures/{given['key']}/attention/0", (20, 28))
        assert Image.open(io.BytesIO(browser.ask(f"{at}/mask.png")[2])).size == (56, 40)


def start_of_png(height, width):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def test_files_that_are_no_pictures_are_named_and_the_page_lives_on(browser, tmp_path):
    whole = picture(tmp_path).read_bytes()
    Image.open(tmp_path / "street.png").save(tmp_path / "street.jpg")
    jpeg = (tmp_path / "street.jpg").read_bytes()
    for name, content, message in (
        ("text.jpg", b"this is text\n" * 20, "image text.jpg is truncated or not an image"),
        ("cut.png", whole[: len(whole) // 2], "cut.png is truncated"),
        ("cut.jpg", jpeg[: len(jpeg) // 2], "image cut.jpg is damaged"),
        ("nothing.png", b"", "nothing.png is truncated or not an image (0 bytes)"),
        ("huge.png", start_of_png(30000, 30000), "huge.png has 30,000 x 30,000 pixels"),
        ("array.npy", b"\x93NUMPY", "array.npy"),
        ("no_suffix", b"abc", "image no_suffix is truncated"),
    ):
        error = browser.refused(name, content)
        assert message in error
        assert "gcseg-demo-" not in error
    assert not [*browser.page.uploads.folder.rglob("*.npy")]
    key = browser.give("street.png", whole)["key"]
    assert browser.json(f"/pictures/{key}/in/none")["results"][0]["areas"]


def test_a_picture_beyond_the_limit_is_not_decoded(browser, monkeypatch):
    monkeypatch.setattr(shown_module.Shown, "read", lambda *a: pytest.fail("it is decoded"))
    error = browser.refused("wide.png", start_of_png(1001, 1000))
    assert error.startswith("wide.png has 1,001 x 1,000 pixels, and this page takes 1 megapixels")


def test_what_of_a_picture_is_not_read_is_said(browser, tmp_path):
    assert browser.give("a.png", picture(tmp_path).read_bytes())["notes"] == []
    alpha = picture(tmp_path, "alpha.png", channels=4).read_bytes()
    assert browser.give("alpha.png", alpha)["notes"] == [
        "the transparency of alpha.png is not read"
    ]
    deep = tmp_path / "deep.png"
    Image.fromarray(np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)).save(deep)
    (note,) = browser.give("deep.png", deep.read_bytes())["notes"]
    assert note == "image deep.png has 16 bits per channel, of which the upper 8 are read"


def test_a_network_of_four_channels(tmp_path):
    with served(shown(form=FOUR)) as browser:
        about = browser.json("/about")
        assert about["networks"][0]["form"] == str(FOUR) and not about["networks"][0]["rgb"]
        assert "4 channels" in about["videos"]
        assert "3 channels where dataset.channels=4" in browser.refused(
            "street.png", picture(tmp_path).read_bytes()
        )
        assert "a.mp4 is a video" in browser.refused("a.mp4", b"abc")
        raw = np.random.default_rng(0).uniform(0, 1000, (24, 32, 4)).astype(np.float32)
        np.save(tmp_path / "a.npy", raw)
        key = browser.give("a.npy", (tmp_path / "a.npy").read_bytes())["key"]
        network = browser.page.networks[0].networks["none"]
        wanted = predicted(network, raw / np.float32(1000)).mask
        found = browser.array(f"/pictures/{key}/in/none/0/mask", (24, 32))
        assert np.array_equal(found, wanted)


def test_two_networks_with_different_classes(tmp_path):
    other = LabelSpace(("sky", "tree"), ((0, 0, 0), (0, 255, 0)))
    with served(shown(), shown("second", space=other, seed=1)) as browser:
        note = browser.json("/about")["note"]
        assert "1 in common, 2 only in first, 1 only in second" in note
        key = browser.give("a.png", picture(tmp_path).read_bytes())["key"]
        first, second = browser.json(f"/pictures/{key}/in/none")["results"]
        assert (len(first["areas"]), len(second["areas"])) == (3, 2)


def test_two_networks_of_different_forms_say_which_does_not_take_a_picture(tmp_path):
    with served(shown(), shown("second", form=FOUR)) as browser:
        assert browser.json("/about")["note"] == ""
        key = browser.give("a.png", picture(tmp_path).read_bytes())["key"]
        first, second = browser.json(f"/pictures/{key}/in/none")["results"]
        assert first["areas"] and "a.png has 3 channels" in second["error"]


def test_the_oldest_files_go(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "KEPT", 2)
    content = picture(tmp_path).read_bytes()
    with served() as browser:
        keys = [browser.give(f"{number}.png", content)["key"] for number in range(3)]
        for key in keys[1:]:
            browser.json(f"/pictures/{key}/in/none")
        error = browser.json(f"/pictures/{keys[0]}/in/none", status=422)["error"]
        assert "no longer here (the last 2 are kept)" in error
        assert len([*browser.page.uploads.folder.iterdir()]) == 2
        folder = browser.page.uploads.folder
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_names_of_files_lead_nowhere(browser, tmp_path):
    content = picture(tmp_path).read_bytes()
    for name in ("../../a.png", "/etc/a.png", "C:\\b\\a.png", ".."):
        given = browser.give(name, content)
        assert given["name"] in ("a.png", "..")
        (file,) = (browser.page.uploads.folder / given["key"]).iterdir()
        assert file.name.startswith(given["key"])
    assert plain_name("a/\x1b[1m.png") == "\\x1b[1m.png"
    assert len(plain_name("x" * 5000 + ".png")) <= 100
    assert browser.give("ä" * 300 + ".png", content)["name"].endswith(".png")


def test_an_export_that_gives_labels_is_not_said_to_be_sure():
    form = Form("labels", False, (0.5,) * 3, (0.5,) * 3, 255, SPACE.num_classes)
    one = shown()
    for each in one.networks.values():
        each.model = ExportedNetwork(lambda images: images, form)
    assert "labels" in one.described()["no_confidence"]
    assert "checkpoint" in one.described()["no_attention"]
    assert shown().described()["no_confidence"] == ""
