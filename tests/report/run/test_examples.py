"""Best, median and worst images: which they are, what is predicted, how they are drawn."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from gcseg.data.augment import evaluation_pipeline
from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import CITYSCAPES, LabelSpace
from gcseg.errors import OutputError
from gcseg.inference.protocol import Augmentation, Protocol
from gcseg.models import FCNHead, GCHead, Segmentor
from gcseg.predictor.network import TrainedNetwork
from gcseg.report.run.examples import (
    Example,
    ImageScore,
    pick_examples,
    predict_examples,
    read_image_scores,
)
from gcseg.report.run.pictures import WRONG, attention_parts, error_map, example_parts
from tests.report.data.test_browse import Tree
from tests.tiny import TinyBackbone
from tests.visualization.test_html import decode

SPACE = LabelSpace(("sky", "<road>", "tree"))
PLAIN = Augmentation()
HEADER = "index,name,miou,pixel_accuracy,boundary_miou,labelled_pixels,iou/sky\n"


def scores(*values):
    return [ImageScore(index, f"image {index}", value) for index, value in enumerate(values)]


def picked(values, count):
    found = [(pick.kind, pick.score.index) for pick in pick_examples(scores(*values), count)]
    assert len({index for _, index in found}) == len(found)
    return found


def test_images_are_picked_by_their_scores():
    values = [0.5, 0.9, None, 0.1, 0.3, 0.7, 0.2]  # in order: 1, 5, 0, 4, 6, 3
    assert picked(values, 1) == [("best", 1), ("median", 0), ("worst", 3)]
    assert picked(values, 2) == [
        ("best", 1), ("best", 5), ("median", 0), ("median", 4), ("worst", 6), ("worst", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([], []),
        ([None], []),
        ([0.5], [("best", 0)]),
        ([0.2, 0.5], [("best", 1), ("worst", 0)]),
        ([0.5, 0.5, 0.5], [("best", 0), ("median", 1), ("worst", 2)]),
        ([0.1, 0.2, 0.3, 0.4], [("best", 3), ("best", 2), ("median", 1), ("worst", 0)]),
    ],
)
def test_few_images_are_shared_out(values, wanted):
    assert picked(values, 2) == wanted


def test_scores_are_read_from_the_table(tmp_path):
    path = tmp_path / "none.csv"
    path.write_bytes(HEADER.encode() + b'0,"a, b",0.25,0.5,0.1,100,0.25\n7,\xff,,,,0,\n')
    assert read_image_scores(path) == [ImageScore(0, "a, b", 0.25), ImageScore(7, "\ufffd", None)]


@pytest.mark.parametrize("content", ["name\nx\n", HEADER + "x,y,z\n", HEADER + "1\n", None])
def test_a_damaged_table_is_an_error_of_one_line(tmp_path, content):
    path = tmp_path / "none.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(OutputError, match=r"none\.csv (is damaged|does not exist).*explain=true"):
        read_image_scores(path)


def dataset(height, width, count=2, labels=True):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, height, width, 3), np.uint8)
    truth = rng.choice(np.array([0, 1, 2, 255], np.uint8), (count, height, width))
    path = Path("nowhere")
    pairs = [Pair(str(i), path, path if labels else None, SPACE) for i in range(count)]
    return SegmentationDataset(
        pairs, SPACE, "noise",
        lambda pair: (images[int(pair.name)], truth[int(pair.name)] if labels else None),
    )  # fmt: skip


def predict(head, data, mode=PLAIN):
    torch.manual_seed(0)
    model = Segmentor(TinyBackbone(), head)
    pipeline = evaluation_pipeline(mean=[0.5] * 3, std=[0.5] * 3, pad_height=64, pad_width=0)
    picks = pick_examples(scores(0.5, 0.25, 0.1), 1)
    network = TrainedNetwork(
        model.eval(), SPACE, pipeline, Protocol(), mode, device=torch.device("cpu")
    )
    return model, pipeline, predict_examples(network, data, picks)


def test_images_are_predicted_with_their_attention():
    data = dataset(40, 50)
    head = GCHead(16, 3, channels=8)
    model, pipeline, examples = predict(head, data, Augmentation((1.0,), flip=True))
    assert [(one.kind, one.name, one.miou) for one in examples] == [
        ("best", "0", 0.5), ("median", "1", 0.25),
    ]  # fmt: skip
    for index, one in enumerate(examples):
        image, truth = data.read(index)
        np.testing.assert_array_equal(one.image, image)
        np.testing.assert_array_equal(one.truth, truth)
        x = torch.from_numpy(pipeline(image=image)["image"].transpose(2, 0, 1).copy())[None]
        assert x.shape[-2:] == (64, 50)
        with torch.inference_mode():
            logits = (model(x) + model(x.flip(-1)).flip(-1))[0, :, :40]
            weights = model.attention(x)[0, 0]
        np.testing.assert_array_equal(one.prediction, logits.argmax(0))
        assert one.attention.shape == (40, 50)
        assert one.attention[0, 0] == pytest.approx(
            float(weights[0, 0]) * weights.numel(), rel=1e-4
        )


def test_without_context_block_or_label():
    _, _, (one, *_) = predict(FCNHead(16, 3, channels=8), dataset(20, 30, labels=False))
    assert one.attention is None
    assert (one.truth == 255).all()
    assert one.prediction.shape == (20, 30)


def test_wrong_pixels_stand_out_and_ignored_ones_are_dark():
    picture = np.full((40, 40, 3), 200, np.uint8)
    truth, prediction = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    prediction[:, :10] = 1
    truth[:, 30:] = 255
    drawn = error_map(picture, truth, prediction).astype(int)
    assert abs(drawn[:, :10] - np.array(WRONG)).max() < 45
    assert (drawn[:, 10:30] == drawn[0, 15]).all()
    assert drawn[0, 15].min() > 150
    assert drawn[:, 30:].max() < 110
    assert len(np.unique(drawn[:, 30:])) == 2


def test_pictures_of_examples():
    image = np.full((30, 40, 3), 90, np.uint8)
    truth = np.zeros((30, 40), np.uint8)
    truth[:15], truth[15:20] = 1, 255
    attention = np.ones((30, 40), np.float32)
    attention[0, 0] = 3.25
    example = Example("worst", "<a>&\udcff", 0.25, image, truth, np.ones_like(truth), attention)
    root = Tree("".join(example_parts([example], SPACE))).root
    assert root.all("h3")[0].text == "worst: <a>&?, mIoU 25.0 % on this image"
    legend = [entry.text for entry in root.all("ul", "legend")[0].all("li")]
    assert {"sky", "<road>", "tree"} <= set(legend)
    captions = [caption.text for caption in root.all("figcaption")]
    assert captions == ["image", "truth", "prediction", "errors: 40.0 % of the labelled pixels"]
    pixels = [picture(one) for one in root.all("img")]
    assert (pixels[1][:15] == SPACE.colors[1]).all()
    assert (pixels[1][20:] == SPACE.colors[0]).all()
    assert (pixels[2] == SPACE.colors[1]).all()
    root = Tree("".join(attention_parts([example]))).root
    assert "3.2× the weight of a uniform map" in root.all("figcaption")[0].text
    assert picture(root.all("img")[0]).shape == (30, 40, 3)
    assert attention_parts([]) == []


def test_large_pictures_make_a_page_of_a_few_megabytes():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1024, 2048, 3), np.uint8)
    truth = rng.integers(0, 19, (1024, 2048), np.uint8)
    example = Example("best", "noise", 0.5, image, truth, truth, np.ones((1024, 2048), np.float32))
    parts = [*example_parts([example], CITYSCAPES), *attention_parts([example])]
    assert 6 * sum(map(len, parts)) < 10e6
    sizes = {decode(one)[1].shape for one in re.findall(r'src="([^"]*)"', "".join(parts))}
    assert sizes == {(320, 640, 3)}


def picture(node):
    return decode(node.attributes["src"])[1]
