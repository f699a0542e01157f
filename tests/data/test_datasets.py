"""Pairing, and what readers say about folders that are not as they should be."""

import re
import shutil

import numpy as np
import pytest

from gcseg.data.cityscapes import cityscapes
from gcseg.data.datasets import files_by_stem, images_as_dataset
from gcseg.data.folder import camvid, folder
from gcseg.data.label_spaces import CAMVID
from gcseg.data.scenes.dataset import scenes
from gcseg.data.voc import voc
from gcseg.errors import ConfigError, DataError
from tests.data import trees
from tests.data.trees import mask, picture, write

READERS = {
    "cityscapes": (cityscapes, trees.cityscapes_tree),
    "voc": (voc, trees.voc_tree),
    "camvid": (camvid, trees.camvid_tree),
    "folder": (folder, trees.folder_tree),
    "scenes": (scenes, lambda root: root / "missing"),
}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cityscapes", r"^folder /nowhere/leftImg8bit/val does not exist: check dataset\.root"),
        ("voc", r"^no VOCdevkit/VOC2012/ImageSets/Segmentation in /nowhere: set dataset\.root to"),
        ("camvid", r"^CamVid's folder /nowhere/valannot does not exist: set dataset\.root to"),
        ("folder", r"^/nowhere does not exist: check dataset\.root"),
    ],
)
def test_missing_folder(name, message):
    with pytest.raises(DataError, match=message):
        READERS[name][0]("/nowhere", "val")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (
            "cityscapes",
            ConfigError,
            "^cityscapes has no split 'dev': use one of train, val, test, trainvalidation$",
        ),
        ("voc", ConfigError, r"^voc has no split 'dev' in .*/Segmentation: use one of \['test', "),
        ("camvid", DataError, "^CamVid's folder .*/devannot does not exist"),
        ("folder", DataError, "^folder .*/images/dev does not exist"),
    ],
)
def test_unknown_split(tmp_path, name, error, message):
    read, make = READERS[name]
    with pytest.raises(error, match=message):
        read(make(tmp_path), "dev")


@pytest.mark.parametrize("layout", ["cityscapes", "voc"])
def test_unknown_split_of_the_scenes(tmp_path, layout):
    with pytest.raises(ConfigError, match=r"no split 'dev'.*: use one of"):
        scenes(tmp_path, "dev", layout=layout, train=1, val=1, height=32, width=32)


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("cityscapes", "leftImg8bit/val"),
        ("camvid", "val"),
        ("folder", "images/val"),
    ],
)
def test_empty_split(tmp_path, name, images):
    read, make = READERS[name]
    root = make(tmp_path)
    labels = {"cityscapes": "gtFine/val", "camvid": "valannot", "folder": "labels/val"}[name]
    for part in (images, labels):
        shutil.rmtree(root / part)
        (root / part).mkdir()
    with pytest.raises(DataError, match=f"^no images in .*{images.split('/')[0]}.*: check dataset"):
        read(root, "val")


def test_empty_list_of_voc(tmp_path):
    root = trees.voc_tree(tmp_path)
    listing = root / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    listing.write_text("\n  \n")
    with pytest.raises(DataError, match=rf"^no images in {re.escape(str(listing))}: check dataset"):
        voc(root, "val")


