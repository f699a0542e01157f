"""The doctor finds every fault that was planted, and nothing else."""

import io
import json
import os
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from gcseg.data.ade20k import ade20k
from gcseg.data.check.doctor import check, read_split
from gcseg.data.check.findings import KINDS, print_diagnosis
from gcseg.data.cityscapes import cityscapes
from gcseg.data.datasets import Pair, SegmentationDataset, images_as_dataset, read_pair
from gcseg.data.faults import FileError
from gcseg.data.folder import camvid, folder
from gcseg.data.label_spaces import CAMVID, LabelSpace
from gcseg.data.scenes import write_scenes
from gcseg.data.scenes.dataset import scenes
from gcseg.data.voc import voc
from gcseg.errors import DataError
from gcseg.system.terminal import TextConsole
from tests.data import faulty, trees
from tests.data.trees import mask, picture, write

SPACE = LabelSpace(faulty.NAMES)
READERS = {"folder": folder, "voc": partial(voc, label_space=SPACE)}


def examined(reader, root, splits=("train", "val"), **options):
    read = {split: read_split(partial(reader, root, split)) for split in splits}
    whole = {split: dataset for split, (dataset, _) in read.items() if dataset is not None}
    return check(whole, {split: faults for split, (_, faults) in read.items()}, **options)


def files_by_kind(diagnosis):
    found = {}
    for finding in diagnosis.findings:
        found.setdefault(finding.kind, []).append(set(finding.files))
    return found


def in_order(files):
    return {kind: sorted(map(sorted, sets)) for kind, sets in files.items()}


def printed(diagnosis, width=200):
    console = TextConsole(file=io.StringIO(), width=width)
    print_diagnosis(diagnosis, console)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return faulty.write_tree(tmp_path_factory.mktemp("clean"), faulty.FOLDER)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    root = tmp_path_factory.mktemp("planted")
    faulty.write_tree(root, faulty.FOLDER, seed=1, val_classes=4)
    return faulty.plant(root, faulty.FOLDER, step=17)


@pytest.fixture(scope="module")
def diagnosis(planted):
    return examined(folder, planted.root)


def test_nothing_is_wrong_with_a_whole_dataset(clean):
    diagnosis = examined(folder, clean)
    assert diagnosis.findings == ()
    assert diagnosis.ok and diagnosis.verdict == "ok: nothing wrong in 500 images"
    assert diagnosis.images == {"train": 400, "val": 100}


def test_every_fault_is_found_and_nothing_else(planted, diagnosis):
    assert in_order(files_by_kind(diagnosis)) == in_order(planted.files)
    assert not diagnosis.ok


def test_every_kind_of_a_file_is_planted(planted):
    elsewhere = {"reading", "unexpected", "same name", "several frames"}  # tests of their own below
    elsewhere |= {"useless labels", "ignored pixels"}  # of a whole split
    elsewhere.add("missing band")  # of pictures in several files
    assert set(planted.files) == set(KINDS) - elsewhere


@pytest.mark.parametrize("seed", range(3))
def test_faults_in_the_layout_of_voc(tmp_path, seed):
    counts = {"train": 90, "val": 20}
    faulty.write_tree(tmp_path, faulty.VOC, counts, seed=seed, val_classes=4)
    planted = faulty.plant(tmp_path, faulty.VOC, step=4)
    diagnosis = examined(READERS["voc"], tmp_path)
    assert in_order(files_by_kind(diagnosis)) == in_order(planted.files)


def test_findings_say_what_where_and_how_to_mend_it(planted, diagnosis):
    messages = {finding.kind: finding for finding in diagnosis.findings}

    def says(kind, severity, split, *parts):
        finding = messages[kind]
        assert (finding.severity, finding.split) == (severity, split)
        assert all(part in finding.message for part in parts), finding.message
        assert finding.remedy

    says("size mismatch", "error", "train", "is 48x64 but", "is 44x64")
    says("label value", "error", "train", "holds value 200", "(6 pixels)")
    says("missing label", "error", "train", "has no label of the same name")
    says("missing image", "error", "train", "has no image of the same name")
    says("unreadable label", "error", "train", "truncated")
    says("not an index mask", "error", "train", "holds value 65535")
    says("swapped files", "error", "train", "is a mask and label")
    says("swapped labels", "error", "train", "fit each other's images")
    says("picture in two splits", "error", "train, val", "(train)", "(val)")
    says("picture twice", "warning", "train", "the same picture")
    says("16-bit image", "warning", "train", "16 bits")
    says("transparent image", "warning", "train", "25 %")
    says("ignored label", "warning", "train", "ignored in all")
    says("absent class", "warning", "val", "1 of 5 classes (mill) never occurs")


