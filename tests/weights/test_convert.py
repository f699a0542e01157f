"""Converted checkpoints: the same logits, what goes along with them, and clear refusals."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from gcseg.errors import OutputError, WeightsError
from gcseg.models import AuxiliaryHead, FCNHead, Segmentor, gcnet, resnet
from gcseg.models.defaults import CONTEXT_CLASSES
from gcseg.weights import load_weights
from gcseg.weights.architecture import build, describe, without_values
from gcseg.weights.convert import convert
from gcseg.weights.keymaps import MMSEG_GCNET
from gcseg.weights.reading import read_checkpoint_file
from tests.golden import image, parameter


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """ResNets of fewer channels, so that drawing, writing and reading take no time."""
    module = sys.modules["gcseg.models.resnets"]
    monkeypatch.setattr(module, "WIDTHS", (64, 72, 80, 88))


SUFFIXES = (".ckpt", ".safetensors", ".pdparams", ".pth")


def drawn(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    """The network in evaluation mode with random parameters, other ones for each seed."""
    state = {
        name: torch.from_numpy(parameter(f"{seed}.{name}", tuple(tensor.shape)))
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    network.load_state_dict(state, strict=False)
    return network.eval()


def small(seed: int = 0, backbone: str = "r18", **settings) -> Segmentor:
    with without_values():
        network = gcnet(backbone, 5, channels=16, **settings)
    return drawn(network.to_empty(device="cpu"), seed)


def saved(network: torch.nn.Module, path: Path, **said) -> Path:
    """A file of ours, with what its weights do not show."""
    content = {"state_dict": network.state_dict()}
    torch.save({**content, "gcseg": {"network": said}} if said else content, path)
    return path


def read(path: Path) -> Segmentor:
    """The network that a file holds, by what it shows and says alone."""
    file = read_checkpoint_file(path)
    network = build(describe(file.tensors, file.extra)).eval()
    assert load_weights(network, path) == []
    return network


def assert_same_logits(first: Segmentor, second: Segmentor) -> None:
    x = image((2, 3, 33, 49), seed=3)
    with torch.no_grad():
        for a, b in zip(first(x, auxiliary=True), second(x, auxiliary=True), strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert (a - b).abs().max() / a.abs().max() < 1e-5


@pytest.mark.parametrize("conv_bias", [True, False])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_logits_stay(tmp_path, suffix, conv_bias):
    variant = "v1c" if suffix == ".pth" else "vd"  # basic blocks of vd are not mmsegmentation's
    network = small(SUFFIXES.index(suffix), variant=variant, conv_bias=conv_bias)
    convert(saved(network, tmp_path / "source.ckpt"), tmp_path / f"target{suffix}")
    again = read(tmp_path / f"target{suffix}")
    assert_same_logits(network, again)
    has_biases = again.head.conv_in[0].bias is not None
    assert has_biases == {".pth": False, ".pdparams": True}.get(suffix, conv_bias)


@pytest.mark.parametrize(
    "settings",
    [
        {"variant": "v1c", "conv_bias": False, "auxiliary": False},
        {"variant": "v1b", "fusion": "add+multiply", "pooling": "average"},
        {"variant": "v1d", "fusion": "multiply", "ratio": 0.5},
    ],
    ids=str,
)
def test_logits_stay_under_mmsegmentations_names(tmp_path, settings):
    network = small(4, **settings)
    said = {"backbone": {"variant": settings["variant"]}}
    convert(saved(network, tmp_path / "a.ckpt", **said), tmp_path / "b.pth")
    convert(tmp_path / "b.pth", tmp_path / "c.safetensors")
    assert_same_logits(network, read(tmp_path / "b.pth"))
    convert(tmp_path / "b.pth", tmp_path / "d.ckpt")
    assert_same_logits(network, read(tmp_path / "d.ckpt"))


def test_factors_of_the_dilation_go_along(tmp_path):
    said = {"backbone": {"multi_grid": [1, 2, 4]}}
    network = small(4)
    network.backbone = drawn(resnet(18, multi_grid=(1, 2, 4)), 4)
    source = saved(network, tmp_path / "a.ckpt", **said)
    notes = convert(source, tmp_path / "b.pdparams")
    assert "ResNet18_vd(output_stride=8, multi_grid=[1, 2, 4])" in notes[0]
    convert(source, tmp_path / "b.ckpt")
    assert_same_logits(network, read(tmp_path / "b.ckpt"))
    convert(tmp_path / "b.pdparams", tmp_path / "c.ckpt", multi_grid=[1, 2, 4])
    assert_same_logits(network, read(tmp_path / "c.ckpt"))
    said["backbone"]["variant"] = "v1c"
    notes = convert(saved(small(4, variant="v1c"), tmp_path / "d.ckpt", **said), tmp_path / "d.pth")
    assert "'multi_grid': (4, 8, 16)" in notes[1]


def test_from_paddleseg_to_mmsegmentation_and_back(tmp_path):
    network = small(5, "r50")
    convert(saved(network, tmp_path / "a.ckpt"), tmp_path / "a.pdparams")
    convert(tmp_path / "a.pdparams", tmp_path / "b.pth")
    convert(tmp_path / "b.pth", tmp_path / "c.pdparams")
    for name in ("a.pdparams", "b.pth", "c.pdparams"):
        assert_same_logits(network, read(tmp_path / name))


def test_biases_go_into_the_running_means(tmp_path):
    network = small(7, variant="v1c")
    convert(saved(network, tmp_path / "a.ckpt"), tmp_path / "b.pth")
    state = network.state_dict()
    without = torch.load(tmp_path / "b.pth", weights_only=True)["state_dict"]
    bias, mean = state["head.conv_cat.0.bias"], state["head.conv_cat.1.running_mean"]
    assert bias.abs().min() > 0
    assert torch.equal(without["decode_head.conv_cat.bn.running_mean"], mean - bias)
    assert torch.equal(without["decode_head.conv_seg.bias"], state["head.classifier.bias"])


def test_missing_biases_come_as_zeros(tmp_path):
    network = small(7, conv_bias=False)
    convert(saved(network, tmp_path / "a.ckpt"), tmp_path / "b.pdparams")
    zeros = pickle.loads((tmp_path / "b.pdparams").read_bytes())
    for module, channels in {"head.conv_bn_relu3": 16, "head.auxlayer.conv_bn_relu": 20}.items():
        assert np.array_equal(zeros[f"{module}._conv.bias"], np.zeros(channels, np.float32))


def test_numbers_are_float32_and_counts_are_kept(tmp_path):
    network = small(8)
    network.backbone.stem[1].num_batches_tracked.fill_(7)
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    torch.save(state, tmp_path / "a.pth")
    convert(tmp_path / "a.pth", tmp_path / "b.ckpt")
    converted = torch.load(tmp_path / "b.ckpt", weights_only=True)["state_dict"]
    assert converted.keys() == state.keys()
    for name, tensor in converted.items():
        assert tensor.dtype == network.state_dict()[name].dtype, name
        assert torch.equal(tensor, state[name].to(tensor.dtype)), name
    assert converted["backbone.stem.1.num_batches_tracked"] == 7
    convert(tmp_path / "b.ckpt", tmp_path / "c.pdparams")
    convert(tmp_path / "c.pdparams", tmp_path / "d.ckpt")
    counted = torch.load(tmp_path / "d.ckpt", weights_only=True)["state_dict"]
    assert counted["backbone.stem.1.num_batches_tracked"].dtype == torch.int64
    network.load_state_dict(counted)  # complete


def test_safetensors_say_what_the_weights_do_not_show(tmp_path):
    network = small(9, variant="d", output_stride=16)
    said = {"backbone": {"variant": "d", "output_stride": 16}}
    convert(saved(network, tmp_path / "a.ckpt", **said), tmp_path / "b.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "b.safetensors")
    assert tensors.keys() == network.state_dict().keys()
    with safe_open(tmp_path / "b.safetensors", "pt") as file:
        record = json.loads(file.metadata()["gcseg"])
    backbone = record["network"]["backbone"]
    assert (backbone["variant"], backbone["output_stride"]) == ("d", 16)
    file = read_checkpoint_file(tmp_path / "b.safetensors")
    assert describe(file.tensors, file.extra).backbone["variant"] == "d"
    assert describe(file.tensors, file.extra).backbone["output_stride"] == 16


TRAINING = {
    "config": {
        "backbone": {"variant": "v1d", "output_stride": 16},
        "head": {"dropout": 0.2, "align_corners": True, "conv_bias": True},
        "auxiliary_head": {"dropout": 0.3, "conv_bias": True},
        "normalize": {"mean": [0.1, 0.2, 0.3], "std": [0.2, 0.2, 0.2]},
    },
    "classes": ["road", "sky", "tree", "car", "bus"],
    "colors": [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12], [13, 14, 15]],
}


def trained(network: Segmentor, path: Path) -> Path:
    """A checkpoint as our training writes it."""
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    state["loss.weight"] = torch.ones(5)
    torch.save({"state_dict": state, "global_step": 7, "gcseg": TRAINING}, path)
    return path


def test_what_a_training_says_is_kept(tmp_path):
    network = small(10, variant="v1d", output_stride=16, align_corners=True)
    source = trained(network, tmp_path / "a.ckpt")
    convert(source, tmp_path / "b.ckpt")
    content = torch.load(tmp_path / "b.ckpt", weights_only=True)
    assert content["gcseg"] == TRAINING
    convert(source, tmp_path / "b.pth")
    meta = torch.load(tmp_path / "b.pth", weights_only=True)["meta"]
    assert meta["dataset_meta"] == {"classes": TRAINING["classes"], "palette": TRAINING["colors"]}
    assert meta["gcseg"] == TRAINING
    norm = {"type": "BN", "requires_grad": True}
    assert meta["model"] == {
        "data_preprocessor": {
            "type": "SegDataPreProcessor",
            "mean": [25.5, 51.0, 76.5],
            "std": [51.0, 51.0, 51.0],
            "bgr_to_rgb": True,
        },
        "backbone": {
            **{"type": "ResNetV1d", "depth": 18, "in_channels": 3, "num_stages": 4},
            **{"out_indices": (0, 1, 2, 3), "style": "pytorch", "norm_cfg": norm},
            **{"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2), "contract_dilation": True},
        },
        "decode_head": {
            **{"type": "GCHead", "in_channels": 512, "in_index": 3, "channels": 16},
            **{"ratio": 0.25, "pooling_type": "att", "fusion_types": ("channel_add",)},
            **{"dropout_ratio": 0.2, "num_classes": 5, "norm_cfg": norm, "align_corners": True},
        },
        "auxiliary_head": {
            **{"type": "FCNHead", "in_channels": 256, "in_index": 2, "channels": 64},
            **{"num_convs": 1, "concat_input": False, "dropout_ratio": 0.3, "num_classes": 5},
            **{"norm_cfg": norm, "align_corners": True},
        },
    }


def test_what_a_training_says_goes_along_to_mmsegmentation_and_back(tmp_path):
    network = small(10, variant="v1d", output_stride=16, align_corners=True)
    convert(trained(network, tmp_path / "a.ckpt"), tmp_path / "b.pth")
    convert(tmp_path / "b.pth", tmp_path / "c.ckpt")
    record = torch.load(tmp_path / "c.ckpt", weights_only=True)["gcseg"]
    assert record["config"].pop("head") == {**TRAINING["config"]["head"], "conv_bias": False}
    assert record["config"].pop("auxiliary_head") == {"dropout": 0.3, "conv_bias": False}
    for name, node in record["config"].items():
        assert node == TRAINING["config"][name]
    assert record["classes"] == TRAINING["classes"]
    assert_same_logits(network, read(tmp_path / "c.ckpt"))


def test_settings_for_paddleseg_are_those_of_the_training(tmp_path):
    source = tmp_path / "a.ckpt"
    config = {**TRAINING["config"], "backbone": {"variant": "vd", "output_stride": 16}}
    torch.save({"state_dict": small(10).state_dict(), "gcseg": {"config": config}}, source)
    notes = convert(source, tmp_path / "b.pdparams")
    assert "output_stride=16" in notes[0] and "align_corners=True" in notes[0]
    assert notes[1] == "images: Normalize with mean [0.1, 0.2, 0.3] and std [0.2, 0.2, 0.2]"


def test_files_of_mmsegmentation_keep_its_normalisation(tmp_path):
    state = {MMSEG_GCNET.to_theirs(name): t for name, t in small(11, variant="v1c",
             conv_bias=False).state_dict().items()}  # fmt: skip
    torch.save({"meta": {"epoch": 3}, "state_dict": state}, tmp_path / "a.pth")
    convert(tmp_path / "a.pth", tmp_path / "b.ckpt", align_corners=True)
    record = torch.load(tmp_path / "b.ckpt", weights_only=True)["gcseg"]["network"]
    assert record["protocol"] == {"name": "mmseg"}
    assert record["head"]["align_corners"] is True
    convert(tmp_path / "b.ckpt", tmp_path / "c.pth")
    again = torch.load(tmp_path / "c.pth", weights_only=True)
    preprocessor = again["meta"]["model"]["data_preprocessor"]
    assert preprocessor["mean"] == [123.675, 116.28, 103.53]  # as in its own configurations
    assert preprocessor["std"] == [58.395, 57.12, 57.375]
    assert again["state_dict"].keys() == state.keys()
    assert all(torch.equal(again["state_dict"][name], tensor) for name, tensor in state.items())


def test_plain_head(tmp_path):
    backbone = resnet(18, variant="v1c")
    network = drawn(Segmentor(backbone, FCNHead(backbone.channels[3], 5, channels=16)), 12)
    convert(saved(network, tmp_path / "a.ckpt"), tmp_path / "b.pth")
    assert_same_logits(network, read(tmp_path / "b.pth"))
    model = torch.load(tmp_path / "b.pth", weights_only=True)["meta"]["model"]
    assert model["decode_head"]["type"] == "FCNHead"
    assert (model["decode_head"]["num_convs"], model["decode_head"]["concat_input"]) == (2, True)
    assert "auxiliary_head" not in model


def reasons() -> dict[str, tuple[Segmentor, dict, str, str]]:
    """Networks that a framework has no equal for: network, what the file says, suffix, error."""
    with without_values():
        backbone = resnet(18)
        plain = Segmentor(backbone, FCNHead(backbone.channels[3], 5, channels=16))
    d = {"backbone": {"variant": "d"}}
    only = "PaddleSeg's network has {}, this one {}: convert to another format"
    no_ours = {
        "variant": (small(variant="v1c"), {}, only.format("variant=vd", "variant=v1c")),
        "pooling": (
            small(pooling="average"), {}, only.format("pooling=attention", "pooling=average"),
        ),
        "fusion": (small(fusion="multiply"), {}, only.format("fusion=add", "fusion=multiply")),
        "head": (
            plain.to_empty(device="cpu"), {},
            "PaddleSeg has no network for ResNets with the head fcn of this one: convert to "
            "another format",
        ),
    }  # fmt: skip
    cases = {f"PaddleSeg {k}": (n, s, ".pdparams", e) for k, (n, s, e) in no_ours.items()}
    cases["mmsegmentation vd"] = (
        *(small(), {}, ".pth"),
        "mmsegmentation has no ResNet18 of variant vd: its basic blocks dilate only the first "
        "convolution, and the first stage has no projection: convert r50, r101 or r152, or train "
        "with backbone.variant=v1c",
    )
    cases["mmsegmentation d"] = (
        *(small(variant="d"), d, ".pth"),
        "mmsegmentation has no ResNet of variant d: none of its shortcuts pools where the stride "
        "became a dilation: train with backbone.variant=v1b or v1c or v1d or vd",
    )
    return cases


def test_what_the_target_cannot_run_is_refused(tmp_path):
    for case, (network, said, suffix, message) in reasons().items():
        for tensor in network.state_dict().values():
            tensor.zero_()  # no leftovers of other memory, which may be NaN
        source = saved(network, tmp_path / "a.ckpt", **said)
        with pytest.raises(WeightsError) as raised:
            convert(source, tmp_path / f"b{suffix}")
        assert str(raised.value) == message, case
        assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"], case


def test_an_auxiliary_head_that_paddleseg_has_not_is_left_out(tmp_path):
    """It has no part in predictions."""
    network = small(12)
    network.auxiliary_head = AuxiliaryHead(80, 5, channels=32).eval()
    notes = convert(saved(network, tmp_path / "a.ckpt"), tmp_path / "b.pdparams")
    assert "enable_auxiliary_loss=False" in notes[0]
    assert notes[-1] == "left out: the auxiliary head, as that of PaddleSeg's GCNet is another"
    network.auxiliary_head = None
    assert_same_logits(network, read(tmp_path / "b.pdparams"))


def test_an_ambiguous_variant_can_be_given(tmp_path):
    source = saved(small(13, variant="d"), tmp_path / "a.ckpt")
    convert(source, tmp_path / "b.ckpt", variant="v1d")
    record = torch.load(tmp_path / "b.ckpt", weights_only=True)["gcseg"]["network"]
    assert record["backbone"]["variant"] == "v1d"
    with pytest.raises(WeightsError, match="does not have variant vd: give d or v1d"):
        convert(source, tmp_path / "c.ckpt", variant="vd")


def test_files_are_not_overwritten_unless_forced(tmp_path):
    source = saved(small(14), tmp_path / "a.ckpt")
    target = tmp_path / "b.pdparams"
    target.write_text("precious")
    with pytest.raises(
        OutputError, match=(r"b\.pdparams exists: choose " r"another name, or overwrite it")
    ):
        convert(source, target)
    assert target.read_text() == "precious"
    convert(source, target, force=True)
    assert_same_logits(read(source), read(target))
    assert {path.name for path in tmp_path.iterdir()} == {"a.ckpt", "b.pdparams"}


def test_a_refused_conversion_leaves_the_target(tmp_path):
    source = saved(small(15, variant="v1c"), tmp_path / "a.ckpt")
    target = tmp_path / "b.pdparams"
    target.write_text("precious")
    with pytest.raises(WeightsError, match="variant"):
        convert(source, target, force=True)
    assert target.read_text() == "precious"


@pytest.mark.parametrize("name", ["b", "b.txt", "b.tar.gz", "b.pt"])
def test_other_suffixes_are_refused(tmp_path, name):
    source = saved(small(16), tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=r"no format for the suffix of .*: end the name in"):
        convert(source, tmp_path / name)


def test_other_tensors_are_refused(tmp_path):
    torch.save(small(17).state_dict() | {"more.weight": torch.ones(3)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"holds 1 tensors that are not part .*: more\.weight"):
        convert(tmp_path / "a.pth", tmp_path / "b.ckpt")


def test_names_that_are_no_part_of_the_network_are_shown_in_short(tmp_path):
    state = small(15).state_dict() | {f"{'x' * 5000}{n}": torch.ones(1) for n in range(30)}
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=r"holds 30 tensors .*, and 20 more: remove") as raised:
        convert(tmp_path / "a.ckpt", tmp_path / "b.ckpt")
    assert len(str(raised.value)) < 1500


# --------------------------------------------------------------------------- other context blocks


def with_block(name: str, seed: int = 3, **settings) -> Segmentor:
    with without_values():
        network = gcnet("r18", 5, channels=16, conv_bias=False, variant="v1c")
        block = CONTEXT_CLASSES[name](16, **settings)
        channels = network.backbone.channels[3]
        network.head = FCNHead(channels, 5, channels=16, conv_bias=False, context=block)
    return drawn(network.to_empty(device="cpu"), seed)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("nl", {}),
        ("nl", {"pairwise": "concatenation", "ratio": 0.25}),
        ("nl", {"pairwise": "dot_product", "scale": False}),
        ("dnl", {"temperature": 0.1}),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_non_local_networks_return_from_mmsegmentation(tmp_path, name, settings, suffix):
    network = with_block(name, **settings)
    said = {"backbone": {"variant": "v1c"}, "head": {"context": settings}}
    source = saved(network, tmp_path / "a.ckpt", **said)
    convert(source, tmp_path / f"b{suffix}")
    again = read(tmp_path / f"b{suffix}")
    x = image((1, 3, 33, 49), seed=4)
    with torch.no_grad():
        assert torch.equal(again.eval()(x), network(x))
    if suffix == ".pth":
        content = torch.load(tmp_path / "b.pth", weights_only=True)
        head = content["meta"]["model"]["decode_head"]
        assert head["type"] == {"nl": "NLHead", "dnl": "DNLHead"}[name]
        assert head["reduction"] == round(1 / settings.get("ratio", 0.5))
        assert head.get("temperature") == settings.get("temperature")
        block = f"decode_head.{name}_block"
        assert {f"{block}.g.conv.weight", f"{block}.conv_out.bn.running_mean"} <= {
            *content["state_dict"]
        }


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("snl", {}, "has no head with the context block snl"),
        ("se", {"ratio": 0.5}, "has no head with the context block se"),
        ("gc", {"layer_norm": False}, "has no head with the context block gc"),
        ("nl", {"ratio": 0.7}, "channels divided by a whole number"),
    ],
)
def test_blocks_that_mmsegmentation_lacks(tmp_path, name, settings, message):
    source = saved(with_block(name, **settings), tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=message):
        convert(source, tmp_path / "b.pth")


def test_paddleseg_has_no_other_block(tmp_path):
    with without_values():
        network = gcnet("r18", 5, channels=16)
        network.head = FCNHead(network.backbone.channels[3], 5, channels=16,
                               context=CONTEXT_CLASSES["nl"](16))  # fmt: skip
    source = saved(drawn(network.to_empty(device="cpu"), 1), tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=r"PaddleSeg has no network .* head fcn with the "):
        convert(source, tmp_path / "b.pdparams")