@pytest.mark.parametrize(
    ("name", "image", "label", "image_message", "label_message"),
    [
        (
            "cityscapes",
            "leftImg8bit/val/elmeth/elmeth_000001_000019_leftImg8bit.png",
            "gtFine/val/elmeth/elmeth_000001_000019_gtFine_labelIds.png",
            "^image {image} has no label: add {label} from gtFine_trainvaltest.zip$",
            "^label {label} has no image: add the image or remove the label$",
        ),
        (
            "camvid",
            "val/0001TP_000001.png",
            "valannot/0001TP_000001.png",
            "^image {image} has no label of the same name: add the label or remove the image$",
            "^label {label} has no image of the same name: add the image or remove the label$",
        ),
        (
            "folder",
            "images/val/site1/tile.1.jpg",
            "labels/val/site1/tile.1.png",
            "^image {image} has no label of the same name: add the label or remove the image$",
            "^label {label} has no image of the same name: add the image or remove the label$",
        ),
        (
            "voc",
            "VOCdevkit/VOC2012/JPEGImages/2011_000001.jpg",
            "VOCdevkit/VOC2012/SegmentationClass/2011_000001.png",
            "^line 2 of .*val.txt is 2011_000001, but its label {label} does not exist: add the",
            "^line 2 of .*val.txt is 2011_000001, but its image {image} does not exist: add the",
        ),
    ],
    ids=["cityscapes", "camvid", "folder", "voc"],
)
@pytest.mark.parametrize("removed", ["image", "label"], ids=lambda kind: f"no {kind}")
def test_half_a_pair(tmp_path, name, image, label, image_message, label_message, removed):
    read, make = READERS[name]
    root = make(tmp_path)
    paths = {"image": root / image, "label": root / label}
    paths[removed].unlink()
    message = image_message if removed == "label" else label_message
    escaped = {kind: re.escape(str(path)) for kind, path in paths.items()}
    with pytest.raises(DataError, match=message.format(**escaped)):
        read(root, "val")


def test_several_lonely_files_are_counted(tmp_path):
    root = trees.camvid_tree(tmp_path)
    for path in (root / "trainannot").glob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"0001TP_000000.png has no label.*\(and 2 more\): add"):
        camvid(root, "train")


def test_labels_are_paired_by_name_not_by_position(tmp_path):
    for name, value in (("b", 1), ("a", 2), ("c10", 3), ("c9", 4)):
        write(tmp_path / "train" / f"{name}.png", np.full((4, 5, 3), value))
        write(tmp_path / "trainannot" / f"{name}.png", np.full((4, 5), value))
    dataset = camvid(tmp_path, "train")
    for index in range(4):
        image, label = dataset.read(index)
        assert set(image.ravel().tolist()) == set(label.ravel().tolist())


def test_sizes_that_differ(tmp_path):
    image = write(tmp_path / "train" / "a.png", picture(0, 20, 24))
    label = write(tmp_path / "trainannot" / "a.png", mask(0, range(11), 24, 20))
    dataset = camvid(tmp_path, "train")
    with pytest.raises(
        DataError,
        match=rf"^image {image} is 20x24 but its label {label} is 24x20 \(height x width\): pair",
    ):
        dataset.read(0)


def test_two_files_that_differ_in_their_suffix(tmp_path):
    first = write(tmp_path / "train" / "a.jpg", picture(0))
    second = write(tmp_path / "train" / "a.png", picture(1))
    write(tmp_path / "trainannot" / "a.png", mask(0, range(11)))
    with pytest.raises(
        DataError, match=f"^{first} and {second} have the same name: keep one of the two files$"
    ):
        camvid(tmp_path, "train")


def test_hidden_and_other_files_are_left_out(tmp_path):
    write(tmp_path / "a.png", picture(0))
    write(tmp_path / "city" / "b.JPG", picture(0))
    for name in (".a.png", "._b.jpg", ".cache/c.png", "city/.thumbnails/d.png"):
        write(tmp_path / name, picture(0))
    for name in ("Thumbs.db", "a.txt", "png", "a.png.partial"):
        (tmp_path / name).touch()
    assert list(files_by_stem(tmp_path)) == ["a", "city/b"]


def test_a_hidden_folder_above_the_dataset_does_not_matter(tmp_path):
    write(tmp_path / ".data" / "a.png", picture(0))
    assert list(files_by_stem(tmp_path / ".data")) == ["a"]


def test_linked_folders_are_followed(tmp_path):
    write(tmp_path / "elsewhere" / "a.png", picture(0))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "city").symlink_to(tmp_path / "elsewhere")
    assert files_by_stem(tmp_path / "images") == {"city/a": tmp_path / "images" / "city" / "a.png"}


def test_names_with_brackets_and_dots(tmp_path):
    for name in ("a[1].b", "a*", "x.y.z"):
        write(tmp_path / "set[1]" / f"{name}.png", picture(0))
    assert sorted(files_by_stem(tmp_path / "set[1]")) == ["a*", "a[1].b", "x.y.z"]


def test_only_stems_with_the_ending_count(tmp_path):
    for name in ("c/a_x.png", "c/a_y.png", "c/b_x.png", "d/a_x.png"):
        write(tmp_path / name, picture(0))
    assert list(files_by_stem(tmp_path, (".png",), ending="_x")) == ["c/a", "c/b", "d/a"]


