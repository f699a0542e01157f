"""dataset=folder: every way in which pictures and masks lie is read as the same masks."""

import csv
import os
import re

import numpy as np
import pytest
from PIL import Image

from gcseg.data import layouts
from gcseg.data.class_index import class_index
from gcseg.data.folder import folder
from gcseg.errors import ConfigError, DataError
from tests.data.trees import mask, picture, write

COLORS = ((128, 0, 0), (0, 200, 0), (10, 20, 30))
CLASSES = "classes:\n" + "".join(
    f"- {{name: {name}, color: {list(color)}}}\n"
    for name, color in zip(("sea", "land", "ship"), COLORS, strict=True)
)
NAMES = ("a", "b b", "c.1")


def label(index):
    return mask(index, (0, 1, 2, 255))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "classes.yaml").write_text(CLASSES)
    return tmp_path


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """What is announced; each layout once."""
    lines = []
    layouts.say_found.cache_clear()
    layouts._announce_once.cache_clear()
    monkeypatch.setattr(layouts, "announce", lines.append)
    return lines


def put(root, image, label_name, names=NAMES):
    """Write pictures and masks by patterns with {} for the name."""
    for index, name in enumerate(names):
        write(root / image.format(name), picture(index))
        if label_name:
            write(root / label_name.format(name), label(index))


def check(dataset, names=NAMES):
    assert [pair.name.rpartition("/")[2] for pair in dataset.pairs] == sorted(names)
    for index in range(len(names)):
        image, found = dataset.read(index)
        assert np.array_equal(found, label(index))
        assert np.array_equal(dataset.read_label(index), label(index))
        assert image.shape == picture(index).shape
    return dataset


@pytest.mark.parametrize(
    ("image", "label_name", "settings"),
    [
        (
            "train/img/{}.png",
            "train/ann/{}.png",
            {"images": "{split}/img", "labels": "{split}/ann"},
        ),
        (
            "train/img/{}.png",
            "train/ann/{}.png",
            {"images": "{split}/img/*.png", "labels": "{split}/ann/*.png"},
        ),
        ("x/train/{}.png", "y/train/{}.png", {"images": "x/{split}/*", "labels": "y/{split}"}),
        (
            "data/{}.png",
            "data/{}_m.png",
            {"images": "data", "labels": "data", "label_ending": "_m"},
        ),
        ("data/{}.png", "data/{}_m.png", {"images": "data", "label_ending": "_m"}),
        ("data/{}.png", "data/{}_m.png", {"images": "data/*.png", "label_ending": "_m"}),
        ("data/{}.png", "data/{}_m.png", {"images": "data/*.png", "labels": "data/*_m.png"}),
        ("data/{}.bmp", "data/{}.png", {"images": "data/*.bmp", "labels": "data/*.png"}),
        (
            "train/oslo/img/{}_left.png",
            "train/oslo/gt/{}_ids.png",
            {"images": "{split}/*/img/*_left.png", "labels": "{split}/*/gt/*_ids.png"},
        ),
        ("p/x/y/{}.png", "q/x/y/{}.tif", {"images": "p/**/*.png", "labels": "q/**/*.tif"}),
        ("p/x/y/{}.png", "q/x/y/{}.bmp", {"images": "p/**/*.png", "labels": "q"}),
    ],
)
def test_layouts_that_are_stated(root, said, image, label_name, settings):
    put(root, image, label_name)
    check(folder(root, "train", **settings))
    stated = "".join(f"{name}: '{value}'\n" for name, value in settings.items())
    (root / "classes.yaml").write_text(CLASSES + stated)
    check(folder(root, "train"))
    assert not said


IN_FOLDERS = {"split_list": "{split}.txt", "images": "i", "labels": "l"}


def lines(template):
    return "".join(template.format(name) + "\n" for name in NAMES)


