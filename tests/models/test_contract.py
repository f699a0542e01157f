"""Networks of one's own that do not fit are named before they are trained."""

import shutil

import pytest
import torch
from torch import nn

from gcseg.engine.module import SegmentationModule
from gcseg.errors import ConfigError
from gcseg.models.contract import check_backbone, check_head
from tests.tiny import TinyBackbone


class Gives(nn.Module):
    def __init__(self, answer, channels=(8, 8, 16, 16)):
        super().__init__()
        self.answer, self.channels = answer, channels

    def forward(self, x):
        return self.answer(x) if callable(self.answer) else self.answer


def features(*channels):
    return lambda x: [torch.zeros(len(x), count, 8, 12) for count in channels]


def test_what_fits_is_left_as_it_was():
    backbone = TinyBackbone()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    random = torch.get_rng_state()
    check_backbone(backbone)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(part.training for part in backbone.modules())
    check_head("head", nn.Conv2d(16, 5, 1), 16, 5)
    check_head("auxiliary_head", None, 16, 5)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (Gives(features(8, 8, 16)), "gives a list of 3: give a list of 4 tensors"),
        (Gives(features(8, 8, 16, 32)), "stage 4, gives 1 x 32 x 8 x 12 where 1 x 16 x height"),
        (Gives(lambda x: x), "gives a Tensor: give a list of 4 tensors"),
        (Gives(None, channels=None), "has channels=None: give it the channels of its 4 stages"),
        (Gives(features(8), channels=(8,)), r"has channels=\(8,\)"),
        (Gives(lambda x: [x.long()] * 4, (3, 3, 3, 3)), "gives numbers of type int64"),
        (Gives(lambda x: {}["a"]), r"fails on an input of 1 x 3 x 64 x 96 \(KeyError: 'a'\)"),
    ],
)
def test_backbones(backbone, message):
    with pytest.raises(ConfigError, match=message):
        check_backbone(backbone)


def test_heads():
    with pytest.raises(ConfigError, match=r"1 x 6 x 8 x 12 where 1 x 5 x height x width are want"):
        check_head("head", nn.Conv2d(16, 6, 1), 16, 5)
    with pytest.raises(ConfigError, match=r"auxiliary_head Gives gives a tuple: give a tensor"):
        check_head("auxiliary_head", Gives(lambda x: (x, x)), 16, 5)


def test_an_index_of_no_class_is_no_other_class(run, training, monkeypatch, tmp_path):
    """The matrix would count it as one; results.json stays as it was."""
    folder = shutil.copytree(training.folder, tmp_path / training.folder.name)
    before = (folder / "results.json").read_bytes()
    given = (f"checkpoint={folder}", "accelerator=cpu", "num_workers=0", "tta=none")
    predict = SegmentationModule._predict

    def beyond(self, *arguments):
        return {name: found + 19 for name, found in predict(self, *arguments).items()}

    monkeypatch.setattr(SegmentationModule, "_predict", beyond)
    error = run("eval", *given).error
    assert "class indices of labels or predictions are outside 0 to 18" in error
    assert (folder / "results.json").read_bytes() == before
