"""Pictures of other channels and bits than 8-bit RGB."""

import re
import sys

import cv2
import numpy as np
import pytest
import tifffile
import torch
import yaml
from PIL import Image

from gcseg.data.augment import evaluation_pipeline, training_pipeline
from gcseg.data.cache.cached import cache_size, cached
from gcseg.data.channels import read_picture, stored_size
from gcseg.data.datasets import Pair, SegmentationDataset, images_as_dataset
from gcseg.data.folder import folder
from gcseg.data.images import RGB, PictureFormat, displayed
from gcseg.data.label_spaces import LabelSpace
from gcseg.data.samples import EvaluationSamples, TrainingSamples, collate
from gcseg.data.statistics import measure
from gcseg.errors import ConfigError, DataError
from tests.data.trees import mask, write

FOUR = PictureFormat(4)
SPACE = LabelSpace(("a", "b"), ((0, 0, 0), (255, 255, 255)))
H, W = 20, 24


def values(channels, dtype=np.uint8, most=255, seed=0):
    drawn = np.random.default_rng(seed).integers(0, most + 1, (H, W, channels))
    return drawn.astype(dtype)


def tiff(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, **options)
    return path


def read(path, form):
    return read_picture([path], form)[0]


@pytest.mark.parametrize("compression", [None, "lzw", "deflate"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_tiff_of_five_bands(tmp_path, compression, planar):
    wanted = values(5)
    stored = wanted if planar == "contig" else wanted.transpose(2, 0, 1)
    options = {"photometric": "minisblack", "planarconfig": planar, "compression": compression}
    path = tiff(tmp_path / "a.tif", stored, **options)
    assert np.array_equal(read(path, PictureFormat(5)), wanted)
    assert stored_size(path, 5) == (H, W)


def test_pages_of_a_tiff_are_channels(tmp_path):
    wanted = values(4)
    path = tiff(tmp_path / "a.tif", wanted.transpose(2, 0, 1), photometric="minisblack")
    assert np.array_equal(read(path, FOUR), wanted)


def test_a_turned_tiff_is_upright(tmp_path):
    wanted = values(4)
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    path = tiff(tmp_path / "a.tif", wanted[::-1, ::-1], extratags=[(274, 3, 1, 3, True)], **options)
    assert np.array_equal(read(path, FOUR), wanted)


@pytest.mark.parametrize("first", [True, False])
def test_arrays_in_either_order(tmp_path, first):
    wanted = values(4)
    np.save(tmp_path / "a.npy", wanted.transpose(2, 0, 1) if first else wanted)
    assert np.array_equal(read(tmp_path / "a.npy", FOUR), wanted)
    assert stored_size(tmp_path / "a.npy", 4) == (H, W)


def test_a_png_has_its_alpha_as_fourth_channel_and_grey_as_the_only_one(tmp_path):
    wanted = values(4)
    Image.fromarray(wanted, "RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png", FOUR), wanted)
    write(tmp_path / "b.png", wanted[..., 0])
    assert np.array_equal(read(tmp_path / "b.png", PictureFormat(1)), wanted[..., :1])
    write(tmp_path / "c.jpg", np.full((H, W), 7))
    assert np.array_equal(read(tmp_path / "c.jpg", PictureFormat(1)), np.full((H, W, 1), 7))


def test_sixteen_bits_by_a_scale(tmp_path):
    raw = values(3, np.uint16, 10000)
    cv2.imwrite(str(tmp_path / "a.png"), raw[..., ::-1])
    found = read(tmp_path / "a.png", PictureFormat(3, (0, 10000)))
    assert found.dtype == np.float32
    assert np.allclose(found, raw / 10000, atol=1e-6)
    path = tiff(tmp_path / "a.tif", raw, photometric="rgb")
    assert np.array_equal(read(path, PictureFormat(3, (0, 10000))), found)


def test_floats_between_two_values(tmp_path):
    raw = np.linspace(-30, 0, H * W, dtype=np.float32).reshape(H, W)
    np.save(tmp_path / "a.npy", raw)
    found = read(tmp_path / "a.npy", PictureFormat(1, (-30, 0)))
    assert found.shape == (H, W, 1)
    assert np.allclose(found[..., 0], (raw + 30) / 30, atol=1e-6)


def test_several_files_are_bands(tmp_path):
    raw = values(4, np.uint16, 9000)
    cv2.imwrite(str(tmp_path / "rgb.png"), raw[..., 2::-1])
    paths = [tmp_path / "rgb.png", tiff(tmp_path / "nir.tif", raw[..., 3])]
    found, missing = read_picture(paths, PictureFormat(4, (0, 9000)))
    assert missing is None
    assert np.allclose(found, raw / 9000, atol=1e-6)


@pytest.mark.parametrize(
    ("nodata", "ignored"), [(-9999.0, {(1, 2), (3, 4)}), (float("nan"), {(3, 4)})]
)
def test_pixels_without_data_are_ignored(tmp_path, nodata, ignored):
    raw = values(4, np.float32)
    raw[1, 2, 0], raw[3, 4, 3] = -9999, np.nan
    np.save(tmp_path / "a.npy", raw)
    write(tmp_path / "l.png", np.ones((H, W)))
    pair = Pair("a", tmp_path / "a.npy", tmp_path / "l.png", SPACE)
    form = PictureFormat(4, (0, 255), nodata)
    dataset = SegmentationDataset([pair], SPACE, "here", pictures=form)
    image, label = dataset.read(0)
    assert set(map(tuple, np.argwhere(label == 255).tolist())) == ignored
    assert all(not image[place].any() for place in ignored)
    assert np.array_equal(dataset.read_label(0), label)


def wrong_files(root):
    """Files that can't be read, with their form and what is said of them."""
    np.save(root / "five.npy", values(5))
    yield root / "five.npy", FOUR, r"has 5 channels where dataset\.channels=4: give pictures of 4"
    np.save(root / "nan.npy", np.full((H, W, 4), np.nan, np.float32))
    form = PictureFormat(4, (0, 1))
    yield root / "nan.npy", form, r"NaN or infinity in 1e\+02 % of its pixels: dataset\.nodata=nan"
    np.save(root / "float.npy", values(4, np.float32))
    yield root / "float.npy", FOUR, r"32-bit floats, from 0 to 255: say which value counts as 1"
    np.save(root / "wide.npy", values(4, np.uint16, 9000))
    yield root / "wide.npy", FOUR, r"16-bit unsigned integers, from \d+ to \d+: say which value"
    np.save(root / "bytes.npy", values(4))
    deep = PictureFormat(4, (0, 9000))
    yield root / "bytes.npy", deep, "has 8 bits per channel, so that raw values 0 to 9000 would"
    np.save(root / "objects.npy", np.array([[object()]]), allow_pickle=True)
    yield root / "objects.npy", FOUR, "holds Python objects, which are not read"
    np.save(root / "complex.npy", values(4, np.complex64))
    yield root / "complex.npy", FOUR, "holds values of type complex64"
    np.save(root / "flat.npy", np.zeros(9))
    yield root / "flat.npy", FOUR, "holds an array of shape 9: save height x width x channels"
    (root / "cut.npy").write_bytes((root / "five.npy").read_bytes()[:-9])
    yield root / "cut.npy", PictureFormat(5), "is damaged"
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    whole = tiff(root / "whole.tif", values(4), **options).read_bytes()
    (root / "cut.tif").write_bytes(whole[:-300])
    yield root / "cut.tif", FOUR, "is damaged"
    (root / "head.tif").write_bytes(whole[:40])
    yield root / "head.tif", FOUR, "is damaged"
    marked = tiff(
        root / "marked.tif", values(4, most=1), **options, extratags=[(42113, 2, 0, "0", True)]
    )
    yield marked, FOUR, r"says that 0 stands for no data.*: dataset\.nodata=0 ignores such pixels"
    tiff(root / "deep.tif", np.zeros((2, 3, H, W), np.uint8), photometric="minisblack")
    yield root / "deep.tif", FOUR, "more axes than height, width and channels"
    (root / "none.tif").write_bytes(b"")
    yield root / "none.tif", FOUR, "is truncated or not an image"
    yield root / "gone.tif", FOUR, "does not exist"


def test_wrong_files_are_one_line_each(tmp_path):
    for path, form, message in wrong_files(tmp_path):
        with pytest.raises(DataError, match=message) as error:
            read_picture([path], form)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)


