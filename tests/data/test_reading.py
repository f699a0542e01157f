"""Files are read exactly, or refused by name; never in part."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

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
            match=rf"^image {path} is (truncated or not an image \(|damaged \(.*; ){size} bytes\): "
            "fetch this file again",
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
    raw = np.full((4, 5), min(space.values))
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
        (np.dstack([picture(0)[..., 0], picture(1)[..., 1]]), "LA"),
    ],
)
def test_masks_that_hold_no_indices(tmp_path, array, mode):
    path = tmp_path / "a.png"
    Image.fromarray(array).save(path)
    with pytest.raises(
        DataError,
        match=rf"^label {path} has mode {mode}, which is not an index mask.*: store one 8-bit",
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


def damaged_jpegs():
    """JPEG files, each damaged in another way, by what was done."""
    smooth = cv2.resize(picture(0, 12, 16), (160, 120), interpolation=cv2.INTER_CUBIC)
    whole = encoded(smooth, "JPEG", quality=90)
    start = whole.index(b"\xff\xda") + 14
    middle = (start + len(whole)) // 2
    return {
        "ends early, with an end marker": whole[:middle] + b"\xff\xd9",
        "ends early": whole[:middle],
        "zeroed in the middle": whole[:middle] + bytes(1500) + whole[middle + 1500 :],
        "ones in the middle": whole[:middle] + b"\xff" * 300 + whole[middle + 300 :],
        "a part is missing": whole[:middle] + whole[middle + 300 :],
        "a part is there twice": whole[:middle] + whole[middle - 300 :],
        "progressive, ends early": encoded(smooth, "JPEG", progressive=True)[:middle] + b"\xff\xd9",
    }


@pytest.mark.parametrize("damage", damaged_jpegs())
def test_what_libjpeg_only_warns_of_is_an_error(tmp_path, damage):
    path = tmp_path / "a.jpg"
    path.write_bytes(damaged_jpegs()[damage])
    with pytest.raises(DataError, match=rf"^image {path} is damaged \(.+; \d+ bytes\): fetch this"):
        read_image(path)


def test_harmless_oddities_of_jpegs_are_read(tmp_path):
    """Some phones write zeros as the last coefficient of a sequential scan, and a newer JFIF."""
    whole = encoded(picture(0, 40, 50), "JPEG")
    scan = whole.index(b"\xff\xda")
    length = int.from_bytes(whole[scan + 2 : scan + 4], "big")
    odd = bytearray(whole)
    odd[scan + length] = 0
    path = tmp_path / "a.jpg"
    path.write_bytes(whole)
    wanted = read_image(path)
    for content in (bytes(odd), whole.replace(b"JFIF\0\1", b"JFIF\0\3")):
        assert content != whole
        path.write_bytes(content)
        np.testing.assert_array_equal(read_image(path), wanted)
    path.write_bytes(bytes(odd[: scan + 300]) + b"\xff\xd9")
    with pytest.raises(DataError, match="is damaged"):
        read_image(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "progressive"])
def test_jpegs_have_the_pixels_that_opencv_reads(tmp_path, mode):
    smooth = Image.fromarray(cv2.resize(picture(0, 4, 5), (75, 51)))
    path = tmp_path / "a.jpg"
    smooth.convert("RGB" if mode == "progressive" else mode).save(
        path, quality=90, progressive=mode == "progressive"
    )
    wanted = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read_image(path), wanted)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path, kind, orientation):
    path = tmp_path / "a"
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.kron(picture(0, 3, 4), np.ones((16, 16, 1), np.uint8)))
    image.save(path, kind, exif=exif)
    with Image.open(path) as file:
        wanted = np.asarray(ImageOps.exif_transpose(file))
    assert wanted.shape[:2] == ((48, 64) if orientation < 5 else (64, 48))
    np.testing.assert_array_equal(read_image(path), wanted)


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.ones((4, 5), np.float32), "holds 32-bit floats"),
        (np.ones((4, 5, 3), np.float32), "holds 32-bit floats"),
        (np.ones((4, 5), np.float64), "holds 64-bit floats"),
        (np.ones((4, 5), np.int16), "holds 16-bit signed integers"),
        (np.ones((4, 5, 3), np.int16), "holds 16-bit signed integers"),
        (np.ones((4, 5), np.int8), "holds 8-bit signed integers"),
        (np.ones((4, 5), np.int32), "holds 32-bit signed integers"),
    ],
)
def test_pictures_of_other_samples_are_refused_as_what_they_are(tmp_path, array, what):
    path = tmp_path / "a.tif"
    assert cv2.imwrite(str(path), array)
    with pytest.raises(DataError, match=rf"^image {path} {what}: scale its values to 0 to 255"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_of_16_bits_the_upper_8_are_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    for wide in (picture(0).astype(np.uint16) * 256 + 77, np.full((4, 5), 0x1234, np.uint16)):
        assert cv2.imwrite(str(path), wide[..., ::-1] if wide.ndim == 3 else wide)
        wanted = wide >> 8 if wide.ndim == 3 else np.full((4, 5, 3), 0x12)
        np.testing.assert_array_equal(read_image(path), wanted)
    assert cv2.imwrite(str(path), np.full((4, 5), 255, np.uint16))
    black = rf"^image {path} has 16 bits per channel, .* be black: set dataset\.scale"
    with pytest.raises(DataError, match=black):
        read_image(path)


def test_tiff_of_many_kinds(tmp_path):
    smooth = cv2.resize(picture(0, 4, 5), (40, 32))
    path = tmp_path / "a.tif"
    for options in ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}):
        Image.fromarray(smooth).save(path, **options)
        np.testing.assert_array_equal(read_image(path), smooth)
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK"):
        Image.fromarray(smooth).convert(mode).save(path)
        with Image.open(path) as file:
            np.testing.assert_array_equal(read_image(path), np.asarray(file.convert("RGB")))


def test_files_of_other_kinds_are_named(tmp_path):
    path = tmp_path / "a.png"
    for content, cause, remedy in (
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is HEIC, which is not read", "convert it to PNG or JPEG"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS", "fetch its"),
        (b"%PDF-1.7", "is a PDF", "draw its pages as PNG"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"^image {path} {cause}: {remedy}"):
            read_image(path)


def test_pipes_are_not_waited_for(tmp_path):
    path = tmp_path / "a.png"
    os.mkfifo(path)
    for what, read in (("image", read_image), ("label", lambda path: read_label(path, VOC))):
        with pytest.raises(DataError, match=rf"^{what} {path} is not a regular file"):
            read(path)


def grey_png(path, values, bits):
    """Write a grey PNG of 1, 2 or 4 bits, as Pillow can't."""

    def chunk(kind, content):
        checked = kind + content
        return len(content).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")

    height, width = values.shape
    spread = np.unpackbits(values[..., None], axis=-1)[..., -bits:].reshape(height, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in spread)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"tRNS", b"\0\1")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_masks_of_few_bits_keep_their_values(tmp_path, bits):
    raw = mask(0, range(2**bits), 7, 9)
    grey_png(tmp_path / "a.png", raw, bits)
    np.testing.assert_array_equal(read_label(tmp_path / "a.png", VOC), raw)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32])
