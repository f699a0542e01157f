"""Context blocks in residual blocks of a backbone."""

import pytest
import torch
import yaml
from torch.nn import functional as F

from gcseg.config.compose import source_folder
from gcseg.errors import ConfigError
from gcseg.inference.network_strips import runs_in_strips
from gcseg.models import (
    FCNHead,
    GlobalContextBlock,
    NonLocalBlock,
    Segmentor,
    SqueezeExcitationBlock,
    insert_context,
    resnet,
)
from gcseg.models.defaults import INSERTED_BLOCKS
from gcseg.models.insertion import has_context, residual_blocks
from gcseg.weights import describe, load_backbone
from gcseg.weights.architecture import build, without_values
from gcseg.weights.overrides import overrides
from tests.models.test_context_blocks import drawn

POSITIONS = ("after_3x3", "after_1x1", "after_add")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Gain(torch.nn.Module):
    """A block whose effect is seen: it multiplies by a number."""

    def __init__(self, channels):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.full((1, channels, 1, 1), 3.0))

    def forward(self, x):
        return x * self.factor


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("depth", [18, 50])
def test_a_block_is_where_it_was_put(depth, position):
    backbone = resnet(depth, variant="v1b").eval()
    block = residual_blocks(backbone, 1)[-1]
    x = torch.randn(1, block.conv1.in_channels, 6, 7)
    insert_context(backbone, Gain, position=position, stages=[1], blocks=[-1])
    with torch.no_grad():
        y = F.relu(block.bn1(block.conv1(x)))
        if depth == 18:
            y = 3 * y if position == "after_3x3" else y
            y = block.bn2(block.conv2(y))
        else:
            y = F.relu(block.bn2(block.conv2(y)))
            y = 3 * y if position == "after_3x3" else y
            y = block.bn3(block.conv3(y))
        y = 3 * y if position == "after_1x1" else y
        y = F.relu(x + y)
        y = 3 * y if position == "after_add" else y
        torch.testing.assert_close(block(x), y)


@pytest.mark.parametrize("position", POSITIONS)
def test_new_blocks_change_nothing(position):
    backbone = resnet(18).eval()
    x = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        before = backbone(x)
        insert_context(backbone, lambda channels: GlobalContextBlock(channels), position=position)
        after = backbone(x)
    assert has_context(backbone)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)


def parameters(**places):
    """Learnt values in millions that global context blocks add to ResNet50."""
    with without_values():
        backbone = resnet(50)
        before = sum(one.numel() for one in backbone.parameters())
        insert_context(
            backbone, lambda channels: GlobalContextBlock(channels, ratio=1 / 16), **places
        )
        return (sum(one.numel() for one in backbone.parameters()) - before) / 1e6


def test_parameters_are_the_papers():
    """Tables 1a and 1c of the paper: one block in c4, and all blocks of c3 to c5."""
    assert round(parameters(stages=[3], blocks=[-2], position="after_add"), 2) == 0.13
    assert round(parameters(), 2) == 2.52


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"position": "after_bn"}, "position"),
        ({"stages": [5]}, "stages"),
        ({"blocks": [2]}, "blocks has 2, and stage 2 has 2 residual blocks: give numbers from -2"),
        ({"blocks": [-3]}, "blocks has -3"),
    ],
)
def test_places_that_do_not_exist(places, message):
    with pytest.raises(ConfigError, match=message):
        insert_context(resnet(18), Gain, **places)


def test_other_backbones_take_none():
    with pytest.raises(ConfigError, match="has no residual blocks that take one"):
        insert_context(torch.nn.Conv2d(3, 4, 1), Gain)


def test_such_a_network_does_not_run_in_strips():
    with without_values():
        backbone = resnet(18)
        network = Segmentor(backbone, FCNHead(512, 3, channels=8))
        assert runs_in_strips(network)
        insert_context(backbone, lambda channels: GlobalContextBlock(channels), stages=[4])
        assert not runs_in_strips(network)