@pytest.mark.parametrize(
    ("listing", "text", "settings"),
    [
        ("train.txt", lines("i/{0}.png l/{0}.png"), {}),
        ("train.txt", lines("i/{0}.png\tl/{0}.png"), {}),
        ("train.txt", lines("/i/{0}.png /l/{0}.png"), {}),
        ("train.txt", lines("i/{0} l/{0}"), {}),
        ("train.txt", "\ufeff" + lines("i/{0}.png  l/{0}.png\r\n"), {}),
        ("train.csv", lines("i/{0}.png,l/{0}.png"), {}),
        ("train.csv", "image,label\n" + lines("i/{0}.png,l/{0}.png"), {}),
        ("train.csv", "number;mask;image\n" + lines("7;l/{0}.png;i/{0}.png"), {}),
        ("train.csv", "photo,classes\n" + lines('"i/{0}.png","l/{0}.png"'), {}),
        ("lists/train.txt", lines("i/{0}.png"), {"labels": "l"}),
        ("lists/train.txt", lines("../i/{0}.png ../l/{0}.png"), {}),
        ("train.txt", lines("i/{0}"), {"labels": "l"}),
        ("train.txt", lines("{0}"), IN_FOLDERS),
        ("train.txt", lines("{0}.png"), IN_FOLDERS),
        ("train.txt", lines("i/{0}.png"), IN_FOLDERS),
    ],
)  # fmt: skip
def test_lists(root, listing, text, settings):
    put(root, "i/{}.png", "l/{}.png")
    put(root, "i/{}.png", "l/{}.png", names=("z0", "z1"))  # of other splits
    (root / listing).parent.mkdir(exist_ok=True)
    (root / listing).write_text(text)
    check(folder(root, "train", **{"images": listing.replace("train", "{split}"), **settings}))


def test_lists_with_masks_next_to_pictures(root):
    put(root, "i/{}.png", "i/{}_mask.png")
    (root / "train.txt").write_text(lines("i/{}.png"))
    check(folder(root, "train", images="{split}.txt", label_ending="_mask"))