def test_a_turned_image_is_an_error_only_if_its_label_has_another_size(diagnosis):
    upside_down, on_its_side = (f for f in diagnosis.findings if f.kind == "rotated image")
    assert upside_down.severity == "warning"
    assert "orientation 3: stored as 48x64 and turned to 48x64" in upside_down.message
    assert on_its_side.severity == "error"
    assert "orientation 6: stored as 48x64 and turned to 64x48, its label is 48x64" in (
        on_its_side.message
    )


def test_threads_do_not_change_the_result(planted, diagnosis):
    done = []
    alone = examined(
        folder, planted.root, workers=1, progress=lambda count, total: done.append((count, total))
    )
    assert alone.as_dict() == diagnosis.as_dict()
    total = sum(diagnosis.images.values())
    assert done == [(count, total) for count in range(1, total + 1)]


def test_the_report_as_json(diagnosis):
    record = json.loads(json.dumps(diagnosis.as_dict()))
    assert record["ok"] is False
    assert record["errors"] + record["warnings"] == len(record["findings"])
    assert record["counts"]["unreadable image"] == 2
    assert sum(record["counts"].values()) == len(record["findings"])
    shares = [entry["pixel_frequency"] for entry in record["balance"]["train"]["classes"]]
    assert sum(shares) == pytest.approx(1)
    assert record["balance"]["val"]["classes"][-1] == {
        "name": "mill", "pixel_frequency": 0.0, "image_frequency": 0.0,
    }  # fmt: skip


def test_the_printed_report(diagnosis):
    text = printed(diagnosis)
    for kind, count in diagnosis.counts.items():
        assert f": {kind} ({count})" in text
    assert text.strip().splitlines()[-1] == diagnosis.verdict
    assert diagnosis.verdict.startswith("not ok: 14 errors and 7 warnings in ")


def test_long_lists_are_cut_and_values_summed(tmp_path):
    for index in range(14):
        write(tmp_path / "images/train" / f"{index:02d}[b].png", picture(index))
        label = mask(index, range(3))
        label[0, :2] = (9, 9 if index % 2 else 8)
        write(tmp_path / "labels/train" / f"{index:02d}[b].png", label)
    (tmp_path / "classes.yaml").write_text("classes: [a, b, c]\n")
    text = printed(examined(folder, tmp_path, ("train",)))
    assert "error: label value (14)" in text
    assert "09[b].png holds value 9," in text and "10[b].png" not in text
    assert "and 4 more" in text
    assert "value 8: 7 files, 7 pixels" in text
    assert "value 9: 14 files, 21 pixels" in text
    assert text.count("-> use 0-2, or 255 for ignored") == 1


def test_balance(tmp_path):
    for index, values in enumerate(([0, 0, 1, 255], [0, 0, 0, 255])):
        write(tmp_path / "images/train" / f"{index}.png", picture(index, 2, 2))
        write(tmp_path / "labels/train" / f"{index}.png", np.reshape(values, (2, 2)))
    (tmp_path / "classes.yaml").write_text("classes: [a, b, c]\n")
    balance = examined(folder, tmp_path, ("train",)).balance["train"]
    assert balance.pixels == (5, 1, 0) and balance.ignored == 2
    assert balance.pixel_frequency == pytest.approx((5 / 6, 1 / 6, 0))
    assert balance.image_frequency == (1.0, 0.5, 0.0)


def test_a_split_without_labels(tmp_path):
    for index in range(3):
        write(tmp_path / f"{index}.png", picture(index))
    (tmp_path / "1.png").write_bytes(b"no image")
    diagnosis = check({"test": images_as_dataset(tmp_path, CAMVID)}, {})
    assert files_by_kind(diagnosis) == {"unreadable image": [{tmp_path / "1.png"}]}
    assert diagnosis.balance == {}
    assert diagnosis.notes == (), "without labels none can be exchanged"


def test_a_label_of_its_own_fault_beside_an_unreadable_image_counts(tmp_path):
    """A class that only the label of a broken image has does occur."""
    write(tmp_path / "images/train/a.png", picture(0)).write_bytes(b"")
    write(tmp_path / "labels/train/a.png", np.full((20, 24), 1))
    write(tmp_path / "images/train/b.png", picture(1))
    write(tmp_path / "labels/train/b.png", np.full((20, 24), 0))
    (tmp_path / "classes.yaml").write_text("classes: [a, b]\n")
    assert set(files_by_kind(examined(folder, tmp_path, ("train",)))) == {"unreadable image"}


