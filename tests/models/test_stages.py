"""What of a backbone is frozen, and what has a learning rate of its own."""

import pytest
import torch
from torch import nn

from gcseg.errors import ConfigError
from gcseg.models import gcnet
from gcseg.models.stages import frozen_modules, stages_of
from gcseg.optim import parameter_groups, sgd
from tests.tiny import StagedBackbone, TinyBackbone


@pytest.fixture
def network():
    return gcnet("r18", num_classes=3, channels=16)


def names(network, *, frozen):
    return {
        name.split(".")[1]
        for name, parameter in network.backbone.named_parameters("backbone")
        if parameter.requires_grad is not frozen
    }


ALL = ("stem", "layer1", "layer2", "layer3", "layer4")


@pytest.mark.parametrize(
    ("part", "count"), [("none", 0), ("stem", 1), (1, 2), (3, 4), (4, 5), ("all", 5)]
)
def test_what_is_frozen(network, part, count):
    network.freeze(part)
    assert names(network, frozen=True) == set(ALL[:count])
    assert names(network, frozen=False) == set(ALL[count:])
    for mode in (True, False, True):
        network.train(mode)
        for place, name in enumerate(ALL):
            module = getattr(network.backbone, name)
            expected = mode and place >= count
            assert {inner.training for inner in module.modules()} == {expected}
        assert network.head.training is mode


def test_a_step_changes_nothing_that_is_frozen(network):
    network.freeze(2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer, _ = sgd(parameter_groups(network, lr=0.1), iters=1, lr=0.1, weight_decay=0.1)
    for part in network(torch.randn(2, 3, 64, 64), auxiliary=True):
        part.square().mean().backward(retain_graph=True)
    optimizer.step()
    changed = {
        name for name, value in network.state_dict().items() if (value != before[name]).any()
    }
    assert {name for name in changed if ".num_batches_tracked" not in name} >= {
        "backbone.layer3.0.conv1.weight",
        "backbone.layer4.0.bn1.running_mean",
    }
    assert not any(name.startswith(("backbone.stem", "backbone.layer1", "backbone.layer2"))
                   for name in changed)  # fmt: skip


def test_modules_that_are_replaced_stay_frozen():
    backbone = StagedBackbone()
    network = gcnet("r18", num_classes=3, channels=16)
    network.backbone = backbone
    network.freeze("stem")
    backbone.inner.stages[0][1] = nn.BatchNorm2d(8)
    assert network.train().backbone.inner.stages[0][1].training is False


def test_without_stages():
    assert frozen_modules(TinyBackbone(), "none") == ()
    backbone = TinyBackbone()
    assert frozen_modules(backbone, "all") == (backbone,)
    with pytest.raises(ConfigError, match="TinyBackbone does not say which modules are its stem"):
        frozen_modules(backbone, 2)


def test_stages_that_leave_something_out():
    backbone = StagedBackbone()
    backbone.more = nn.Linear(1, 1)
    with pytest.raises(ConfigError, match="StagedBackbone have 12 parameters, and it has 14: let"):
        stages_of(backbone)


def test_one_learning_rate(network):
    assert parameter_groups(network, lr=0.1) == list(network.parameters())


def rates(network, **settings):
    groups = parameter_groups(network, lr=0.1, **settings)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(map(id, trained))
    return {group["name"]: pytest.approx(group["lr"], rel=1e-12) for group in groups}


def test_learning_rates(network):
    assert rates(network, backbone_lr_factor=0.5) == {"heads": 0.1, "backbone": 0.05}
    assert rates(network, backbone_lr_factor=0.5, layer_decay=0.8) == {
        "heads": 0.1,
        "backbone.stem": 0.1 * 0.5 * 0.8**5,
        "backbone.stage1": 0.1 * 0.5 * 0.8**4,
        "backbone.stage2": 0.1 * 0.5 * 0.8**3,
        "backbone.stage3": 0.1 * 0.5 * 0.8**2,
        "backbone.stage4": 0.1 * 0.5 * 0.8,
    }


def test_learning_rates_of_what_is_not_frozen(network):
    network.freeze(3)
    assert list(rates(network, layer_decay=0.8)) == ["heads", "backbone.stage4"]
    network.freeze("all")
    assert list(rates(network, backbone_lr_factor=0.5)) == ["heads"]


def test_the_whole_schedule_is_scaled(network):
    groups = parameter_groups(network, lr=0.1, backbone_lr_factor=0.25)
    optimizer, scheduler = sgd(groups, iters=5, lr=0.1, end_lr=0.01, warmup_iters=2)
    for _ in range(6):
        heads, backbone = (group["lr"] for group in optimizer.param_groups)
        assert backbone == pytest.approx(heads / 4, rel=1e-12)
        optimizer.step()
        scheduler.step()
    assert heads == pytest.approx(0.01)