def test_other_cityscapes_files_are_ignored(tmp_path):
    """The download also has colours, instances and polygons."""
    root = trees.cityscapes_tree(tmp_path)
    for path in list(root.glob("gtFine/val/*/*_labelIds.png")):
        for kind in ("color", "instanceIds"):
            write(path.with_name(path.name.replace("labelIds", kind)), picture(0))
        path.with_name(path.name.replace("labelIds.png", "polygons.json")).write_text("{}")
    assert len(cityscapes(root, "val")) == 2


def test_train_ids_are_taken_where_both_are_present(tmp_path):
    root = trees.cityscapes_tree(tmp_path)
    label_ids = next(root.glob("gtFine/val/*/*_labelIds.png"))
    train_ids = label_ids.with_name(label_ids.name.replace("labelIds", "labelTrainIds"))
    write(train_ids, np.full((32, 48), 13))
    taken = [pair.label for pair in cityscapes(root, "val").pairs]
    assert train_ids in taken and label_ids not in taken
    _, label = cityscapes(root, "val").read(taken.index(train_ids))
    assert (label == 13).all()


@pytest.mark.parametrize("below", ["VOCdevkit/VOC2012", "VOC2012", "."])
def test_voc_is_found_where_it_is(tmp_path, below):
    devkit = trees.voc_tree(tmp_path / "written") / "VOCdevkit" / "VOC2012"
    target = tmp_path / "root" / below
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(devkit, target, dirs_exist_ok=True)
    assert len(voc(tmp_path / "root", "train")) == 3


def test_voc_lists_with_paths(tmp_path):
    """As the lists of the augmented set come: the paths of image and label in a line."""
    root = trees.voc_tree(tmp_path)
    listing = root / "VOCdevkit/VOC2012/ImageSets/Segmentation/trainaug.txt"
    names = listing.read_text().split()
    listing.write_text(
        "".join(f"/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png\n" for n in reversed(names))
    )
    assert [pair.name for pair in voc(root, "trainaug").pairs] == names[::-1]


def test_images_alone_have_no_labels(tmp_path):
    root = trees.folder_tree(tmp_path)
    dataset = folder(root, "test")
    assert not dataset.has_labels
    image, label = dataset.read(0)
    assert image.shape == (20, 24, 3)
    assert label is None


def test_folders_elsewhere(tmp_path):
    write(tmp_path / "photos-train" / "a.png", picture(0))
    write(tmp_path / "masks" / "train" / "gt" / "a.png", mask(0, range(2)))
    (tmp_path / "names.yaml").write_text("classes: ['off', on_, '3']\n")
    dataset = folder(
        tmp_path, "train", classes="names.yaml", images="photos-{split}", labels="masks/{split}/gt"
    )
    assert len(dataset) == 1 and dataset.has_labels
    assert dataset.label_space.values == {0: 0, 1: 1, 2: 2}


def test_the_first_samples(tmp_path):
    dataset = camvid(trees.camvid_tree(tmp_path), "train")
    assert dataset.first(2).pairs == dataset.pairs[:2]
    assert dataset.first(2).label_space == dataset.label_space
    assert len(dataset.first(100)) == 3


def test_pictures_as_a_dataset(tmp_path):
    write(tmp_path / "b.png", picture(1))
    path = write(tmp_path / "sub" / "a.jpg", picture(0))
    assert [pair.name for pair in images_as_dataset(tmp_path, CAMVID).pairs] == ["b", "sub/a"]
    single = images_as_dataset(path, CAMVID)
    assert [(pair.name, pair.image) for pair in single.pairs] == [("a", path)]
    assert not single.has_labels and single.label_space is CAMVID


def test_pictures_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match=f"^{tmp_path}/x does not exist: give images="):
        images_as_dataset(tmp_path / "x", CAMVID)
    with pytest.raises(DataError, match=f"^no pictures in {tmp_path}: give images="):
        images_as_dataset(tmp_path, CAMVID)


