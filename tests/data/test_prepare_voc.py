"""VOC 2012 with its augmented training set, from miniatures of its archives."""

import contextlib
import dataclasses
import hashlib
import io
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from gcseg.data.prepare import prepare_voc
from gcseg.data.prepare import voc as module
from gcseg.data.voc import voc
from gcseg.errors import ConfigError, DataError, DownloadError
from tests import web
from tests.data import trees

scipy_io = pytest.importorskip("scipy.io")

TRAIN = [f"2007_{index:06d}" for index in range(1, 6)]
VAL = [f"2008_{index:06d}" for index in range(1, 4)]
OTHERS = [f"2009_{index:06d}" for index in range(1, 8)]
IN_SBD = [*TRAIN[1:], *VAL[:2], *OTHERS]  # some of both, as in reality
SBD_LISTS = {"train.txt": [*IN_SBD[::2]], "val.txt": [*IN_SBD[1::2]]}
COUNTS = {"train": 5, "val": 3, "trainaug": 12}
AUGMENTED = sorted(TRAIN + OTHERS)

SIZES = {name: (30 + 2 * i, 50 - i) for i, name in enumerate([*TRAIN, *VAL, *OTHERS])}


def own_mask(name):
    """VOC's: with ignored boundaries."""
    return trees.mask(int(name[-6:]), [*range(21), 255], *SIZES[name])


def sbd_mask(name):
    return trees.mask(100 + int(name[-6:]), range(21), *SIZES[name])


def mat(name, values=None):
    """SBD's struct of a label."""
    struct = np.zeros((1, 1), [("Boundaries", "O"), ("Segmentation", "O")])
    struct[0, 0]["Boundaries"] = np.zeros((20, 1), object)
    struct[0, 0]["Segmentation"] = sbd_mask(name) if values is None else values
    file = io.BytesIO()
    scipy_io.savemat(file, {"GTcls": struct}, do_compression=True)
    return file.getvalue()


def png(values, palette=False):
    file = io.BytesIO()
    image = Image.fromarray(values)
    if palette:
        image.putpalette(module.PALETTE.tobytes())
    image.save(file, "PNG")
    return file.getvalue()


def jpg(name):
    file = io.BytesIO()
    Image.fromarray(trees.picture(1, *SIZES[name])).save(file, "JPEG")
    return file.getvalue()


def lines(names):
    return "".join(f"{name}\n" for name in names).encode()


def devkit_files():
    base = "VOCdevkit/VOC2012"
    files = {f"{base}/Annotations/{name}.xml": b"<annotation/>" for name in SIZES}
    lists = {"train": TRAIN, "val": VAL, "trainval": TRAIN + VAL}
    for split, names in lists.items():
        files[f"{base}/ImageSets/Segmentation/{split}.txt"] = lines(names)
        files[f"{base}/ImageSets/Main/{split}.txt"] = lines(names)
    files |= {f"{base}/JPEGImages/{name}.jpg": jpg(name) for name in SIZES}
    for name in TRAIN + VAL:
        files[f"{base}/SegmentationClass/{name}.png"] = png(own_mask(name), palette=True)
        files[f"{base}/SegmentationObject/{name}.png"] = png(own_mask(name) * 0, palette=True)
    return files


def sbd_files(**changes):
    base = "benchmark_RELEASE/dataset"
    files = {f"{base}/{name}": lines(names) for name, names in SBD_LISTS.items()}
    for name in IN_SBD:
        files[f"{base}/cls/{name}.mat"] = mat(name)
        files[f"{base}/inst/{name}.mat"] = b"instances"
        files[f"{base}/img/{name}.jpg"] = b"picture"
    return {**files, **changes}


def converted_files(names=AUGMENTED + VAL):
    """What somebody has converted: grey, of VOC's train VOC's own masks."""
    masks = {name: own_mask(name) if name in TRAIN + VAL else sbd_mask(name) for name in names}
    return {f"SegmentationClassAug/{name}.png": png(mask) for name, mask in masks.items()}