def test_bands_of_two_sizes(tmp_path):
    write(tmp_path / "a.png", np.zeros((4, 6)))
    write(tmp_path / "b.png", np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"b\.png is 2x3, but band .*a\.png of the same .* is 4x6"):
        read_picture([tmp_path / "a.png", tmp_path / "b.png"], PictureFormat(2))


def test_without_tifffile(tmp_path, monkeypatch):
    path = tiff(tmp_path / "a.tif", values(4), photometric="minisblack", planarconfig="contig")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(DataError, match=r"needs the library tifffile: install it: pip install"):
        read(path, FOUR)


def four_bands(root, splits=("train",), count=3):
    (root / "classes.yaml").write_text("classes: [a, b]")
    for split in splits:
        for index in range(count):
            name = f"site/{index}"
            tiff(
                root / "images" / split / f"{name}.tif",
                values(4, seed=index),
                photometric="minisblack",
                planarconfig="contig",
            )
            write(root / "labels" / split / f"{name}.png", mask(index, (0, 1)))
    return root


def test_bands_in_the_class_list(tmp_path):
    """As on the command line, which takes precedence."""
    four_bands(tmp_path)
    for band in range(2):
        for index in range(3):
            path = tmp_path / f"B{band}/train/site/{index}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.full((H, W), 10 * band + index, np.uint8))
    patterns = [f"B{band}/{{split}}/{{name}}.npy" for band in range(2)]
    classes = (tmp_path / "classes.yaml").read_text()

    def state(**stated):
        (tmp_path / "classes.yaml").write_text(f"{classes}\n{yaml.safe_dump(stated)}")

    state(bands=patterns)
    read = folder(tmp_path, "train").in_form(PictureFormat(2)).read(1)[0]
    assert read[0, 0].tolist() == [1, 11]
    swapped = folder(tmp_path, "train", bands=patterns[::-1]).in_form(PictureFormat(2)).read(1)[0]
    assert swapped[0, 0].tolist() == [11, 1]
    assert folder(tmp_path, "train", images="B1/{split}").pairs[0].bands == ()
    for stated, message in (
        ({"bands": patterns[0]}, "is no list of patterns"),
        ({"bands": []}, "is no list of patterns"),
        ({"bands": [3]}, "3 is no text"),
        ({"bands": ["/etc/{name}"]}, "leads out of the dataset's folder"),
        ({"bands": ["../{name}"]}, "leads out of the dataset's folder"),
        ({"bands": patterns, "images": "images/{split}"}, "images and bands, of which one"),
        ({"bands": ["B0/{split}/a.npy"]}, "bands has B0/{split}/a.npy"),
    ):
        state(**stated)
        with pytest.raises(ConfigError, match=re.escape(message)):
            folder(tmp_path, "train")