def voc_names(root, names):
    """A VOC tree with these pictures, none of which is listed yet; its list."""
    devkit = root / "VOCdevkit" / "VOC2012"
    for name in names:
        write(devkit / "JPEGImages" / f"{name}.jpg", picture(0))
        write(devkit / "SegmentationClass" / f"{name}.png", mask(0, range(21)))
    (devkit / "ImageSets" / "Segmentation").mkdir(parents=True)
    return devkit / "ImageSets" / "Segmentation" / "train.txt"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n", " \n"])
def test_voc_lists_as_editors_write_them(tmp_path, encoding, ending):
    names = ["2007_000001", "my photo", "tile.1", "tile.2", "straße"]
    listing = voc_names(tmp_path, names)
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    listing.write_bytes((mark + "".join(f"{name}{ending}" for name in names)).encode(encoding))
    assert [pair.name for pair in voc(tmp_path, "train").pairs] == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nstraße\n".encode("latin-1"), "list {} is not UTF-8: save it as UTF-8"),
        (b"a\nb\na\n", "{} lists a twice, in lines 1 and 3: take one of them off"),
        (b"a\n../a\n", "line 2 of {}, ../a, points outside .*JPEGImages: write the picture's name"),
        (b"/etc/passwd\n", "line 1 of {}, /etc/passwd, points outside"),
        (b"b\n\nnot there\n", "line 3 of {} is not, but its image .* does not exist: add the file"),
        (b"x" * 5000 + b"\n", r"line 1 of {} is x+\.\.\., but its image .*x\.\.\. does not exist"),
        (b"c.d.jpg\n", "line 1 of {} is c.d, but its image .*/c.d.jpg does not exist"),
    ],
)
def test_voc_lists_that_are_wrong(tmp_path, content, message):
    listing = voc_names(tmp_path, ["a", "b"])
    listing.write_bytes(content)
    with pytest.raises(DataError, match="^" + message.format(listing)):
        voc(tmp_path, "train")


def test_a_check_collects_the_wrong_lines_of_a_list(tmp_path):
    voc_names(tmp_path, ["a", "b"]).write_text("a\nc\n../b\na\nb\n")
    faults = []
    assert [pair.name for pair in voc(tmp_path, "train", faults=faults).pairs] == ["a", "b"]
    assert len(faults) == 4  # both files of c are missing


def test_loops_of_links_end(tmp_path):
    write(tmp_path / "images" / "city" / "a.png", picture(0))
    (tmp_path / "images" / "city" / "up").symlink_to("..")
    (tmp_path / "images" / "self").symlink_to(".")
    (tmp_path / "images" / "city" / "endless").symlink_to("endless")
    assert list(files_by_stem(tmp_path / "images")) == ["city/a"]


def test_links_to_what_is_not_there_are_refused_when_read(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere.png")
    dataset = images_as_dataset(tmp_path, CAMVID)
    with pytest.raises(DataError, match=r"a\.png is a link to .*nowhere\.png, which does not"):
        dataset.read(0)


def test_names_with_accents_pair_in_either_form(tmp_path):
    (tmp_path / "classes.yaml").write_text("classes: [a, b]")
    write(tmp_path / "images/train/caf\u00e9.PNG", picture(0))
    write(tmp_path / "labels/train/cafe\u0301.png", mask(0, range(2)))
    assert len(folder(tmp_path, "train")) == 1


@pytest.mark.parametrize("suffix", [".tif", ".TIFF", ".bmp", ".gif"])
def test_masks_need_not_be_png(tmp_path, suffix):
    (tmp_path / "classes.yaml").write_text("classes: [a, b]")
    write(tmp_path / "images/train/a.png", picture(0))
    raw = mask(0, range(2))
    write(tmp_path / f"labels/train/a{suffix}", raw)
    _, label = folder(tmp_path, "train").read(0)
    np.testing.assert_array_equal(label, raw)


def test_masks_in_formats_that_lose_values_are_named(tmp_path):
    (tmp_path / "classes.yaml").write_text("classes: [a, b]")
    write(tmp_path / "images/train/a.png", picture(0))
    write(tmp_path / "labels/train/a.jpg", picture(0))
    with pytest.raises(
        DataError, match=rf"^no masks in {tmp_path}/labels/train: 1 file \(.jpg 1\): store masks as"
    ):
        folder(tmp_path, "train")
