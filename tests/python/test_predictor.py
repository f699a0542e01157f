"""gcseg.Predictor against gcseg.predict, and on images in all their forms."""

import numpy as np
import pytest
import torch
from PIL import Image

from gcseg import Predictor
from gcseg.errors import ConfigError, DataError, WeightsError
from tests.data.trees import picture, write
from tests.predictor.clips import clip


@pytest.fixture(scope="module")
def predictor(training):
    return Predictor(training.folder, device="cpu", trust=True)


@pytest.fixture
def files(tmp_path):
    """Pictures of two sizes; on disk as PNG."""
    shapes = [(48, 64), (48, 64), (40, 72)]
    generator = np.random.default_rng(3)
    paths = []
    for number, shape in enumerate(shapes):
        paths.append(tmp_path / "in" / f"{number}.png")
        write(paths[-1], generator.integers(0, 256, (*shape, 3), np.uint8))
    return paths


@pytest.mark.parametrize("tta", ["none", "msflip"])
def test_the_command_gives_the_same_pixels(run, training, files, tmp_path, tta):
    given = (f"checkpoint={training.folder}", f"tta={tta}", "accelerator=cpu")
    outcome = run("predict", *given, "images=in", "output=out")
    assert outcome.status == 0, outcome.err
    found = Predictor(training.folder, tta=tta, device="cpu", trust=True)(files)
    for path, prediction in zip(files, found, strict=True):
        written = np.asarray(Image.open(tmp_path / "out/masks" / path.name))
        assert (written == prediction.mask).all()
        assert prediction.name == path.stem


def test_all_forms_of_an_image(predictor, files):
    array = np.asarray(Image.open(files[0]))
    channels_first = torch.from_numpy(array.transpose(2, 0, 1).copy())
    forms = [
        str(files[0]), files[0], Image.open(files[0]), array, array / 255, channels_first,
        channels_first / 255,
    ]  # fmt: skip
    first, *others = predictor(forms)
    assert first.mask.shape == first.confidence.shape == (48, 64)
    assert (first.image == array).all()
    for other in others:
        assert (other.mask == first.mask).all()
    assert [one.name for one in others[1:]] == ["2", "3", "4", "5", "6"]


def test_grey_and_transparent_pictures(predictor):
    grey = np.asarray(picture(0))[..., 0]
    three = predictor(np.repeat(grey[..., None], 3, 2))
    assert (predictor(grey).mask == three.mask).all()
    assert (predictor(Image.fromarray(grey)).mask == three.mask).all()
    with_alpha = np.dstack([np.asarray(picture(0)), np.full(grey.shape, 90, np.uint8)])
    found = predictor(Image.fromarray(with_alpha, "RGBA"))
    assert (found.mask == predictor(np.asarray(picture(0))).mask).all()


def test_batches_give_the_same_classes(training, predictor, files):
    """In the pictures' order, also where sizes change."""
    batched = Predictor(training.folder, device="cpu", trust=True, batch_size=2)
    alone = predictor([*files, *files])
    together = batched([*files, *files])
    for one, other in zip(alone, together, strict=True):
        assert one.name == other.name
        assert one.mask.shape == other.mask.shape
        assert (one.mask == other.mask).mean() > 0.999
        assert np.abs(one.confidence - other.confidence).max() < 1e-5


def test_a_prediction(predictor, files, tmp_path):
    prediction = predictor(files[0])
    areas = prediction.areas()
    assert sum(areas.values()) == pytest.approx(1)
    assert list(areas.values()) == sorted(areas.values(), reverse=True)
    index = prediction.classes.index(next(iter(areas)))
    assert areas[prediction.classes[index]] == (prediction.mask == index).mean()
    assert prediction.confidence.min() >= 0 and prediction.confidence.max() <= 1
    assert (prediction.overlay(0) == prediction.image).all()
    assert (prediction.overlay(1) == predictor.space.palette[prediction.mask]).all()
    prediction.save(tmp_path / "new" / "mask.png")
    with Image.open(tmp_path / "new" / "mask.png") as mask:
        assert mask.mode == "P" and (np.asarray(mask) == prediction.mask).all()
    prediction.save(tmp_path / "sure.png", "confidence")
    with Image.open(tmp_path / "sure.png") as sure:
        assert np.abs(np.asarray(sure) / 255 - prediction.confidence).max() < 0.5 / 255 + 1e-6
    with pytest.raises(ConfigError, match=r"mask\.jpg is no name of a PNG"):
        prediction.save(tmp_path / "mask.jpg")
    with pytest.raises(ConfigError, match="no picture 'labels': use mask or overlay or confidence"):
        prediction.save(tmp_path / "mask.png", "labels")
    assert repr(prediction).startswith("Prediction(") and len(repr(prediction)) < 200


def test_a_stream_reads_as_it_is_asked(predictor, files):
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield files[0]

    stream = predictor.stream(endless())
    assert next(stream).mask.shape == (48, 64)
    stream.close()
    assert read < 10


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5, 4), np.uint8), "the image is 4 x 5 x 4: give H x W x 3 uint8"),
        (np.zeros((0, 5, 3), np.uint8), "the image is 0 x 5 x 3"),
        (np.zeros((4, 5, 3), np.int32), "the image holds int32"),
        (np.full((4, 5, 3), 2.0), "the image holds floats from 2 to 2"),
        (np.full((4, 5, 3), np.nan), "the image holds floats from nan to nan"),
        (torch.zeros(1, 3, 4, 5), "the image is 1 x 3 x 4 x 5"),
        (7, "the image is of type int"),
        ("nowhere.png", "nowhere.png does not exist"),
    ],
)
def test_what_is_no_image(predictor, image, message):
    with pytest.raises(DataError) as caught:
        predictor(image)
    assert str(caught.value).startswith(message)


def test_what_is_no_predictor(training, tmp_path):
    for given, error, message in (
        ({"checkpoint": tmp_path / "gone"}, WeightsError, "there is no checkpoint"),
        ({"tta": "all"}, ConfigError, "tta=all predicts each image in several modes"),
        ({"tta": "twice"}, ConfigError, "tta=twice"),
        ({"device": "cuda"}, ConfigError, "accelerator=gpu, but there is no GPU"),
        ({"batch_size": 0}, ConfigError, "batch_size=0: give a whole number, 1 or more"),
        ({"precision": 12}, ConfigError, "precision=12"),
    ):
        if error is ConfigError and "GPU" in message and torch.cuda.is_available():
            continue
        with pytest.raises(error) as caught:
            Predictor(**{"checkpoint": training.folder, "trust": True, **given})
        assert message in str(caught.value)


def test_a_source_is_streamed(predictor, files, tmp_path):
    """A folder with a picture and a video."""
    write(tmp_path / "source" / "sub" / "a.png", picture(0))
    path = clip(tmp_path / "source" / "drive.mp4", (0, 1, 5))
    found = list(predictor.stream(tmp_path / "source"))
    assert [one.name for one in found] == ["sub/a", "drive/000000", "drive/000001", "drive/000002"]
    assert found[0].frame is None
    assert [one.frame.seconds for one in found[1:]] == pytest.approx([0, 0.04, 0.2], abs=1e-4)
    with pytest.raises(DataError, match=r"drive.mp4 is a video: predict its frames with stream"):
        predictor(path)