def test_tiff_masks_keep_their_values(tmp_path, dtype):
    raw = mask(0, [*range(21), 255])
    path = tmp_path / "a.tif"
    assert cv2.imwrite(str(path), raw.astype(dtype))
    np.testing.assert_array_equal(read_label(path, VOC), raw)


@pytest.mark.parametrize("photometric", [0, 1], ids=["white is 0", "black is 0"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_bilevel_and_inverted_tiff_masks_keep_their_samples(tmp_path, photometric, bits):
    raw = mask(0, range(min(2**bits, 21)), 6, 8)
    spread = np.unpackbits(raw[..., None], axis=-1)[..., -bits:].reshape(6, -1)
    pixels = b"".join(np.packbits(row).tobytes() for row in spread)
    tags = {256: 8, 257: 6, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 6,
            279: len(pixels)}  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    path = tmp_path / "a.tif"
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
        + pixels
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )
    np.testing.assert_array_equal(read_label(path, VOC), raw)


def test_palette_masks_of_other_formats_keep_their_indices(tmp_path):
    raw = mask(0, range(21))
    for suffix in (".bmp", ".gif", ".tif"):
        path = write(tmp_path / f"a{suffix}", raw, VOC.palette)
        np.testing.assert_array_equal(read_label(path, VOC), raw)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_values_of_more_than_8_bits_are_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert cv2.imwrite(str(path), np.full((4, 5), 300, np.uint16))
    with pytest.raises(DataError, match=rf"^label {path} holds value 300, which no class has"):
        read_label(path, VOC)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_tiff_masks_of_other_samples_are_refused(tmp_path, dtype):
    path = tmp_path / "a.tif"
    assert cv2.imwrite(str(path), np.ones((4, 5), dtype))
    with pytest.raises(DataError, match=rf"^label {path} holds \d+-bit (float|signed).*: store"):
        read_label(path, VOC)