def pack(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    elif path.suffix in (".tar", ".tgz"):
        with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    else:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def devkit(tmp_path):
    return pack(tmp_path / "downloads" / "VOCtrainval_11-May-2012.tar", devkit_files())


@pytest.fixture
def sbd(tmp_path):
    return pack(tmp_path / "downloads" / "benchmark.tgz", sbd_files())


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def prepare(root, *sources, said=None, **options):
    options = {"download": False, "expected": COUNTS} | options
    say = (lambda line: None) if said is None else said.append
    return prepare_voc(root, sources=sources, say=say, **options)


def masks_in(root):
    return root / "VOCdevkit" / "VOC2012" / "SegmentationClassAug"


def lists_in(root):
    return root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"


def check(root):
    """That the split is as it should be, through the reader."""
    dataset = voc(root, "trainaug")
    assert [pair.name for pair in dataset.pairs] == AUGMENTED
    for index, name in enumerate(AUGMENTED):
        picture, label = dataset.read(index)
        assert picture.shape == (*SIZES[name], 3)
        np.testing.assert_array_equal(label, own_mask(name) if name in TRAIN else sbd_mask(name))
        with Image.open(dataset.pairs[index].label) as mask:
            assert mask.mode == "P"
            palette = np.array(mask.getpalette()).reshape(-1, 3)
            assert palette[[0, 1, 15, 20, 255]].tolist() == [
                [0, 0, 0], [128, 0, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192]
            ]  # fmt: skip
    assert (lists_in(root) / "aug.txt").read_text().split() == OTHERS
    assert {path.stem for path in masks_in(root).iterdir()} == set(AUGMENTED)


FORMS = {
    "SBD's archive": ("benchmark.tgz", lambda: sbd_files()),
    "SBD unpacked": ("unpacked", lambda: sbd_files()),
    "SBD's folder dataset": ("unpacked/benchmark_RELEASE/dataset", None),
    "SBD's folder cls": ("unpacked/benchmark_RELEASE/dataset/cls", None),
    "masks as an archive": ("SegmentationClassAug.zip", converted_files),
    "masks unpacked": ("unpacked", converted_files),
    "folder of masks": ("unpacked/SegmentationClassAug", None),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_masks(tmp_path, root, devkit, form):
    place, contents = FORMS[form]
    if contents is None:
        pack(tmp_path / "unpacked", sbd_files() if "SBD" in form else converted_files())
        source = tmp_path / place
    else:
        source = pack(tmp_path / place, contents())
    assert prepare(root, devkit, source) == COUNTS
    check(root)
    unpacked = {path.name for path in (root / "VOCdevkit" / "VOC2012").iterdir()}
    assert unpacked == {
        "ImageSets", "JPEGImages", "SegmentationClass", "SegmentationClassAug"
    }  # fmt: skip
    assert {path.name for path in (root / "VOCdevkit" / "VOC2012" / "ImageSets").iterdir()} == {
        "Segmentation"
    }


@pytest.mark.parametrize("form", ["in the root", "folder of both", "devkit unpacked in the root"])
def test_places_of_archives(root, devkit, sbd, form):
    if form == "folder of both":
        assert prepare(root, devkit.parent) == COUNTS
    elif form == "in the root":
        devkit.parent.rename(root)
        assert prepare(root) == COUNTS
    else:
        pack(root, devkit_files())
        assert prepare(root, sbd) == COUNTS
    check(root)


@pytest.mark.parametrize("place", ["", "VOC2012"])
def test_other_places_of_the_devkit(root, sbd, place):
    """Where the reader also finds it, it stays."""
    base = "VOCdevkit/VOC2012/"
    pack(root / place, {n.removeprefix(base): content for n, content in devkit_files().items()})
    assert prepare(root, sbd) == COUNTS
    assert not (root / "VOCdevkit").exists()
    assert len(list((root / place / "SegmentationClassAug").iterdir())) == 12


def test_again(root, devkit, sbd):
    """Nothing is written twice, and sources are not needed any more."""
    prepare(root, devkit, sbd)

    def times():
        return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}

    before = times()
    said = []
    for sources in ((), (devkit,), (sbd,), (root,), (root / "VOCdevkit" / "VOC2012",)):
        assert prepare(root, *sources, said=said) == COUNTS
        assert times() == before
    assert said == [f"note: {root} is complete, {path} was not needed" for path in (devkit, sbd)]


def test_one_place_of_the_devkit(root, tmp_path):
    """Two devkits in a folder are refused, and files with such names elsewhere passed over."""
    pack(tmp_path / "all" / "a", {**devkit_files(), **sbd_files()})
    other = "site/JPEGImages/2009_000001.jpg"
    pack(tmp_path / "all", {other: b"another", "SegmentationClass/x.png": b"another"})
    pack(tmp_path / "all" / "b", devkit_files())
    with pytest.raises(
        DataError,
        match=rf"^{tmp_path}/all holds VOCdevkit/VOC2012 in 2 places, {tmp_path}/all/a/VOCdevkit/"
        rf"VOC2012 and {tmp_path}/all/b/VOCdevkit/VOC2012 are two of them: give the right one",
    ):
        prepare(root, tmp_path / "all")
    assert not (root / "VOCdevkit").exists()
    shutil.rmtree(tmp_path / "all" / "b")
    assert prepare(root, tmp_path / "all") == COUNTS
    check(root)


def test_one_place_of_masks(root, devkit, tmp_path):
    pack(tmp_path / "all", {**sbd_files(), **converted_files()})
    with pytest.raises(
        DataError,
        match=rf"^{tmp_path}/all holds SBD or SegmentationClassAug in 2 places, {tmp_path}/all/"
        rf"SegmentationClassAug and {tmp_path}/all/benchmark_RELEASE/dataset/cls are",
    ):
        prepare(root, devkit, tmp_path / "all")
    assert not (root / "VOCdevkit").exists()


def test_mask_without_a_picture(root, tmp_path):
    contents = devkit_files()
    del contents[f"VOCdevkit/VOC2012/JPEGImages/{VAL[0]}.jpg"]
    with pytest.raises(
        DataError, match=rf"^label {VAL[0]} \(and 0 more\) of VOC would have no image in {root}"
    ):
        prepare(root, pack(tmp_path / "devkit.tar", contents))
    assert not (root / "VOCdevkit").exists()


def test_goes_on_with_missing_masks(root, devkit, sbd):
    prepare(root, devkit, sbd)
    for name in (TRAIN[2], OTHERS[3]):
        (masks_in(root) / f"{name}.png").unlink()
    with pytest.raises(
        DataError,
        match=rf"^trainaug is not complete in {root}/VOCdevkit/VOC2012, and {root}/benchmark.tgz "
        r"does not exist: download it from https://www2.eecs",
    ):
        prepare(root)
    prepare(root, sbd)
    check(root)


def test_masks_that_somebody_has_put_there(root):
    """With the expected number no source is needed."""
    pack(root, devkit_files())
    pack(root / "VOCdevkit" / "VOC2012", converted_files())
    before = {path: path.read_bytes() for path in masks_in(root).iterdir()}
    assert prepare(root) == COUNTS
    assert (lists_in(root) / "trainaug.txt").read_text().split() == AUGMENTED
    assert {path: path.read_bytes() for path in masks_in(root).iterdir()} == before


def test_masks_of_sbd_for_train_are_told(root):
    pack(root, devkit_files())
    pack(root / "VOCdevkit" / "VOC2012", {
        f"SegmentationClassAug/{name}.png": png(sbd_mask(name)) for name in AUGMENTED
    })  # fmt: skip
    said = []
    assert prepare(root, said=said) == COUNTS
    assert said == [
        f"note: 5 masks of VOC's train in {masks_in(root)} differ from VOC's own, which PaddleSeg "
        "and mmsegmentation train on; remove that folder to make it again"
    ]
    np.testing.assert_array_equal(voc(root, "trainaug").read(0)[1], sbd_mask(TRAIN[0]))


# ------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("missing", [1, 3])
def test_wrong_number(root, devkit, tmp_path, missing):
    files = sbd_files()
    for name in OTHERS[:missing]:
        del files[f"benchmark_RELEASE/dataset/cls/{name}.mat"]
    files = {name: content for name, content in files.items() if not name.endswith(".txt")}
    sbd = pack(tmp_path / "benchmark.tgz", files)
    with pytest.raises(
        DataError,
        match=rf"^trainaug has {12 - missing} names, not 12: 5 of VOC's train and {7 - missing} "
        r"others: give the whole of SBD \(benchmark.tgz\) with source=$",
    ):
        prepare(root, devkit, sbd)
    assert not masks_in(root).exists()
    assert not (lists_in(root) / "trainaug.txt").exists()
    assert prepare(root, devkit, sbd, expected=None)["trainaug"] == 12 - missing


def test_real_number(root, devkit, sbd):
    with pytest.raises(DataError, match=r"^trainaug has 12 names, not 10,582: 5 of VOC's train"):
        prepare_voc(root, sources=[devkit, sbd], download=False)


def test_listed_name_without_a_mask(root, devkit, tmp_path):
    files = sbd_files()
    del files[f"benchmark_RELEASE/dataset/cls/{OTHERS[0]}.mat"]
    with pytest.raises(DataError, match=rf"^{OTHERS[0]} \(and 0 more\) of trainaug has no mask:"):
        prepare(root, devkit, pack(tmp_path / "sbd", files), expected=None)


def test_list_with_a_name_of_val(root, devkit, sbd):
    prepare(root, devkit, sbd)
    path = lists_in(root) / "trainaug.txt"
    path.write_bytes(lines([*AUGMENTED, VAL[1]]))
    with pytest.raises(
        DataError, match=rf"^{path} lists {VAL[1]} \(and 0 more\), as val.txt does: remove the list"
    ):
        prepare(root, download=True)
    path.unlink()
    prepare(root)
    check(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda name: mat(name, sbd_mask(name)[1:]), "is 49x40 but its image .* is 50x40"),
        (lambda name: mat(name, sbd_mask(name) * 0 + 21), "holds value 21, which is not a class"),
        (lambda name: mat(name, sbd_mask(name).astype(float)), "not an index mask .*float64"),
        (lambda name: mat(name)[:200], "not an index mask"),
        (lambda name: b"", "not an index mask"),
    ],
)
def test_wrong_label_of_sbd(root, devkit, tmp_path, content, message):
    name = OTHERS[2]
    path = f"benchmark_RELEASE/dataset/cls/{name}.mat"
    sbd = pack(tmp_path / "sbd.tgz", sbd_files(**{path: content(name)}))
    with pytest.raises(DataError, match=rf"^{path} in {sbd} .*{message}"):
        prepare(root, devkit, sbd)
    assert not (masks_in(root) / f"{name}.png").exists()
    assert not (lists_in(root) / "trainaug.txt").exists()