def test_same_pixels_in_another_format_are_the_same_picture(tmp_path):
    write(tmp_path / "train/a.png", picture(0))
    write(tmp_path / "val/b.bmp", picture(0))
    splits = {split: images_as_dataset(tmp_path / split, CAMVID) for split in ("train", "val")}
    found = files_by_kind(check(splits, {}))
    assert found == {"picture in two splits": [{tmp_path / "train/a.png", tmp_path / "val/b.bmp"}]}


def test_one_shape_more_is_another_picture(tmp_path):
    write(tmp_path / "a.png", np.zeros((4, 6, 3)))
    write(tmp_path / "b.png", np.zeros((6, 4, 3)))
    assert check({"test": images_as_dataset(tmp_path, CAMVID)}, {}).findings == ()


def test_opaque_alpha_does_no_harm(tmp_path):
    write(tmp_path / "a.png", np.dstack([picture(0), np.full((20, 24), 255)]))
    assert check({"test": images_as_dataset(tmp_path, CAMVID)}, {}).findings == ()


@pytest.mark.parametrize("error", [RuntimeError("out of luck"), MemoryError(), KeyError("x")])
def test_what_nobody_expected_is_a_finding_of_its_file(tmp_path, error):
    dataset = camvid(trees.camvid_tree(tmp_path), "train")

    def read(pair: Pair):
        if pair.name.endswith("1"):
            raise error
        return read_pair(pair)

    diagnosis = check({"train": dataset.reading_with(read)}, {})
    (finding,) = diagnosis.findings
    assert finding.kind == "unexpected" and finding.severity == "error"
    assert finding.files == (dataset.pairs[1].image, dataset.pairs[1].label)
    assert type(error).__name__ in finding.message and str(dataset.pairs[1].image) in (
        finding.message
    )


def test_a_reader_of_own_files_is_believed(tmp_path):
    """Files that only the dataset's own function reads, and what it says about them."""
    pairs = [Pair(str(k), tmp_path / f"{k}.raw", tmp_path / f"{k}.gt", CAMVID) for k in range(3)]

    def read(pair: Pair):
        if pair.name == "2":
            raise DataError(f"{pair.image} is empty", "record it again")
        return picture(int(pair.name)), mask(int(pair.name), range(11))

    dataset = SegmentationDataset(pairs, CAMVID, "raw files", read)
    (finding,) = check({"train": dataset}, {}).findings
    assert (finding.kind, finding.message) == ("reading", f"{pairs[2].image} is empty")
    assert finding.remedy == "record it again"


HALVES = {
    "cityscapes": (
        cityscapes,
        trees.cityscapes_tree,
        "leftImg8bit/train/*/*.png",
        "gtFine/train/*/*_labelIds.png",
    ),
    "cityscapes-train-ids": (
        cityscapes,
        partial(trees.cityscapes_tree, train_ids=True),
        "leftImg8bit/train/*/*.png",
        "gtFine/train/*/*_labelTrainIds.png",
    ),
    "voc": (
        voc,
        trees.voc_tree,
        "VOCdevkit/VOC2012/JPEGImages/2010*.jpg",
        "VOCdevkit/VOC2012/SegmentationClass/2010*.png",
    ),
    "ade20k": (
        ade20k,
        trees.ade20k_tree,
        "ADEChallengeData2016/images/training/*.jpg",
        "ADEChallengeData2016/annotations/training/*.png",
    ),
    "camvid": (camvid, trees.camvid_tree, "train/*.png", "trainannot/*.png"),
    "folder": (folder, trees.folder_tree, "images/train/*/*.*", "labels/train/*/*.png"),
}


@pytest.mark.parametrize("name", HALVES)
def test_every_reader_collects_all_missing_partners(tmp_path, name):
    reader, make, images, labels = HALVES[name]
    root = make(tmp_path)
    (image, _, _), (_, label, _) = sorted(root.glob(images)), sorted(root.glob(labels))
    image.unlink()
    label.unlink()
    dataset, faults = read_split(partial(reader, root, "train"))
    assert sorted(fault.kind for fault in faults) == ["missing image", "missing label"]
    assert len(dataset) == 1
    dataset.read(0)
    with pytest.raises(FileError) as first:
        reader(root, "train")
    assert str(first.value).split(" (and")[0].split(":")[0] in "".join(map(str, faults))