def test_a_folder_of_arrays_and_one_of_bands(tmp_path):
    (tmp_path / "classes.yaml").write_text("classes: [a, b]")
    for index in range(2):
        raw = values(2, seed=index)
        for band in range(2):
            path = tmp_path / f"B{band}" / "train" / f"x{index}.png"
            write(path, raw[..., band])
        (tmp_path / "images/train").mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"images/train/x{index}.npy", raw)
        write(tmp_path / f"labels/train/x{index}.png", mask(index, (0, 1)))
    arrays = folder(tmp_path, "train").in_form(PictureFormat(2))
    patterns = ["B0/{split}/{name}.png", "B1/{split}/{name}.png"]
    bands = folder(tmp_path, "train", bands=patterns).in_form(PictureFormat(2))
    for index in range(2):
        assert all(
            np.array_equal(one, other)
            for one, other in zip(arrays.read(index), bands.read(index), strict=True)
        )
    (tmp_path / "B1/train/x1.png").unlink()
    with pytest.raises(DataError, match=r"B0/train/x1\.png has no band .*B1/train/x1\.png"):
        folder(tmp_path, "train", bands=patterns)
    faults = []
    assert len(folder(tmp_path, "train", bands=patterns, faults=faults)) == 1
    assert faults[0].kind == "missing band"
    for wrong in ("B0/{split}/x.png", "../{name}.png", "/{name}.png"):
        with pytest.raises(ConfigError, match=r"give paths below dataset\.root with \{name\} once"):
            folder(tmp_path, "train", bands=[wrong])
    with pytest.raises(ConfigError, match=r"images=x and dataset\.reader\.bands=.*: give one of"):
        folder(tmp_path, "train", bands=patterns, images="x")
    with pytest.raises(DataError, match="no files match"):
        folder(tmp_path, "train", bands=["B0/{split}/{name}.jp2"])