def test_masks_in_colour(root, devkit, tmp_path):
    """What is called a visualisation of the masks is no mask."""
    name = OTHERS[2]
    colour = {f"SegmentationClassAug/{name}.png": png(trees.picture(0, *SIZES[name]))}
    source = pack(tmp_path / "masks.zip", {**converted_files(), **colour})
    with pytest.raises(
        DataError, match=(rf"{name}.png in {source} is not an " r"index mask \(mode RGB\)")
    ):
        prepare(root, devkit, source)


def test_picture_missing(root, devkit, sbd):
    prepare(root, devkit, sbd)
    path = root / "VOCdevkit" / "VOC2012" / "JPEGImages" / f"{OTHERS[0]}.jpg"
    path.unlink()
    with pytest.raises(
        DataError, match=rf"^{path}, of which .*{OTHERS[0]}.png is the label, can't"
    ):
        prepare(root)
    prepare(root, devkit)
    check(root)


def test_scipy_missing(root, devkit, sbd, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(
        ConfigError,
        match=r"^SBD's .mat files need scipy: pip install 'gcseg\[sbd\]', or give a "
        "SegmentationClassAug with source=$",
    ):
        prepare(root, devkit, sbd)
    assert not masks_in(root).exists()
    prepare(root, devkit, pack(tmp_path / "SegmentationClassAug.zip", converted_files()))
    check(root)


def test_killed_while_masks_are_written(root, devkit, sbd):
    prepare(root, devkit, sbd)
    reference = {path.name: path.read_bytes() for path in masks_in(root).iterdir()}
    for path in [*masks_in(root).iterdir(), *lists_in(root).glob("*aug.txt")]:
        path.unlink()
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from gcseg.data import parallel\n"
        "parallel.available_cores = lambda: 1\n"
        "from PIL import Image\n"
        "from gcseg.data.prepare import prepare_voc\n"
        "save, calls = Image.Image.save, []\n"
        "def killed(self, file, *args):\n"
        "    calls.append(file)\n"
        "    if len(calls) > 7:\n"
        "        file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "    save(self, file, *args)\n"
        "Image.Image.save = killed\n"
        "sources = [Path(sys.argv[2])]\n"
        "prepare_voc(Path(sys.argv[1]), sources=sources, download=False, expected=None)\n"
    )
    process = subprocess.run([sys.executable, "-c", code, root, sbd])
    assert process.returncode == -signal.SIGKILL
    there = {path.name: path.read_bytes() for path in masks_in(root).glob("*.png")}
    assert len(there) == 7
    assert there.items() <= reference.items()
    assert not (lists_in(root) / "trainaug.txt").exists()
    prepare(root, sbd)
    check(root)


