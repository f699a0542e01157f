"""Checkpoints on disk: ours, the frameworks', and broken ones."""

import pickle

import pytest
import torch

from gcseg.errors import MismatchError, WeightsError
from gcseg.models import gcnet
from gcseg.weights import (
    KEY_MAPS,
    MMSEG_GCNET,
    PADDLESEG_GCNET,
    load_backbone,
    load_tensors,
    load_weights,
)
from gcseg.weights.architecture import without_values

FRAMEWORKS = {"paddleseg": (PADDLESEG_GCNET, "vd", True), "mmseg": (MMSEG_GCNET, "v1c", False)}


def small(seed: int, num_classes: int = 5, **arguments):
    """A small network with random parameters, none at zero."""
    torch.manual_seed(seed)
    with without_values():  # skips an initialisation that would be overwritten
        model = gcnet("r18", num_classes, channels=16, **arguments)
    model.to_empty(device="cpu")
    for tensor in model.state_dict().values():
        tensor.uniform_(0.5, 1.5) if tensor.is_floating_point() else tensor.zero_()
    return model


def assert_same(first, second):
    second = second.state_dict()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("kind", ["state dict", "Lightning checkpoint"])
def test_our_own(tmp_path, kind):
    wanted, model = small(1), small(2)
    content = wanted.state_dict()
    if kind == "Lightning checkpoint":
        content = {f"model.{name}": tensor for name, tensor in content.items()}
        content["loss.weight"] = torch.ones(5)
        content = {"state_dict": content, "global_step": 7, "optimizer_states": [{}]}
    torch.save(content, tmp_path / "x.ckpt")
    assert load_weights(model, tmp_path / "x.ckpt") == []
    assert_same(wanted, model)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("nested", [False, True])
def test_other_frameworks(tmp_path, framework, nested):
    keys, variant, conv_bias = FRAMEWORKS[framework]
    wanted = small(1, variant=variant, conv_bias=conv_bias)
    model = small(2, variant=variant, conv_bias=conv_bias)
    content = {keys.to_theirs(name): tensor for name, tensor in wanted.state_dict().items()}
    content.pop(None, None)
    if framework == "paddleseg":
        for leaf in ("weight", "bias"):  # of the layer norm, one-dimensional there
            name = f"head.gc_block.channel_add_conv.1.{leaf}"
            content[name] = content[name].flatten()
    torch.save({"meta": {}, "state_dict": content} if nested else content, tmp_path / "x.pth")
    assert load_weights(model, str(tmp_path / "x.pth")) == []
    assert_same(wanted, model)


def test_every_mismatch_is_in_one_error_and_nothing_is_loaded(tmp_path):
    content = small(1, num_classes=7).state_dict()
    del content["head.conv_in.0.bias"]
    del content["backbone.layer1.0.conv1.weight"]
    content["extra.weight"] = torch.ones(3)
    torch.save(content, tmp_path / "x.pth")
    model, untouched = small(2), small(2)
    with pytest.raises(WeightsError) as raised:
        load_weights(model, tmp_path / "x.pth")
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / 'x.pth'} is for another network and does not fit the ")
    assert "network in 7 places: " in message
    for mismatch in (
        "head.classifier.weight is 7 x 16 x 1 x 1, in the network 5 x 16 x 1 x 1",
        "head.classifier.bias is 7, in the network 5",
        "auxiliary_head.classifier.weight is 7 x 64 x 1 x 1, in the network 5 x 64 x 1 x 1",
        "auxiliary_head.classifier.bias is 7, in the network 5",
        "head.conv_in.0.bias is not in the file",
        "backbone.layer1.0.conv1.weight is not in the file",
        "extra.weight is not in the network",
    ):
        assert mismatch in message
    assert "\n" not in message
    assert_same(model, untouched)


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        (["head.classifier.bias"], "lacks 1 parameter of the network, head.classifier.bias: give"),
        (["head.conv_in.0.bias", "head.classifier.bias"], "lacks 2 parameters of the network, "),
    ],
)
def test_a_file_that_is_incomplete(tmp_path, names, cause):
    content = small(1).state_dict()
    for name in names:
        del content[name]
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(MismatchError) as raised:
        load_weights(small(2), tmp_path / "x.pth")
    assert str(raised.value).startswith(f"{tmp_path / 'x.pth'} is incomplete and {cause}")