def test_pictures_to_predict_may_be_arrays(tmp_path):
    np.save(tmp_path / "a.npy", values(4))
    dataset = images_as_dataset(tmp_path, SPACE).in_form(FOUR)
    assert dataset.read(0)[0].shape == (H, W, 4)


def test_a_reader_that_gives_something_else_is_named():
    pair = Pair("a", "a.tif", None, SPACE)
    dataset = SegmentationDataset([pair], SPACE, "mine", lambda _: (values(4), None))
    with pytest.raises(DataError, match="the reader of mine gives 4 channels of uint8 for a"):
        dataset.read(0)
    assert dataset.in_form(FOUR).read(0)[0].shape == (H, W, 4)


@pytest.mark.parametrize(
    "form", [PictureFormat(1), PictureFormat(2), FOUR, PictureFormat(5), PictureFormat(4, (0, 99))]
)
def test_the_augmentation_is_that_of_each_channel(form):
    """Crops, mirrors and normalises as RGB; on the device as on the CPU."""
    channels, raw = form.channels, values(form.channels)
    image = raw if form.scale is None else (raw / np.float32(255)).astype(np.float32)
    label = mask(0, (0, 1))
    pair = Pair("a", "a", "b", SPACE)
    dataset = SegmentationDataset([pair], SPACE, "", lambda _: (image, label), pictures=form)
    mean, std = np.linspace(0.2, 0.6, channels).tolist(), [0.5] * channels
    options = {
        **{"height": 16, "width": 32, "mean": mean, "std": std, "color": None, "flip": 0.5},
        "scale": {"min": 0.5, "max": 2.0, "step": 0.25},
    }
    on_cpu = training_pipeline(**options, pictures=form)
    on_device = training_pipeline(**options, pictures=form, on_device=True)
    for counter in range(6):
        found = TrainingSamples(dataset, on_cpu, 0)[counter, 0]
        assert found["image"].shape == (channels, 16, 32)
        batch = on_device.device(collate([TrainingSamples(dataset, on_device, 0)[counter, 0]]))
        assert torch.allclose(batch["image"][0], found["image"], atol=1e-5)
        assert torch.equal(batch["label"][0], found["label"])
        for index in range(min(channels, 3)):  # as a grey picture of RGB
            grey = np.repeat(raw[..., index : index + 1], 3, axis=2)
            single = SegmentationDataset([pair], SPACE, "", lambda _, g=grey: (g, label))
            rgb = training_pipeline(**{**options, "mean": [mean[index]] * 3, "std": [0.5] * 3})
            wanted = TrainingSamples(single, rgb, 0)[counter, 0]["image"][0]
            rounding = 2.1 / 255  # a level; OpenCV rounds some numbers of channels otherwise
            assert (wanted - found["image"][index]).abs().max() < rounding
    pipeline = evaluation_pipeline(mean=mean, std=std, pad_height=32, pad_width=0, pictures=form)
    sample = EvaluationSamples(dataset, pipeline)[0]["image"].numpy()
    assert sample.shape == (channels, 32, W)
    means = np.array(mean, np.float32)[:, None, None]
    wanted = (raw.transpose(2, 0, 1) / 255 - means) / 0.5
    assert np.allclose(sample[:, :H], wanted, atol=1e-4)
    assert np.allclose(sample[:, H:], (0.5 - means) / 0.5, atol=1e-5)