def test_lists_lead_out_only_when_that_is_allowed(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    put(other, "i/{}.png", "l/{}.png")
    (root / "train.txt").write_text(lines(f"{other}/i/{{0}}.png {other}/l/{{0}}.png"))
    with pytest.raises(
        DataError,
        match=r"^line 1 of .*/train.txt names .*/i/a.png, which is outside .*: list files below "
        "dataset.root, or set dataset.reader.outside=true if the list is yours$",
    ):
        folder(root, "train", images="{split}.txt")
    check(folder(root, "train", images="{split}.txt", outside=True))
    relative = os.path.relpath(other, root)
    (root / "train.txt").write_text(f"{relative}/i/a.png {relative}/l/a.png\n")
    with pytest.raises(DataError, match="which is outside"):
        folder(root, "train", images="{split}.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("i/a.png l/x.png\n", "line 1 of .* names l/x.png, and there is no such label"),
        ("i/a.png l/a.png\n\ni/x.png l/a.png", "line 3 of .* names i/x.png, and there is no"),
        ("i/a.png l/a.png\ni/a.png l/a.png\n", "lists .*i/a.png twice, in lines 1 and 2"),
        ("i/a.png l/a.png\ni/c.1.png\n", "line 2 of .* has no mask, and other lines have one"),
        ("\n", "names no pictures"),
        ("nothing", "line 1 of .* names nothing, and there is no such image"),
    ],
)  # fmt: skip
def test_wrong_lists(root, text, message):
    put(root, "i/{}.png", "l/{}.png")
    (root / "train.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        folder(root, "train", images="{split}.txt")


def test_all_wrong_lines_are_found_at_once(root):
    put(root, "i/{}.png", "l/{}.png")
    (root / "train.txt").write_text(lines("i/{0}.png l/{0}.png") + "i/x.png l/a.png\ny l/a.png\n")
    faults = []
    assert len(folder(root, "train", images="{split}.txt", faults=faults)) == 3
    assert [error.kind for error in faults] == ["missing image"] * 2


def test_a_csv_of_many_columns_needs_names(root):
    put(root, "i/{}.png", "l/{}.png")
    (root / "train.csv").write_text("i/a.png,l/a.png,7\n")
    with pytest.raises(DataError, match="has 3 columns: leave picture and mask, or name these two"):
        folder(root, "train", images="{split}.csv")
    with (root / "train.csv").open("w") as file:
        csv.writer(file).writerows([("image", "mask"), ("i/a.png", "l/gone.png")])
    with pytest.raises(DataError, match=r"line 2 of .* names l/gone.png"):
        folder(root, "train", images="{split}.csv")


@pytest.mark.parametrize(
    ("image", "label_name", "stated"),
    [
        ("train/{}.png", "trainannot/{}.png", "images='{split}' labels='{split}annot'"),
        ("train/img/{}.png", "train/ann/{}.png", "images='{split}/img' labels='{split}/ann'"),
        ("images/train/{}.png", "masks/train/{}.png", "labels='masks/{split}'"),
        ("images/{}.png", "masks/{}.png", "images=images labels=masks"),
        (
            "train/{}.png",
            "train/{}_mask.png",
            "images='{split}' labels='{split}' label_ending=_mask",
        ),
        ("{}.png", "{}_mask.png", "images=. labels=. label_ending=_mask"),
        ("{}.jpg", "{}.png", "images='*.jpg' labels='*.png'"),
        ("{}.JPEG", "{}.png", "images='*.JPEG' labels='*.png'"),
        ("train/{}.jpg", "train/{}.png", "images='{split}/*.jpg' labels='{split}/*.png'"),
    ],
)  # fmt: skip
def test_layouts_that_are_found(root, said, image, label_name, stated):
    put(root, image, label_name)
    check(folder(root, "train"))
    line = re.sub(r"dataset\.reader\.", "", said[0])
    assert line == f"{root} is read as it is laid out: {stated}"
    assert len(said) == (1 if "train" in image else 2)


@pytest.mark.parametrize("place", ["ImageSets/Segmentation/train.txt", "train.txt"])
def test_found_layouts_with_lists(root, said, place):
    put(root, "JPEGImages/{}.png", "SegmentationClass/{}.png")
    write(root / "JPEGImages/unlabelled.png", picture(0))
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(lines("{}"))
    check(folder(root, "train"))
    assert f"split_list='{place.replace('train', '{split}')}'" in said[0]


def test_a_found_list_of_pictures_and_masks(root, said):
    put(root, "x/{}.png", "y/{}.png")
    (root / "train.txt").write_text(lines("x/{0}.png y/{0}.png"))
    check(folder(root, "train"))
    assert "images='{split}.txt'" in said[0]


def test_uncertain_layouts_are_not_read(root):
    with pytest.raises(
        DataError, match=r"no common layout fits what it holds: classes.yaml: check"
    ):
        folder(root, "train")
    put(root, "photos/{}.png", "outlines/{}.png")
    with pytest.raises(DataError, match=r"holds: classes.yaml, outlines/, photos/: check"):
        folder(root, "train")
    put(root, "img/{}.png", "ann/{}.png", names=("a", "b"))
    write(root / "img/c.png", picture(0))  # without a mask
    with pytest.raises(DataError, match="no common layout fits"):
        folder(root, "train")
    put(root, "train/img/{}.png", "train/ann/{}.png")
    put(root, "train/img/{}.png", "train/masks/{}.png")
    with pytest.raises(DataError, match=r"several layouts fit it: state one: .*masks.*; or .*ann"):
        folder(root, "train")


@pytest.mark.parametrize("place", ["", "train/"])
@pytest.mark.parametrize("other", ["colours", "size", "name", "suffix"])
def test_pngs_that_may_be_no_masks_are_not_guessed(root, place, other):
    put(root, f"{place}{{}}.jpg", f"{place}{{}}.png")
    if other == "colours":
        write(root / place / "a.png", picture(0))
    elif other == "size":
        write(root / place / "a.png", label(0)[1:])
    elif other == "name":
        write(root / place / "z.png", label(0))
    else:
        write(root / place / "d.jpeg", picture(0))
    patterns = [f"dataset.reader.{key}='{'{split}/' * bool(place)}*{suffix}'"
                for key, suffix in (("images", ".jpg"), ("labels", ".png"))]  # fmt: skip
    with pytest.raises(DataError) as caught:
        folder(root, "train")
    if other == "suffix":
        assert "no common layout fits what it holds" in caught.value.cause
        return
    assert "its PNGs are not certain to be masks: some are in colours" in caught.value.cause
    assert caught.value.remedy == (
        f"if they are the pictures' masks, state it: {' '.join(patterns)}"
    )


def test_one_mask_for_several_pictures_is_told(root, said):
    put(root, "i/{}.png", "l/{}.png")
    (root / "train.txt").write_text("i/a.png l/a.png\ni/b b.png l/a.png\ni/c.1.png l/c.1.png\n")
    for _ in range(2):
        assert len(folder(root, "train", images="{split}.txt")) == 3
    assert said == [
        f"note: {root}/train.txt gives 2 of 3 pictures the mask of another one: a.png to a.png, "
        "b b.png; correct it unless it is meant"
    ]


def test_wrong_patterns(root):
    put(root, "i/{}.png", "l/{}.png")
    with pytest.raises(ConfigError, match=r"^the pattern \*\*/\*\*/a has \*\* twice"):
        folder(root, "train", images="**/**/a")
    with pytest.raises(DataError, match=rf"^no pictures match {root}/i/\*.jpg: check"):
        folder(root, "train", images="i/*.jpg", labels="l")
    with pytest.raises(DataError, match="have the same name, a, in the pattern"):
        put(root, "j/1/{}.png", "")
        put(root, "j/1/{}.bmp", "")
        folder(root, "train", images="j/1/*", labels="l")
    (root / "classes.yaml").write_text(CLASSES + "images: ../elsewhere\n")
    with pytest.raises(
        ConfigError, match=r"images: '?../elsewhere'? leads out of the dataset's folder"
    ):
        folder(root, "train")


# Masks in colours


def in_colors(index):
    colors = np.zeros((256, 3), np.uint8)
    colors[:3] = COLORS
    colors[255] = (255, 255, 255)
    return colors[label(index)]


def colored(
    root, change=lambda colors: colors, ignore="ignore: [[255, 255, 255]]\n", suffix=".png"
):
    (root / "classes.yaml").write_text(CLASSES + ignore)
    for index, name in enumerate(NAMES):
        write(root / f"images/train/{name}.png", picture(index))
        path = root / f"labels/train/{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        colors = change(in_colors(index))
        if suffix == ".npy":
            np.save(path, colors)
        else:
            Image.fromarray(colors).save(path)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".npy"])