def test_conf_has_the_defaults():
    folder = source_folder("conf") / "backbone" / "context"
    files = {path.stem: yaml.safe_load(path.read_text()) for path in folder.glob("*.yaml")}
    assert files.pop("none") == {"name": "none", "_target_": None}
    places = {"position": "after_add", "stages": [3], "blocks": [-2]}  # before the last one of c4
    for name in ("gc", "nl", "snl"):
        of_paper = files.pop(f"one_{name}")
        assert of_paper == {"defaults": [name, "_self_"], "name": f"one-{name}", **places}
    assert files == {name: {"name": name, **usual} for name, usual in INSERTED_BLOCKS.items()}


# ------------------------------------------------------------------------------------ checkpoints


def network(build_block, **places):
    with without_values():
        backbone = resnet(18)
        insert_context(backbone, build_block, **places)
        return Segmentor(backbone, FCNHead(512, 4, channels=16))


@pytest.mark.parametrize(
    ("block", "places", "words"),
    [
        (lambda c: GlobalContextBlock(c, ratio=1 / 16), {}, ["backbone/context=gc"]),
        (
            lambda c: NonLocalBlock(c, ratio=0.25),
            {"stages": [3, 4], "blocks": [-1], "position": "after_add"},
            ["backbone/context=nl", "backbone.context.ratio=0.25",
             "backbone.context.position=after_add", "backbone.context.stages=[3,4]",
             "backbone.context.blocks=[1]"],
        ),
        (
            lambda c: SqueezeExcitationBlock(c),
            {"stages": [1], "position": "after_3x3"},
            ["backbone/context=se", "backbone.context.position=after_3x3",
             "backbone.context.stages=[1]"],
        ),
    ],
    ids=["gc", "nl", "se"],
)  # fmt: skip
def test_weights_show_blocks_and_places(block, places, words):
    made = network(block, **places)
    description = describe(made.state_dict())
    assert [one for one in overrides(description) if "context" in one] == words
    with without_values():
        again = build(description)
    assert {name: value.shape for name, value in again.state_dict().items()} == {
        name: value.shape for name, value in made.state_dict().items()
    }


def test_places_that_settings_do_not_describe():
    with without_values():
        backbone = resnet(18)
        insert_context(backbone, lambda c: GlobalContextBlock(c), stages=[2])
        insert_context(backbone, lambda c: GlobalContextBlock(c), stages=[3], position="after_add")
        made = Segmentor(backbone, FCNHead(512, 4, channels=16))
    with pytest.raises(Exception, match="in places that no settings describe"):
        describe(made.state_dict())


def test_weights_of_imagenet_leave_new_blocks_as_they_are(tmp_path):
    plain = drawn(resnet(18, variant="v1b"), seed=3)
    torch.save(plain.state_dict(), tmp_path / "resnet.pth")
    backbone = resnet(18, variant="v1b").eval()
    insert_context(backbone, lambda c: GlobalContextBlock(c))
    (line,) = load_backbone(backbone, tmp_path / "resnet.pth")
    assert line == "the context blocks of the backbone are not in the file, and start as new ones"
    x = torch.randn(1, 3, 33, 40)
    with torch.no_grad():
        for one, other in zip(plain(x), backbone(x), strict=True):
            assert torch.equal(one, other)


def test_weights_of_a_detector_have_its_blocks(tmp_path):
    """mmdetection's names: the blocks are plugins called context_block."""
    trained = resnet(18, variant="v1b")
    insert_context(trained, lambda c: GlobalContextBlock(c, ratio=1 / 16))
    state = {
        f"backbone.{name}".replace(".after_1x1.", ".context_block.")
        .replace("backbone.stem.0.", "backbone.conv1.")
        .replace("backbone.stem.1.", "backbone.bn1."): value
        for name, value in drawn(trained).state_dict().items()
    }
    state["neck.lateral_convs.0.conv.weight"] = torch.zeros(1)
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "detector.pth")
    backbone = resnet(18, variant="v1b").eval()
    insert_context(backbone, lambda c: GlobalContextBlock(c, ratio=1 / 16))
    assert load_backbone(backbone, tmp_path / "detector.pth") == []
    x = torch.randn(1, 3, 33, 40)
    with torch.no_grad():
        assert torch.equal(backbone(x)[3], trained(x)[3])