@pytest.mark.parametrize("layout", ["cityscapes", "voc"])
def test_drawn_scenes_collect_them_too(tmp_path, layout):
    read = partial(scenes, tmp_path, "train", layout=layout, train=3, val=1, height=32, width=32)
    read().pairs[1].label.unlink()
    dataset, faults = read_split(read)
    assert len(dataset) == 2 and [fault.kind for fault in faults] == ["missing label"]


def test_files_of_one_name_are_collected(tmp_path):
    trees.camvid_tree(tmp_path)
    again = write(tmp_path / "train/0001TP_000001.jpg", picture(0))
    dataset, (error,) = read_split(partial(camvid, tmp_path, "train"))
    assert error.kind == "same name" and again in error.files
    assert len(dataset) == 3


def test_a_reader_that_collects_nothing(tmp_path):
    def reader():
        raise DataError("the tape is torn", "mend it")

    dataset, faults = read_split(reader)
    assert dataset is None
    diagnosis = check({}, {"train": faults})
    assert [(f.kind, f.split, f.message) for f in diagnosis.findings] == [
        ("reading", "train", "the tape is torn")
    ]
    assert not diagnosis.ok


def test_a_split_of_which_nothing_is_whole(tmp_path):
    trees.camvid_tree(tmp_path)
    for path in (tmp_path / "trainannot").glob("*"):
        path.unlink()
    dataset, faults = read_split(partial(camvid, tmp_path, "train"))
    assert dataset is None
    assert [fault.kind for fault in faults[:3]] == ["missing label"] * 3
    assert faults[3].cause.startswith("no images in")


def test_drawn_scenes_are_whole(tmp_path):
    root = write_scenes(tmp_path, train=40, val=10, height=48, width=96)
    kinds = {finding.kind for finding in examined(cityscapes, root).findings}
    assert kinds <= {"absent class"}, "small scenes lack rare classes"


def test_noise_is_not_exchanged(tmp_path):
    for index in range(60):
        write(tmp_path / "train" / f"{index}.png", picture(index))
        write(tmp_path / "trainannot" / f"{index}.png", mask(index, range(11)))
    assert examined(camvid, tmp_path, ("train",)).findings == ()


@pytest.mark.parametrize("count, said", [(1, "1"), (14, "14"), (20, None)])
def test_too_few_pairs_for_exchanges_are_said(tmp_path, count, said):
    faulty.write_tree(tmp_path, faulty.FOLDER, {"train": count})
    diagnosis = examined(folder, tmp_path, ("train",))
    notes = (
        [f"exchanged labels: not checked, as 20 pairs are needed and {said} exist"] if said else []
    )
    assert diagnosis.as_dict()["notes"] == notes
    assert diagnosis.findings == ()
    assert [line for line in printed(diagnosis).splitlines() if "exchanged" in line] == notes


@pytest.mark.camvid
@pytest.mark.slow
def test_nothing_is_wrong_with_camvid():
    root = Path(os.environ.get("GCSEG_DATA", "data")) / "camvid"
    if not (root / "trainannot").is_dir():
        pytest.skip(f"CamVid is not in {root}; set GCSEG_DATA to the folder that holds camvid/")
    diagnosis = examined(camvid, root)
    assert diagnosis.findings == ()
    assert diagnosis.images == {"train": 367, "val": 101}


def test_png_headers_tell_16_bits_of_colour(tmp_path):
    """Pillow's mode of these is RGB, as of 8 bits."""
    random = np.random.default_rng(0)
    content = random.integers(0, 1 << 16, (8, 9, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), content)
    assert Image.open(tmp_path / "a.png").mode == "RGB"
    found = files_by_kind(check({"test": images_as_dataset(tmp_path, CAMVID)}, {}))
    assert found == {"16-bit image": [{tmp_path / "a.png"}]}


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".tif"])
def test_pictures_of_several_frames(tmp_path, suffix):
    first, *others = (Image.fromarray(picture(number)) for number in range(3))
    path = tmp_path / f"a{suffix}"
    first.save(path, save_all=True, append_images=others)
    (finding,) = check({"test": images_as_dataset(tmp_path, CAMVID)}, {}).findings
    assert finding.message == f"image {path} has 3 frames, of which the first is read"
    assert finding.severity == "warning"


def test_damaged_jpegs_are_named(tmp_path):
    path = write(tmp_path / "a.jpg", picture(0, 80, 80))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    (finding,) = check({"test": images_as_dataset(tmp_path, CAMVID)}, {}).findings
    assert (finding.kind, finding.files) == ("unreadable image", (path,))
    assert "Corrupt JPEG data" in finding.message
