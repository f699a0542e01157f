"""Masks of predictions with the values of the dataset's own label files."""

import numpy as np
import pytest
from PIL import Image

from gcseg.data.ade20k import ade20k_classes
from gcseg.data.label_spaces import CITYSCAPES, CITYSCAPES_LABEL_IDS, LabelSpace
from gcseg.predictor.files import file_values
from tests.data.trees import COUNTS, cityscapes_tree

LABEL_IDS = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33])


@pytest.fixture
def masks(run, training):
    """Predict into a folder, and read the masks as numbers and as colours."""

    def masks(*overrides, output):
        settings = (f"checkpoint={training.folder}", f"output={output}", "accelerator=cpu")
        outcome = run("predict", *settings, *overrides)
        assert outcome.status == 0, outcome.err
        found = {}
        for path in sorted(output.glob("masks/**/*.png")):
            with Image.open(path) as mask:
                colors = np.asarray(mask.convert("RGB"))
                found[path.relative_to(output).as_posix()] = np.asarray(mask), colors
        assert found
        return found

    return masks


def test_of_the_datasets_files_and_of_classes(masks, tmp_path):
    classes = masks("limit=2", output=tmp_path / "classes")
    files = masks("limit=2", "mask_values=dataset", output=tmp_path / "files")
    assert classes.keys() == files.keys()
    for name, (values, colors) in files.items():
        predicted, wanted_colors = classes[name]
        assert predicted.max() < 19
        np.testing.assert_array_equal(values, LABEL_IDS[predicted])
        np.testing.assert_array_equal(colors, wanted_colors)
        np.testing.assert_array_equal(colors, np.array(CITYSCAPES.colors)[predicted])


def check_label_ids(values, colors):
    """Each pixel has the label id of the class whose colour it has."""
    assert set(np.unique(values)) <= set(LABEL_IDS.tolist())
    classes = CITYSCAPES_LABEL_IDS.lookup[values]
    np.testing.assert_array_equal(colors, np.array(CITYSCAPES.colors)[classes])


def test_of_cityscapes_are_label_ids_also_beside_train_ids(masks, tmp_path):
    root = cityscapes_tree(tmp_path / "tree", train_ids=True)
    given = ("dataset=cityscapes", f"dataset.root={root}", "inference.window=null")
    found = masks(*given, "mask_values=dataset", output=tmp_path / "out")
    assert len(found) == COUNTS["val"]
    for mask in found.values():
        check_label_ids(*mask)


def test_of_pictures_from_anywhere(masks, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "mine.png")
    given = ("dataset.name=cityscapes", "dataset.root=nowhere", f"images={tmp_path / 'mine.png'}")
    found = masks(*given, "mask_values=dataset", output=tmp_path / "out")
    check_label_ids(*found["masks/mine.png"])


def test_a_wrong_value(run, training, tmp_path):
    given = (f"checkpoint={training.folder}", f"output={tmp_path / 'out'}", "mask_values=ids")
    assert run("predict", *given).error == "mask_values=ids: use classes or dataset"
    assert not (tmp_path / "out").exists()


def test_file_values():
    np.testing.assert_array_equal(file_values(CITYSCAPES_LABEL_IDS)[:19], LABEL_IDS)
    assert file_values(ade20k_classes())[[0, 149]].tolist() == [1, 150]
    several = LabelSpace(("sea", "land", "ship"), values={30: 0, 10: 0, 20: 0, 7: 2}, ignored=(0,))
    assert file_values(several)[:4].tolist() == [10, 255, 7, 255]
    assert file_values(LabelSpace(("sea", "land"), values={0: 0, 255: 1}))[:2].tolist() == [0, 255]