def test_normalisation_of_another_number_of_channels():
    options = {"height": 16, "width": 16, "color": None, "flip": 0.5}
    with pytest.raises(ConfigError, match=r"give 4 numbers each"):
        training_pipeline(
            **options,
            mean=[0.5] * 3,
            std=[0.5] * 3,
            scale={"min": 1, "max": 1, "step": 0},
            pictures=FOUR,
        )


@pytest.mark.parametrize("mode", ["ram", "disk"])
@pytest.mark.parametrize("form", [FOUR, PictureFormat(4, (0, 200)), PictureFormat(4, None, 7.0)])
def test_the_cache_keeps_every_form(tmp_path, mode, form):
    files = folder(four_bands(tmp_path), "train").in_form(form)
    said = []
    fast = cached(files, mode, tmp_path / "cache", say=said.append)
    size = files.pictures.dtype.itemsize
    assert cache_size(files) == 3 * H * W * (4 * size + 1)
    assert any("decoding 3 pairs" in line for line in said)
    again = cached(files, mode, tmp_path / "cache", say=said.append)
    for index in range(3):
        for reader in (fast, again):
            image, label = reader.read(index)
            wanted_image, wanted_label = files.read(index)
            assert image.dtype == wanted_image.dtype
            assert np.array_equal(image, wanted_image)
            assert np.array_equal(label, wanted_label)
    if mode == "disk":  # another form is another entry
        other = files.in_form(PictureFormat(4, (0, 100)))
        kept = cached(other, mode, tmp_path / "cache", say=said.append)
        assert np.array_equal(kept.read(0)[0], other.read(0)[0])


def test_statistics_of_each_channel(tmp_path):
    files = folder(four_bands(tmp_path), "train")
    raw = np.stack([values(4, seed=index) for index in range(3)]).reshape(-1, 4)
    for form, scale in ((FOUR, 255), (PictureFormat(4, (0, 200)), 200)):
        found = measure(files.in_form(form))
        assert np.allclose(found.mean, raw.mean(0) / scale)
        assert np.allclose(found.std, raw.std(0) / scale)
        assert found.outside == pytest.approx((raw > scale).mean())
    with_data = raw[(raw != 7).all(1)]
    found = measure(files.in_form(PictureFormat(4, (0, 255), 7.0)))
    assert np.allclose(found.mean, with_data.mean(0) / 255)


def test_pictures_as_they_are_shown():
    rgb = values(3)
    assert displayed(rgb) is rgb
    assert np.array_equal(displayed(values(5)), values(5)[..., :3])
    assert np.array_equal(displayed(values(1)), np.repeat(values(1), 3, axis=2))
    dark = (values(4) / np.float32(25500)).astype(np.float32)
    shown = displayed(dark)
    assert shown.shape == (H, W, 3)
    assert shown.min() == 0 and shown.max() == 255
    assert displayed(np.zeros((H, W, 2), np.float32)).shape == (H, W, 3)


def test_the_usual_form_is_read_as_ever(tmp_path):
    path = write(tmp_path / "a.png", values(3))
    pair = Pair("a", path, None, SPACE)
    assert RGB.is_usual and str(RGB) == "3 channels, 8 bits each"
    assert np.array_equal(SegmentationDataset([pair], SPACE, "").read(0)[0], values(3))
    assert str(PictureFormat(4, (0, 10000), -1.0)) == (
        "4 channels, raw values 0 to 10000 as 0 to 1, pixels with -1 or NaN ignored"
    )
