"""What the servers would refuse is refused here, with what is wrong."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from gcseg.data.ade20k import ade20k, ade20k_classes
from gcseg.data.cityscapes import cityscapes
from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import CITYSCAPES, VOC, LabelSpace
from gcseg.data.voc import voc
from gcseg.errors import DataError
from gcseg.submission.check import check_archive, check_files
from gcseg.submission.servers import SERVERS
from tests.data import trees


def png(array, palette=True) -> bytes:
    image = Image.fromarray(np.asarray(array, np.uint8))
    if palette:
        image.putpalette(VOC.palette.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(params=["cityscapes", "voc", "ade20k"])
def case(request, tmp_path):
    """A server, the pictures of a split, and right masks of them by their place."""
    server = SERVERS[request.param]
    if server.name == "cityscapes":
        dataset, split = cityscapes(trees.cityscapes_tree(tmp_path), "val"), "val"
    elif server.name == "voc":
        dataset, split = voc(trees.voc_tree(tmp_path), "val"), "val"
    else:
        dataset, split = ade20k(trees.ade20k_tree(tmp_path), "test"), "test"
    pictures = server.pictures_of(dataset, split)
    masks = {}
    for index, pair in enumerate(pictures.values()):
        height, width = np.asarray(Image.open(pair.image)).shape[:2]
        masks[server.place(pair, split, None)] = trees.mask(index, (1, 20), height, width)
    assert len(masks) == len(dataset) == (1 if server.name == "ade20k" else 2)
    return server, pictures, masks, split


def packed(path, masks):
    """An archive of masks by name, as arrays or as bytes."""
    contents = [(name, one if isinstance(one, bytes) else png(one)) for name, one in masks]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in contents:
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in contents:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def checked(case, path, masks, competition=None):
    server, pictures, _, split = case
    path = packed(path.with_suffix(server.suffix), masks)
    return check_archive(server, path, pictures, split, competition, lambda done, total: None)


def test_right_ones(case, tmp_path):
    assert checked(case, tmp_path / "a", case[2].items()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_wrong_ones(case, tmp_path):
    masks = case[2]
    place, array = next(iter(masks.items()))
    others = [(name, one) for name, one in masks.items() if name != place]
    height, width = array.shape
    wrong = {
        f"is {width} x {height - 1} pixels, and its picture {width} x {height}": array[1:],
        "has value 255 .* of its pixels are outside": np.full_like(array, 255),
        "has mode RGB of 8 bits": png(np.stack([array] * 3, -1), palette=False),
        "is no PNG, or a damaged one": b"text",
        "is no PNG": png(array)[:60],
        "is larger than its picture allows": b"0" * (2**20 + 10**6),
    }
    for message, one in wrong.items():
        with pytest.raises(DataError, match=message):
            checked(case, tmp_path / "a", [(place, one), *others])
    with pytest.raises(DataError, match=f"lacks 1 of {len(masks)} masks?: there is none of"):
        checked(case, tmp_path / "a", others)
    with pytest.raises(DataError, match=r"holds notes.txt, which is no mask of a picture"):
        checked(case, tmp_path / "a", [*masks.items(), ("notes.txt", b"text")])
    with pytest.raises(DataError, match="holds two masks of"):
        checked(case, tmp_path / "a", [*masks.items(), again(case, place, array)])
    with pytest.raises(DataError, match="1 other fault"):
        checked(case, tmp_path / "a", [(place, array[1:]), *others, ("notes.txt", b"text")])


def again(case, place, array):
    """A second mask of a picture, under a name that the server would take for it too."""
    if case[0].name == "cityscapes":
        return f"more/{place.replace('_leftImg8bit', '_again')}", array
    if case[0].name == "voc":
        return place.replace("comp6", "comp5"), array
    return place, array


def test_another_kind_of_archive(case, tmp_path):
    server, pictures, masks, split = case
    other = packed(tmp_path / ("a.tgz" if server.suffix == ".zip" else "a.zip"), masks.items())
    (tmp_path / "text").write_text("text")
    for path in (other, tmp_path / "text"):
        with pytest.raises(DataError, match=f"is (a|no) .*: the server of {server.name} takes a"):
            check_archive(server, path, pictures, split, None, lambda done, total: None)


def test_rules_of_each(tmp_path):
    root = trees.cityscapes_tree(tmp_path / "cs")
    server = SERVERS["cityscapes"]
    pictures = server.pictures_of(cityscapes(root, "test"), "test")
    (name,) = pictures
    case = server, pictures, {}, "test"
    mask = np.full((32, 48), 26)
    assert checked(case, tmp_path / "a", [(f"results/{name}_mine.png", mask)]) == []
    assert checked(case, tmp_path / "a", [(f"{name}.png", png(mask, palette=False))]) == []
    (doubt,) = checked(case, tmp_path / "a", [(f"{name}.png", np.full((32, 48), 18))])
    assert "as if they held train ids" in doubt

    server = SERVERS["voc"]
    pictures = server.pictures_of(voc(trees.voc_tree(tmp_path / "voc"), "test"), "test")
    (pair,) = pictures.values()
    place = server.place(pair, "test", "comp5")
    assert place == f"results/VOC2012/Segmentation/comp5_test_cls/{pair.name}.png"
    shape = np.asarray(Image.open(pair.image)).shape[:2]
    case = server, pictures, {}, "test"
    mask = np.full(shape, 20)
    assert checked(case, tmp_path / "a", [(f"./{place}", mask)], "comp5") == []
    with pytest.raises(DataError, match=r"comp5_test_cls.* which is no mask"):
        checked(case, tmp_path / "a", [(place, mask)], "comp6")
    with pytest.raises(DataError, match="has mode L of 8 bits, and has to be an indexed PNG"):
        checked(case, tmp_path / "a", [(place, png(mask, palette=False))])
    few = Image.fromarray(mask.astype(np.uint8) // 20)
    few.putpalette([0, 0, 0, 128, 0, 0])
    file = io.BytesIO()
    few.save(file, "PNG", bits=1)
    with pytest.raises(DataError, match="has mode P of 1 bits"):
        checked(case, tmp_path / "a", [(place, file.getvalue())])


def test_masks_before_they_are_packed(case, tmp_path):
    server, pictures, masks, _ = case
    files = {}
    for array, place in zip(masks.values(), pictures, strict=True):
        files[place] = tmp_path / f"{place}.png"
        files[place].write_bytes(png(array))
    check_files(server, files, pictures, lambda done, total: None)
    first = next(iter(files.values()))
    first.write_bytes(png(np.full((9, 9), 7)))
    with pytest.raises(DataError, match=r"mask .* is 9 x 9 pixels, and its picture"):
        check_files(server, files, pictures, lambda done, total: None)
    first.unlink()
    with pytest.raises(DataError, match=r"can't be read \(No such file"):
        check_files(server, files, pictures, lambda done, total: None)


def test_classes_of_the_network():
    assert SERVERS["cityscapes"].classes(CITYSCAPES.names, "a").values[7] == 0
    for reduce in (True, False):
        names = ade20k_classes(reduce_zero_label=reduce).names
        space = SERVERS["ade20k"].classes(names, "a")
        assert space.values[150] == len(names) - 1 and space.names == names
    for names, message in {
        CITYSCAPES.names: "predicts 19 classes, such as road; the server of voc scores 21",
        (*VOC.names[1:], VOC.names[0]): "21 classes, in another order",
        VOC.names[:-1]: "20 classes, without tvmonitor",
    }.items():
        with pytest.raises(DataError, match=message):
            SERVERS["voc"].classes(names, "a")


def test_names_of_pictures(tmp_path):
    space = LabelSpace(("a", "b"))

    def pictures(server, *names):
        pairs = [Pair(name, tmp_path / f"{name}.jpg", None, space) for name in names]
        return SERVERS[server].pictures_of(SegmentationDataset(pairs, space, "x"), "test")

    with pytest.raises(DataError, match=r"two\.jpg is not named as cityscapes names its pictures"):
        pictures("cityscapes", "one/one_000000_000019_leftImg8bit", "one/two")
    with pytest.raises(DataError, match=r"would have the same mask, x\.png"):
        pictures("ade20k", "one/x", "two/x")
