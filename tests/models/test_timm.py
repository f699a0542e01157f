"""Networks of timm as backbones: run with make test-timm, as timm brings torchvision."""

import csv
import json
import shutil

import pytest
import torch

from gcseg.errors import ConfigError
from gcseg.models import timm_backbone
from gcseg.models.contract import check_backbone
from gcseg.models.timm_backbones import NormAct
from gcseg.weights import load_backbone
from gcseg.weights.architecture import without_values
from tests.processes import run_together
from tests.running import SCENES, SMALL, killed_in_step, only_run, run

pytestmark = pytest.mark.timm
timm = pytest.importorskip("timm", reason="timm is not installed: see CONTRIBUTING")

NETWORKS = ("convnext_atto", "pvt_v2_b0", "mobilenetv3_small_050")
"""A convolutional network, a hierarchical transformer and a mobile one, all small."""
SHAPES = (*NETWORKS, "swin_tiny_patch4_window7_224", "efficientnet_b0", "resnet18")
TINY = ("backbone=timm", *SMALL, *SCENES, "iters=3", "val_every=2", "log_every=1")


@pytest.mark.parametrize("model", SHAPES)
def test_features_are_those_of_timm(model):
    torch.manual_seed(0)
    backbone = timm_backbone(model).eval()
    check_backbone(backbone)
    torch.manual_seed(0)
    sizes = {"strict_img_size": False} if "swin" in model else {}
    theirs = timm.create_model(model, features_only=True, **sizes).eval()
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for ours, other in zip(backbone(x), theirs(x)[-4:], strict=True):
            other = other.permute(0, 3, 1, 2) if "swin" in model else other
            assert torch.equal(ours, other)
        odd = backbone(torch.randn(1, 3, 65, 97))
    assert [one.shape[1:] for one in odd] == [
        (channels, -(-65 // stride), -(-97 // stride))
        for channels, stride in zip(backbone.channels, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("model", SHAPES)
def test_stages_hold_the_whole_network_in_order(model):
    backbone = timm_backbone(model)
    stages = backbone.stages
    assert len(stages) == 5
    named = {id(parameter): name for name, parameter in backbone.named_parameters()}
    ids = [id(one) for group in stages for module in group for one in module.parameters()]
    assert ids == list(named)
    x = torch.randn(1, 3, 64, 64, requires_grad=True)
    *_, third, _ = backbone(x)
    third.sum().backward()
    for number, group in enumerate(stages):
        learnt = [p for module in group for p in module.parameters()]
        assert any(p.grad is not None for p in learnt) == (number < 4), number


def test_a_plain_transformer_gives_its_last_blocks():
    backbone = timm_backbone("vit_tiny_patch16_224", output_stride=16).eval()
    check_backbone(backbone)
    assert backbone.strides == (16,) * 4
    with torch.no_grad():
        assert backbone(torch.randn(1, 3, 40, 60))[3].shape == (1, 192, 3, 4)


@pytest.mark.parametrize(("model", "stride"), [("convnext_atto", 8), ("mobilenetv3_small_050", 16)])
def test_dilation(model, stride):
    backbone = timm_backbone(model, output_stride=stride)
    check_backbone(backbone)
    assert backbone(torch.randn(2, 3, 64, 64))[3].shape[-1] == 64 // stride


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("convnext_tinny", {}, "knows no network 'convnext_tinny': did you mean convnext_tiny or"),
        ("hf-hub:timm/convnext_atto", {}, "knows no network 'hf-hub:timm/convnext_atto'"),
        ("local-dir:/tmp", {}, "knows no network 'local-dir:/tmp'"),
        ("convnext_atto.mine", {}, "knows no weights 'mine' of convnext_atto: use one of d2_in1k"),
        ("pvt_v2_b0", {"output_stride": 8}, "which has 32 and can't be given another: give backbo"),
        ("vit_tiny_patch16_224", {}, "which has 16 and can't be given another: give backbone.outp"),
        ("vgg11", {"drop_path_rate": 0.1}, "timm's vgg11 has no drop_path_rate: leave it at 0"),
        ("nest_tiny", {}, "timm's nest_tiny has 3 stages: take a network with 4"),
        ("hrnet_w18_small", {"checkpoint_activations": True}, "does not run module by module"),
    ],
)
def test_what_does_not_fit_is_refused(model, settings, message):
    with pytest.raises(ConfigError, match=message):
        timm_backbone(model, **settings)


def test_a_network_for_one_size_is_refused():
    with pytest.raises(ConfigError, match="pictures of any size"):
        check_backbone(timm_backbone("maxvit_rmlp_pico_rw_256"))


@pytest.mark.parametrize("model", SHAPES)
def test_shapes_alone_take_no_memory(model):
    whole = timm_backbone(model).state_dict()
    with without_values():
        backbone = timm_backbone(model)
    check_backbone(backbone)
    assert all(tensor.is_meta for tensor in backbone.state_dict().values())
    assert {key: tensor.shape for key, tensor in backbone.state_dict().items()} == {
        key: tensor.shape for key, tensor in whole.items()
    }


def test_norms_with_activations_are_replaced_by_equal_ones():
    torch.manual_seed(0)
    backbone = timm_backbone("efficientnet_b0")
    assert any(isinstance(one, NormAct) for one in backbone.modules())
    torch.manual_seed(0)
    theirs = timm.create_model("efficientnet_b0", features_only=True)
    x = torch.randn(2, 3, 64, 64)
    for ours, other in zip(backbone(x), theirs(x)[-4:], strict=True):
        assert torch.equal(ours, other)
    for ours, other in zip(backbone.buffers(), theirs.buffers(), strict=True):
        assert torch.equal(ours, other)


@pytest.mark.parametrize("model", ["convnext_atto", "resnet18"])
def test_checkpointing_changes_nothing_but_memory(model):
    found = []
    for again in (False, True):
        torch.manual_seed(0)
        backbone = timm_backbone(model, checkpoint_activations=again, drop_path_rate=0.2)
        torch.manual_seed(1)
        backbone(torch.randn(2, 3, 64, 64))[3].square().sum().backward()
        found.append([*(p.grad for p in backbone.parameters()), *backbone.buffers()])
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again)


@pytest.mark.parametrize("model", (*SHAPES, "vit_tiny_patch16_224"))
def test_files_of_timm_load(model, tmp_path):
    theirs = timm.create_model(model)
    path = tmp_path / "theirs.pth"
    torch.save(theirs.state_dict(), path)
    backbone = timm_backbone(model, output_stride=16 if "vit" in model else 32)
    load_backbone(backbone, path)
    state = theirs.state_dict()
    loaded = {backbone.own_name(key): value for key, value in state.items()}
    assert set(backbone.state_dict()) <= set(loaded)
    assert all(torch.equal(loaded[key], value) for key, value in backbone.state_dict().items())


def test_weights_for_colours_begin_a_network_of_four_channels(tmp_path):
    path = tmp_path / "theirs.pth"
    theirs = timm.create_model("convnext_atto").state_dict()
    torch.save(theirs, path)
    backbone = timm_backbone("convnext_atto", in_channels=4)
    check_backbone(backbone, 4)
    load_backbone(backbone, path)
    stem, given = backbone.state_dict()["network.stem_0.weight"], theirs["stem.0.weight"]
    assert torch.equal(stem[:, :3], given)
    torch.testing.assert_close(stem[:, 3], given.mean(1))


# ------------------------------------------------------------------------------ from the commands


@pytest.fixture(scope="module")
def trainings(data, tmp_path_factory):
    """Run folders of three trainings, by network."""
    found = {}
    for model in NETWORKS:
        cwd = tmp_path_factory.mktemp(model)
        outcome = run("train", *TINY, f"backbone.model={model}", "tta=all", cwd=cwd,
                      GCSEG_DATA=str(data))  # fmt: skip
        assert outcome.status == 0, outcome.err
        found[model] = only_run(cwd / "runs")
    return found


def scores(folder):
    records = json.loads((folder / "results.json").read_text())["evaluations"]
    return {name.partition("@")[0]: record["class_iou"] for name, record in records.items()}


@pytest.mark.parametrize("model", NETWORKS)
def test_trained_exported_and_evaluated(trainings, model, run, tmp_path):
    folder = trainings[model]
    assert folder.name.startswith(f"{model}-gc-scenes-3it-s0-")
    assert set(scores(folder)) == {"none", "flip", "msflip"}
    outcome = run("weights", "convert", str(folder), "exported.safetensors")
    assert outcome.status == 0 and f"it needs backbone {model} of timm" in outcome.out
    told = run("weights", "info", "exported.safetensors").out
    assert f"backbone=timm backbone.model={model}" in told and "19 classes" in told
    assert "PaddleSeg's GCNet has no such backbone" in (
        run("weights", "convert", str(folder), "exported.pdparams").error
    )
    outcome = run("eval", "checkpoint=exported.safetensors", "tta=all", "accelerator=cpu",
                  "trust=false", "num_workers=0")  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert scores(only_run(tmp_path / "runs")) == scores(folder)


def test_an_interrupted_training_ends_in_the_same_weights(trainings, run, tmp_path):
    model = "pvt_v2_b0"
    given = (*TINY, f"backbone.model={model}", "val_every=1", "backbone.drop_path_rate=0.2")
    assert run("train", *given, "run_root=whole").status == 0
    with killed_in_step(2):
        run("train", *given)
    outcome = run("train", *given)
    assert outcome.status == 0, outcome.err
    whole, again = (
        torch.load(only_run(tmp_path / root) / "checkpoints/last.ckpt", weights_only=True)
        for root in ("whole", "runs")
    )
    for key, value in whole["state_dict"].items():
        assert torch.equal(value, again["state_dict"][key]), key


def test_two_processes_normalise_as_one(data, tmp_path):
    """efficientnet's batch norms have activations in them."""
    given = (*TINY, "backbone.model=efficientnet_b0", "head.dropout=0", "auxiliary_head.dropout=0")
    given, environment = (*given, "iters=1"), {"GCSEG_DATA": str(data)}
    assert run("train", *given, "run_root=one", cwd=tmp_path, **environment).status == 0
    for outcome in run_together(2, "train", *given, "devices=2", cwd=tmp_path, **environment):
        assert outcome.status == 0, outcome.err
    one, two = (only_run(tmp_path / root) for root in ("one", "runs"))
    first, second = (
        torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for run in (one, two)
    )
    for key in first:
        if key.endswith(("running_mean", "running_var")):
            torch.testing.assert_close(first[key], second[key], rtol=1e-3, atol=2e-4)
    losses = [
        float(next(csv.DictReader((run / "metrics.csv").read_text().splitlines()))["train/loss"])
        for run in (one, two)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_weights_of_a_file_begin_the_training(run, tmp_path):
    path = tmp_path / "theirs.pth"
    torch.save(timm.create_model("convnext_atto").state_dict(), path)
    given = (*TINY, "backbone.model=convnext_atto", f"backbone.pretrained={path}")
    outcome = run("train", *given)
    assert outcome.status == 0, outcome.err
    assert f"backbone: weights of {path}" in outcome.out
    assert "are of pictures with normalize.mean=[0.485, 0.456, 0.406]" in outcome.out
    again = run("train", *given, "normalize=imagenet", "run_root=other")
    assert again.status == 0 and "note: timm's weights" not in again.out
    wrong = (*TINY, "backbone.model=convnext_femto", f"backbone.pretrained={path}")
    assert "has no parameter that fits" in run("train", *wrong).error


def test_a_frozen_part_stays_as_the_file_has_it(run, tmp_path):
    """Statistics of batch norms with activations in them included."""
    path = tmp_path / "theirs.pth"
    theirs = timm.create_model("efficientnet_b0").state_dict()
    torch.save(theirs, path)
    given = (*TINY, "backbone.model=efficientnet_b0", f"backbone.pretrained={path}")
    outcome = run("train", *given, "backbone.freeze=2", "optim.layer_decay=0.9", "iters=1")
    assert outcome.status == 0, outcome.err
    last = only_run(tmp_path / "runs") / "checkpoints/last.ckpt"
    state = torch.load(last, weights_only=True)["state_dict"]
    state = {key.removeprefix("model."): value for key, value in state.items()}
    backbone = timm_backbone("efficientnet_b0")
    frozen = {id(one) for group in backbone.stages[:3] for module in group
              for one in (*module.parameters(), *module.buffers())}  # fmt: skip
    tensors = dict((*backbone.named_parameters(), *backbone.named_buffers()))
    ours = {backbone.own_name(key): value for key, value in theirs.items()}
    changed = {key: not torch.equal(state[f"backbone.{key}"], ours[key]) for key in tensors}
    assert not any(changed[key] for key, one in tensors.items() if id(one) in frozen)
    assert all(changed[key] for key, one in tensors.items()
               if id(one) not in frozen and key.endswith("running_mean"))  # fmt: skip


def test_weights_of_the_hub_are_named_where_they_can_be_put(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("GCSEG_CACHE", str(tmp_path / "cache"))
    given = (*TINY, "backbone.model=convnext_atto", "backbone.pretrained=true")
    error = run("train", *given).error
    path = tmp_path / "cache/timm/convnext_atto.d2_in1k.safetensors"
    assert f"put it at {path}" in error
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True)
    save_file(timm.create_model("convnext_atto").state_dict(), path)
    outcome = run("train", *given)
    assert outcome.status == 0 and f"backbone: weights of {path}" in outcome.out


def test_what_a_file_says_is_data(trainings, run, tmp_path):
    copy = shutil.copytree(trainings["convnext_atto"], tmp_path / "copy")
    config = copy / "config.yaml"
    for name in ("hf-hub:a/b", "convnext_atoo"):
        text = (trainings["convnext_atto"] / "config.yaml").read_text()
        config.write_text(text.replace("model: convnext_atto", f"model: '{name}'"))
        outcome = run("eval", f"checkpoint={copy}", "accelerator=cpu", "trust=false")
        assert name in outcome.error


def test_predictions_without_strips(trainings, run):
    folder = trainings["pvt_v2_b0"]
    outcome = run("predict", f"checkpoint={folder}", "limit=1", "accelerator=cpu", "trust=false")
    assert outcome.status == 0, outcome.err