# ------------------------------------------------------------------------------- the web


@pytest.fixture
def sites(devkit, sbd, monkeypatch):
    """Both archives on web servers of this machine."""
    with contextlib.ExitStack() as stack:
        found = []
        for name, path in (("DEVKIT", devkit), ("SBD", sbd)):
            site = stack.enter_context(web.running(body=path.read_bytes()))
            archive = dataclasses.replace(
                getattr(module, name),
                url=f"{site.url}/{path.name}",
                checksum=f"md5:{hashlib.md5(site.body).hexdigest()}",
            )
            monkeypatch.setattr(module, name, archive)
            found.append(site)
        yield found


def test_everything_from_the_web(root, sites):
    said = []
    assert prepare(root, download=True, said=said) == COUNTS
    check(root)
    assert [line.split(":")[0] for line in said] == ["VOCtrainval_11-May-2012.tar", "benchmark.tgz"]
    assert "Flickr" in said[0]
    for name in ("VOCtrainval_11-May-2012.tar", "benchmark.tgz"):
        (root / name).unlink()
    assert prepare(root, download=True, said=said) == COUNTS
    assert [len(site.requests) for site in sites] == [1, 1]


def test_only_what_is_missing_from_the_web(root, sites, devkit, tmp_path):
    prepare(root, pack(tmp_path / "SegmentationClassAug.zip", converted_files()), download=True)
    check(root)
    assert [len(site.requests) for site in sites] == [1, 0]
    other = tmp_path / "other"
    prepare(other, devkit, download=True)
    check(other)
    assert [len(site.requests) for site in sites] == [1, 1]


