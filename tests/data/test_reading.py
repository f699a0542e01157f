"""Files are read exactly, or refused by name; never in part."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from gcseg.data.label_spaces import CITYSCAPES, CITYSCAPES_LABEL_IDS, VOC, LabelSpace
from gcseg.data.reading import count_values, read_image, read_label
from gcseg.errors import DataError
from tests.data.trees import mask, picture, write


def encoded(array, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_images_are_rgb(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", picture(0))
    image = read_image(path)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, picture(0))


def test_jpeg_is_read_as_pillow_reads_it(tmp_path):
    smooth = cv2.resize(picture(0, 4, 5), (60, 48), interpolation=cv2.INTER_CUBIC)
    path = write(tmp_path / "a.jpg", smooth)
    theirs = np.asarray(Image.open(path)).astype(int)
    assert np.abs(read_image(path) - theirs).max() <= 3


@pytest.mark.parametrize("channels", ["grey", "rgba", "palette"])
def test_other_images_become_rgb(tmp_path, channels):
    rgb = picture(0)
    if channels == "grey":
        path = write(tmp_path / "a.png", rgb[..., 0])
        wanted = np.repeat(rgb[..., :1], 3, axis=2)
    elif channels == "rgba":
        path = write(tmp_path / "a.png", np.dstack([rgb, np.full(rgb.shape[:2], 255)]))
        wanted = rgb
    else:
        indices = mask(0, range(21))
        path = write(tmp_path / "a.png", indices, VOC.palette)
        wanted = VOC.palette[indices]
    np.testing.assert_array_equal(read_image(path), wanted)


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.JPG", "a.png"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_content_counts_not_the_suffix(tmp_path, name, kind):
    path = tmp_path / name
    path.write_bytes(encoded(picture(0, 48, 60), kind))
    assert read_image(path).shape == (48, 60, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("named", ["own", "other"])
def test_truncated_images(tmp_path, kind, named):
    content = encoded(picture(0), kind)
    suffix = {"own": kind.lower(), "other": "jpg" if kind == "PNG" else "png"}[named]
    path = tmp_path / f"a.{suffix}"
    for share in (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97):
        size = int(len(content) * share)
        path.write_bytes(content[:size])
        with pytest.raises(
            DataError,
            match=rf"^image {path} is truncated or not an image \({size} bytes\): fetch this file",
        ):
            read_image(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_last_bytes_of_an_image_missing(tmp_path, kind):
    """Either the file is refused or nothing of the picture was lost."""
    content = encoded(picture(0), kind)
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(content)
    whole = read_image(path)
    for size in range(len(content) - 24, len(content)):
        path.write_bytes(content[:size])
        try:
            image = read_image(path)
        except DataError:
            continue
        np.testing.assert_array_equal(image, whole)


def test_not_an_image(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("<html>404</html>")
    with pytest.raises(DataError, match=rf"^image {path} is truncated or not an image \(16 bytes"):
        read_image(path)
    with pytest.raises(DataError, match=rf"^label {path} is truncated or not an image \(cannot"):
        read_label(path, VOC)


def test_missing_files(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(DataError, match=rf"^image {path} does not exist: check dataset.root$"):
        read_image(path)
    with pytest.raises(DataError, match=rf"^label {path} does not exist: check dataset.root$"):
        read_label(path, VOC)


@pytest.mark.parametrize("palette", [None, VOC.palette])
def test_grey_and_palette_labels_are_indices(tmp_path, palette):
    raw = mask(0, [*range(21), 255])
    label = read_label(write(tmp_path / "a.png", raw, palette), VOC)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, raw)


def test_palettes_of_few_colours(tmp_path):
    """Pillow and others store up to 16 colours in 1, 2 or 4 bits a pixel."""
    for count, bits in ((2, 1), (4, 2), (16, 4)):
        raw = mask(count, range(count))
        image = Image.fromarray(raw)
        image.putpalette(VOC.palette[:count].tobytes())
        image.save(tmp_path / "a.png", bits=bits)
        np.testing.assert_array_equal(read_label(tmp_path / "a.png", VOC), raw)


def test_label_ids_become_train_ids(tmp_path):
    raw = np.arange(34, dtype=np.uint8).reshape(2, 17)
    label = read_label(write(tmp_path / "a.png", raw), CITYSCAPES_LABEL_IDS)
    assert label[0].tolist() == [255] * 7 + [0, 1, 255, 255, 2, 3, 4, 255, 255, 255]
    assert label[1].tolist() == [5, 255, *range(6, 16), 255, 255, 16, 17, 18]


@pytest.mark.parametrize(
    ("space", "value", "allowed"),
    [
        (VOC, 200, "use 0-20, or 255 for ignored$"),
        (VOC, 254, "use 0-20, or 255 for ignored$"),
        (CITYSCAPES, 19, "use 0-18, or 255 for ignored$"),
        (
            CITYSCAPES_LABEL_IDS,
            34,
            "use 7-8, 11-13, 17, 19-28, 31-33, or 0-6, 9-10, 14-16, 18, 29-30, 255 for ignored$",
        ),
        (LabelSpace(("a", "b"), values={3: 0, 1: 1}), 2, "use 1, 3, or 255 for ignored$"),
        (LabelSpace(("a", "b"), values={0: 0, 255: 1}), 2, "use 0, 255$"),
        (LabelSpace(("a", "b"), values={1: 0, 255: 1}, ignored=(0,)), 2, "use 1, 255, or 0 for ig"),
    ],
)
def test_values_outside_the_space(tmp_path, space, value, allowed):
    raw = np.full((4, 5), 7 if space is CITYSCAPES_LABEL_IDS else 1)
    raw[3, 4] = value
    path = write(tmp_path / "a.png", raw)
    with pytest.raises(
        DataError,
        match=rf"^label {path} holds value {value}, which is not in the label space of "
        rf"{space.num_classes} classes: {allowed}",
    ):
        read_label(path, space)


def test_all_unknown_values_are_named(tmp_path):
    path = write(tmp_path / "a.png", [[0, 200, 21, 200, 255]])
    with pytest.raises(DataError, match="holds value 21, 200, which is"):
        read_label(path, VOC)


@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (picture(0), "RGB"),
        (np.dstack([picture(0), picture(1)[..., :1]]), "RGBA"),
        (np.zeros((4, 5), np.uint16), "I;16"),
        (np.zeros((4, 5), bool), "1"),
    ],
)
def test_masks_that_hold_no_indices(tmp_path, array, mode):
    path = tmp_path / "a.png"
    Image.fromarray(array).save(path)
    with pytest.raises(
        DataError,
        match=rf"^label {path} has mode {mode}, which is not an index mask: store one 8-bit class",
    ):
        read_label(path, VOC)


@pytest.mark.parametrize("palette", [None, VOC.palette])
def test_truncated_labels(tmp_path, palette):
    path = write(tmp_path / "a.png", mask(0, range(21)), palette)
    content = path.read_bytes()
    for share in (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(
            DataError, match=rf"^label {path} is truncated or not an image \(.+\): fetch this file"
        ):
            read_label(path, VOC)
    for size in range(int(len(content) * 0.9), len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=rf"^label {path} is truncated or not an image \(.+\)"):
            read_label(path, VOC)


@pytest.mark.parametrize("size", [(20, 24), (200, 300)])
def test_png_images_cut_anywhere(tmp_path, size):
    content = encoded(picture(0, *size), "PNG")
    path = tmp_path / "a.png"
    places = {*range(64), *np.linspace(64, len(content) - 64, 40).astype(int).tolist()}
    for end in sorted(places | set(range(len(content) - 64, len(content)))):
        path.write_bytes(content[:end])
        with pytest.raises(DataError, match=rf"^image {path} is truncated or not an image"):
            read_image(path)


@pytest.mark.parametrize("more", [b"x", bytes(10_000), b"\x00\x00\x00\x00IENDnot at the end"])
def test_what_follows_the_end_of_a_png_does_no_harm(tmp_path, more):
    image = write(tmp_path / "a.png", picture(0))
    label = write(tmp_path / "b.png", mask(0, range(21)))
    for path in (image, label):
        path.write_bytes(path.read_bytes() + more)
    np.testing.assert_array_equal(read_image(image), picture(0))
    np.testing.assert_array_equal(read_label(label, VOC), mask(0, range(21)))


def test_values_are_counted(tmp_path):
    label = mask(0, (0, 3, 255), 30, 40)
    counts = count_values(label)
    np.testing.assert_array_equal(counts, np.bincount(label.ravel(), minlength=256))


def test_more_pixels_than_a_float_counts():
    label = np.zeros((4200, 4000), np.uint8)
    label[0, 0] = 7
    counts = count_values(label)
    assert (counts[0], counts[7]) == (4200 * 4000 - 1, 1)


def test_a_film_behind_a_jpeg_does_no_harm(tmp_path):
    path = write(tmp_path / "a.jpg", np.full((8, 12, 3), 90, np.uint8))
    path.write_bytes(path.read_bytes() + bytes(10_000))
    assert read_image(path).shape == (8, 12, 3)