def test_one_mismatch(tmp_path):
    torch.save({**small(1).state_dict(), "x": torch.ones(1)}, tmp_path / "x.pth")
    with pytest.raises(MismatchError, match="in 1 place: x is not in the network: build that netw"):
        load_weights(small(2), tmp_path / "x.pth")


def test_mismatch_of_another_framework_has_both_names(tmp_path):
    content = {
        PADDLESEG_GCNET.to_theirs(name): tensor
        for name, tensor in small(1, num_classes=7).state_dict().items()
    }
    content.pop(None)
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(
        WeightsError, match=r"head\.conv\.bias \(here head\.classifier\.bias\) is 7"
    ):
        load_weights(small(2), tmp_path / "x.pth")


def test_what_fits_is_loaded_if_not_strict(tmp_path):
    wanted, model, before = small(1, num_classes=7), small(2), small(2)
    torch.save(wanted.state_dict(), tmp_path / "x.pth")
    skipped = load_weights(model, tmp_path / "x.pth", strict=False)
    assert len(skipped) == 4
    assert all("classifier" in line for line in skipped)
    old, new = before.state_dict(), model.state_dict()
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(new[name], old[name] if "classifier" in name else tensor), name


def test_auxiliary_head_may_be_left_out(tmp_path):
    torch.save(small(1).state_dict(), tmp_path / "x.pth")
    model = small(2, auxiliary=False)
    with pytest.raises(WeightsError, match=r"auxiliary_head\.conv\.0\.weight is not in"):
        load_weights(model, tmp_path / "x.pth")
    skipped = load_weights(model, tmp_path / "x.pth", strict=False)
    assert all(line.startswith("auxiliary_head.") for line in skipped)