def test_scipy_is_missed_before_anything_is_fetched_for_it(root, sites, devkit, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ConfigError, match="need scipy"):
        prepare(root, devkit, download=True)
    assert [len(site.requests) for site in sites] == [0, 0]


def test_half_of_the_masks_is_not_all(root, sites):
    """Masks of a call that was killed are no reason to leave out the others."""
    pack(root, devkit_files())
    pack(root / "VOCdevkit" / "VOC2012", {
        f"SegmentationClassAug/{name}.png": png(sbd_mask(name), palette=True)
        for name in OTHERS[:3]
    })  # fmt: skip
    prepare(root, download=True)
    check(root)


@pytest.mark.parametrize("which", [0, 1])
def test_wrong_checksum(root, sites, which):
    name = ("VOCtrainval_11-May-2012.tar", "benchmark.tgz")[which]
    right = sites[which].body
    sites[which].body = right + b"x"
    with pytest.raises(DownloadError, match=rf"/{name} has the md5 \w{{32}}, not \w{{32}}: try"):
        prepare(root, download=True)
    assert not (root / name).exists()
    sites[which].body = right
    prepare(root, download=True)
    check(root)


def test_nothing_may_be_fetched(root, sites, devkit):
    with pytest.raises(
        DataError,
        match=rf"^there is no VOCdevkit/VOC2012 in {root}, and {root}/VOCtrainval_11-May-2012.tar "
        "does not exist: download it from "
        f"{sites[0].url}/VOCtrainval_11-May-2012.tar, give a copy ",
    ):
        prepare(root)
    with pytest.raises(DataError, match=f" and {root}/benchmark.tgz does not exist"):
        prepare(root, devkit)
    assert [len(site.requests) for site in sites] == [0, 0]


def test_official_archives():
    """The addresses' ends and the digests that torchvision has."""
    assert module.DEVKIT.url.endswith(f"voc2012/{module.DEVKIT.name}")
    assert module.DEVKIT.checksum == "md5:6cd6e144f989b92b3379bac3b3de84fd"
    assert module.SBD.url.endswith(f"semantic_contours/{module.SBD.name}")
    assert module.SBD.checksum == "md5:82b4d87ceb2ed10f6038a1cba92111cb"
