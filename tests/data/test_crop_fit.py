"""A crop is refused if all pictures are smaller; if some are, they are padded, and it says so."""

import pytest
from PIL import Image

from gcseg.config.table import TABLE
from gcseg.data.crop_fit import SMALLEST, check_crop
from gcseg.data.datasets import images_as_dataset
from gcseg.data.label_spaces import CAMVID
from gcseg.errors import ConfigError, DataError
from tests.data.trees import picture, write


def split(folder, *sizes):
    for number, (height, width) in enumerate(sizes):
        write(folder / f"{number:03d}.png", picture(number, height, width))
    return images_as_dataset(folder, CAMVID)


def test_pictures_as_large_as_the_crop(tmp_path):
    assert check_crop(split(tmp_path, (20, 30), (25, 32)), (40, 60), 2.0, None) is None


@pytest.mark.parametrize("order", [1, -1], ids=["the first is small", "the last is small"])
def test_some_smaller_pictures_are_counted(tmp_path, order):
    dataset = split(tmp_path, *[(5, 5), (40, 20), (20, 40), (40, 40)][::order])
    assert check_crop(dataset, (64, 64), 2.0, None) == (
        "3 of 4 pictures are smaller than the crop of 64x64 (height x width), even at "
        "augment.scale.max=2: they are padded with ignored pixels"
    )


def test_all_smaller_in_a_direction(tmp_path):
    dataset = split(tmp_path, (20, 30), (40, 30))
    with pytest.raises(
        ConfigError,
        match=r"^dataset\.crop\.height=90 and dataset\.crop\.width=70 are larger than any image "
        r"becomes at augment\.scale\.max=2: give at most "
        r"dataset\.crop\.height=80 dataset\.crop\.wi",
    ):
        check_crop(dataset, (90, 70), 2.0, None)
    assert check_crop(dataset, (80, 60), 2.0, None).startswith("1 of 2 pictures is smaller")


def test_the_remedy_is_no_crop_that_would_be_refused(tmp_path):
    rows = {row.name: row for row in TABLE}
    assert SMALLEST == rows["dataset.crop.height"].least == rows["dataset.crop.width"].least
    with pytest.raises(ConfigError, match=r": enlarge the images: each side of a crop has 32 pix"):
        check_crop(split(tmp_path, (2, 3)), (SMALLEST, SMALLEST), 2.0, None)


def test_all_are_looked_at_before_a_crop_is_refused(tmp_path):
    """One of many, which a sample of every second picture misses."""
    dataset = split(tmp_path, *[(4, 4)] * 65, (40, 40), *[(4, 4)] * 10)
    assert check_crop(dataset, (64, 64), 2.0, None).startswith("75 of 76 pictures are smaller")


def test_a_turned_jpeg_counts_as_it_is_read(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(0, 20, 40)).save(tmp_path / "a.jpg", exif=exif)
    assert check_crop(images_as_dataset(tmp_path, CAMVID), (40, 20), 1.0, None) is None


def test_no_header_that_can_be_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png is truncated or not an image"):
        check_crop(images_as_dataset(tmp_path, CAMVID), (40, 20), 1.0, None)
