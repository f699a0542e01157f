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
        (Gives(features(8, 8, 16, 32)), "stage 4, gives 2 x 32 x 8 x 12 where 2 x 16 x height"),
        (Gives(lambda x: x), "gives a Tensor: give a list of 4 tensors"),
        (Gives(None, channels=None), "has channels=None: give it the channels of its 4 stages"),
        (Gives(features(8), channels=(8,)), r"has channels=\(8,\)"),
        (Gives(lambda x: [x.long()] * 4, (3, 3, 3, 3)), "gives numbers of type int64"),
        (Gives(lambda x: {}["a"]), r"fails on an input of 2 x 3 x 64 x 96 \(KeyError: 'a'\)"),
    ],
)
def test_backbones(backbone, message):
    with pytest.raises(ConfigError, match=message):
        check_backbone(backbone)


def test_heads():
    with pytest.raises(ConfigError, match=r"2 x 6 x 8 x 12 where 2 x 5 x height x width are want"):
        check_head("head", nn.Conv2d(16, 6, 1), 16, 5)
    with pytest.raises(ConfigError, match=r"auxiliary_head Gives gives a tuple: give a tensor"):
        check_head("auxiliary_head", Gives(lambda x: (x, x)), 16, 5)


class Varies(nn.Module):
    """A head that does something else in training mode, or with other pictures."""

    def __init__(self, in_channels, num_classes, what="nothing", **_):
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.classifier = nn.Conv2d(in_channels, num_classes, 1)
        self.what = what

    def forward(self, x):
        logits = self.classifier(self.norm(x))
        if self.training and self.what == "pair":
            return logits, logits
        if self.training and self.what == "more":
            return torch.cat([logits, logits], 1)
        if self.what == "one":
            return logits[:1]
        if self.what == "few" and x.shape[-1] != 12:
            return logits[:, :1]
        if self.what == "values" and x.any():
            return logits[:, :1]
        return logits


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("pair", "head Varies gives a tuple in training mode: give a tensor"),
        ("more", "head Varies gives 2 x 10 x 8 x 12 in training mode where 2 x 5 x height"),
        ("one", "gives 1 x 5 x 8 x 12 where 2 x 5 x height x width are wanted"),
        ("values", "gives 2 x 1 x 8 x 12 where 2 x 5"),
    ],
)
def test_heads_that_vary(what, message):
    with pytest.raises(ConfigError, match=message):
        check_head("head", Varies(16, 5, what), 16, 5)
    assert torch.is_grad_enabled()


def test_statistics_and_modes_are_as_they_were():
    head = Varies(16, 5)
    head.norm.eval()
    random = torch.get_rng_state()
    check_head("head", head, 16, 5)
    assert not head.norm.running_mean.any() and head.norm.num_batches_tracked == 0
    assert head.training and not head.norm.training
    assert torch.equal(torch.get_rng_state(), random)


def test_stages_in_training_mode():
    backbone = TinyBackbone()
    forward = backbone.forward
    backbone.forward = lambda x: forward(x)[: 3 if backbone.training else 4]
    with pytest.raises(ConfigError, match="gives a list of 3 in training mode: give a list of 4"):
        check_backbone(backbone)


def test_what_is_no_network():
    with pytest.raises(ConfigError, match=r"the backbone int is not a torch\.nn\.Module: let its"):
        check_backbone(3)
    with pytest.raises(ConfigError, match=r"head function is not a torch\.nn\.Module"):
        check_head("head", features(3), 16, 5)


def test_channels_at_another_size(train):
    """Which no try can show: in the first step."""
    error = train(f"head._target_={__name__}.Varies", "+head.what=few").error
    assert error.startswith("the head gives 1 channels for 19 classes: give one for each")


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