def test_masks_in_colours(root, suffix):
    colored(root, suffix=suffix)
    dataset = check(folder(root, "train"))
    counts = [(label(index) == value).sum() for index in range(3) for value in range(3)]
    assert class_index(dataset).counts.ravel().tolist() == counts


def test_colours_with_an_alpha_channel_and_in_a_palette(root):
    colored(root, lambda colors: np.dstack([colors, colors[..., :1]]))
    check(folder(root, "train"))
    for index, name in enumerate(NAMES):
        path = root / f"labels/train/{name}.png"
        Image.fromarray(in_colors(index)).quantize(8).save(path)
    check(folder(root, "train", masks="colors"))


def antialiased(colors):
    """Mix the colours of two columns that are next to each other."""
    colors = np.repeat(np.repeat(colors, 8, 0), 8, 1)[:20, :24].copy()
    edges = (colors[:, 1:] != colors[:, :-1]).any(-1)
    colors[:, 1:][edges] = ((colors[:, 1:].astype(int) * 3 + colors[:, :-1]) // 4)[edges]
    return colors


def test_unknown_colours_are_named(root):
    def spoiled(colors):
        colors[3, 4] = (127, 2, 0)
        return colors

    colored(root, spoiled)
    with pytest.raises(
        DataError,
        match=r"label .*a.png has 1 colour of no class in 0.21 % of its pixels: \[127, 2, 0\] "
        r"\(0.21 % of the pixels, nearest sea \[128, 0, 0\]\): give the colour to a class or to "
        r"ignore in the class list, or set dataset.reader.unknown_colors=nearest or ignored$",
    ):
        folder(root, "train").read(0)
    for way, value in (("nearest", 0), ("ignored", 255)):
        found = folder(root, "train", unknown_colors=way).read_label(0)
        wanted = label(0)
        wanted[3, 4] = value
        assert np.array_equal(found, wanted)


def test_antialiased_borders_are_recognised(root):
    colored(root, antialiased)
    with pytest.raises(DataError, match="they lie along borders, as antialiasing leaves them"):
        folder(root, "train").read(0)
    found = folder(root, "train", unknown_colors="nearest").read_label(0)
    clean = np.repeat(np.repeat(label(0), 8, 0), 8, 1)[:20, :24]
    assert np.array_equal(found, clean)


def test_grey_saved_as_rgb(root):
    (root / "classes.yaml").write_text("classes: [sea, land, ship]\n")
    put(root, "images/train/{}.png", "")
    for index, name in enumerate(NAMES):
        write(root / f"labels/train/{name}.png", np.repeat(label(index)[..., None], 3, 2))
    check(folder(root, "train"))
    (root / "classes.yaml").write_text(CLASSES)
    with pytest.raises(DataError, match="all its pixels are grey: if they are class values, set"):
        folder(root, "train").read(0)
    check(folder(root, "train", masks="values"))


def test_colours_without_colours_in_the_class_list(root):
    colored(root)
    (root / "classes.yaml").write_text("classes: [sea, land, ship]\n")
    with pytest.raises(
        DataError, match=r"commonest colours are \[.*\].* %: .*or give each class its"
    ):
        folder(root, "train").read(0)
    with pytest.raises(ConfigError, match="read by colours, and the class list gives none"):
        folder(root, "train", masks="colors")
    (root / "classes.yaml").write_text(CLASSES + f"ignore: [{list(COLORS[1])}]\n")
    with pytest.raises(ConfigError, match=r"^land and ignored have the same colour \[0, 200, 0\]"):
        folder(root, "train")


def test_palette_and_grey_stay_values(root):
    put(root, "images/train/{}.png", "labels/train/{}.png")
    assert check(folder(root, "train")).label_space.key is None


# Masks in .npy


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.uint16, "column"])
def test_arrays_as_masks(root, kind):
    put(root, "images/train/{}.png", "")
    for index, name in enumerate(NAMES):
        path = root / f"labels/train/{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, label(index)[..., None] if kind == "column" else label(index).astype(kind))
    check(folder(root, "train"))