def test_backbone_alone(tmp_path):
    wanted, model = small(1), small(2)
    content = {k: v for k, v in wanted.state_dict().items() if k.startswith("backbone.")}
    torch.save(content, tmp_path / "x.pth")
    skipped = load_weights(model, tmp_path / "x.pth", strict=False)
    assert not any("backbone" in line for line in skipped)
    assert_same(wanted.backbone, model.backbone)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_code_in_a_file_is_not_run(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"weight": Malicious(str(trace))}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="can't read"):
        load_weights(small(1), tmp_path / "x.pth")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no checkpoint at "),
        (b"", "can't read "),
        (b"not a checkpoint", "can't read "),
        (pickle.dumps({"weight": 1}, protocol=2), "can't read "),
        ("half", "can't read "),
        (torch.ones(3), "holds a Tensor"),
        ([torch.ones(3)], "holds a list"),
        ({}, "has no parameter that fits, of names such as none"),
        ({"epoch": 3}, "has no parameter that fits, of names such as none"),
        ({"fc.weight": torch.ones(3)}, "has no parameter that fits, of names such as fc.weight"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("strict", [True, False])
def test_unusable_files_give_one_line(tmp_path, content, message, strict):
    path = tmp_path / "x.pth"
    if content == "half":
        torch.save({"weight": torch.ones(1000)}, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with without_values():
        model = gcnet("r18")
    with pytest.raises(WeightsError) as raised:
        load_weights(model, path, strict=strict)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(WeightsError, match="no checkpoint at"):
        load_weights(small(1), tmp_path)


def test_another_number_of_classes(tmp_path):
    wanted, model, before = small(1, num_classes=7), small(2), small(2)
    torch.save(wanted.state_dict(), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="in 4 places"):
        load_weights(model, tmp_path / "x.pth")
    assert load_weights(model, tmp_path / "x.pth", other_classes=True) == [
        "head.classifier (the file has 7 classes, the network 5)",
        "auxiliary_head.classifier (the file has 7 classes, the network 5)",
    ]
    old, new = before.state_dict(), model.state_dict()
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(new[name], old[name] if "classifier" in name else tensor), name


def test_other_classes_are_no_excuse_for_another_network(tmp_path):
    torch.save(small(1, num_classes=7, ratio=0.5).state_dict(), tmp_path / "x.pth")
    model, untouched = small(2), small(2)
    with pytest.raises(WeightsError, match=r"channel_add_conv\.0\.weight is 8 x 16 x 1 x 1, in"):
        load_weights(model, tmp_path / "x.pth", other_classes=True)
    assert_same(model, untouched)


def test_two_names_for_one_parameter(tmp_path):
    content = {PADDLESEG_GCNET.to_theirs(k): v for k, v in small(1).state_dict().items()}
    content.pop(None)
    content["head.classifier.bias"] = torch.ones(5)  # our name beside Paddle's
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"has two parameters for head\.classifier\.bias, head"):
        load_weights(small(2), tmp_path / "x.pth")


def test_a_backbone_is_taken_out_of_a_whole_network(tmp_path):
    wanted, model, before = small(1, num_classes=7), small(2), small(2)
    content = {PADDLESEG_GCNET.to_theirs(k): v for k, v in wanted.state_dict().items()}
    content.pop(None)
    torch.save(content, tmp_path / "x.pth")
    load_backbone(model.backbone, tmp_path / "x.pth")
    for name, tensor in before.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        source = wanted.state_dict() if name.startswith("backbone.") else before.state_dict()
        assert torch.equal(model.state_dict()[name], source[name]), name
        assert tensor is not None


@pytest.mark.parametrize(
    ("source", "variant"),
    [
        ("PaddleClas' ResNet18-vd", "vd"),
        ("torchvision", "v1b"),
        ("timm", "d"),
        ("mmpretrain", "v1c"),
    ],
)
def test_imagenet_backbones_without_their_classifier(tmp_path, source, variant):
    maps = {"timm": "conv1.0", "torchvision": "conv1", "mmpretrain": "stem.0"}
    first = maps.get(source, "stem.0.conv") + ".weight"
    keys = next(k for k in KEY_MAPS if k.to_theirs("backbone.stem.0.weight") == first)
    wanted, model = small(1, variant=variant), small(2, variant=variant)
    content = {
        keys.to_theirs(f"backbone.{name}"): tensor
        for name, tensor in wanted.backbone.state_dict().items()
    }
    content.pop(None, None)
    content |= {"fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)}
    torch.save(content, tmp_path / "x.pth")
    load_backbone(model.backbone, tmp_path / "x.pth")
    for name, tensor in wanted.backbone.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(model.backbone.state_dict()[name], tensor), name


def test_a_backbone_of_another_depth_lists_every_mismatch(tmp_path):
    torch.save(small(1).state_dict(), tmp_path / "x.pth")
    with without_values():
        other = gcnet("r34", 5)
    with pytest.raises(WeightsError) as raised:
        load_backbone(other.backbone, tmp_path / "x.pth")
    message = str(raised.value)
    assert "lacks 80 parameters of the network, backbone.layer1.2.conv1.weight, " in message
    assert message.startswith(f"{tmp_path / 'x.pth'} is for backbone=r18 head=gc head.channels=16 ")
    assert "head.conv_in" not in message


def test_of_many_mismatches_the_first_are_named():
    tensors = small(1).state_dict() | {f"{'x' * 300}{n}.weight": torch.ones(()) for n in range(50)}
    with pytest.raises(WeightsError) as raised:
        load_tensors(small(2), tensors, source="a file")
    message = str(raised.value)
    assert "in 50 places: xxx" in message
    assert "; and 40 more: build that network" in message
    assert message.count(" is not in the network") == 10
    skipped = load_tensors(small(2), tensors, source="a file", strict=False)
    assert len(skipped) == 50
    assert max(map(len, skipped)) < 130


def test_a_classifier_without_classes_has_no_other_number_of_them():
    tensors = small(1).state_dict() | {"head.classifier.bias": torch.ones(())}
    with pytest.raises(WeightsError, match=r"head\.classifier\.bias is a scalar, in the network 5"):
        load_tensors(small(2), tensors, source="a file", other_classes=True)