class Trap:
    def __reduce__(self):
        return os.system, ("touch /tmp/gcseg-trap",)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[Trap()]], object), "holds Python objects, which are not read: store one whole"),
        (np.zeros((20, 24)), "holds float64 numbers, which are no class values"),
        (np.zeros((20, 24, 2), np.uint8), "is an array of 20 x 24 x 2, and not height x width"),
        (np.full((20, 24), 300), "holds value 300, which no class has"),
        (np.zeros((0, 24), np.uint8), "is empty"),
        (b"\x93NUMPY\x01\x00", "is truncated or not an image"),
        (b"junk", "is truncated or not an image"),
    ],
)
def test_arrays_that_are_no_masks(root, array, message):
    write(root / "images/train/a.png", picture(0))
    path = root / "labels/train/a.npy"
    path.parent.mkdir(parents=True)
    if isinstance(array, bytes):
        path.write_bytes(array)
    else:
        np.save(path, array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        folder(root, "train").read(0)
    assert not os.path.exists("/tmp/gcseg-trap")  # noqa: PTH110


def test_a_line_of_many_words_ends_soon(root):
    write(root / "images" / "a.png", picture(0))
    (root / "train.txt").write_text("images/a.png" + " a" * 100_000)
    with pytest.raises(DataError, match="has more than 100 words: write one picture"):
        folder(root, "train", images="train.txt")
