"""python -m gcseg.weights from the outside."""

import dataclasses
import hashlib
import sys
from pathlib import Path, PurePosixPath

import pytest
import torch
import yaml

from gcseg.models import gcnet
from gcseg.models.defaults import DEFAULTS
from gcseg.weights import load_weights
from gcseg.weights.keymaps import MMSEG_GCNET, TORCH_RESNET
from gcseg.zoo import catalogue
from tests.golden.generate import parameter

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """ResNets of fewer channels, so that drawing, writing and reading take no time."""
    module = sys.modules["gcseg.models.resnets"]
    monkeypatch.setattr(module, "WIDTHS", (64, 72, 80, 88))


def network(backbone: str = "r18", **settings) -> torch.nn.Module:
    """A network of 5 classes with random parameters."""
    model = gcnet(backbone, 5, channels=16, **settings)
    for name, tensor in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            tensor.copy_(torch.from_numpy(parameter(name, tuple(tensor.shape))))
    return model.eval()


def lines(text: str) -> dict[str, str]:
    """The lines of `info` by what they say."""
    return {line[:15].strip(): line[15:] for line in text.splitlines()}


def test_list_has_every_checkpoint_with_its_score(run):
    outcome = run("weights", "list")
    assert outcome.status == 0, outcome.err
    table = [line.replace("│", " ").split() for line in outcome.out.splitlines()]
    rows = {row[0]: row[1:] for row in table if row}
    for record in catalogue.records():
        assert record.name in rows, record.name
        for mode, column in {"none": 2, "flip": 3, "msflip": 4}.items():
            if record.kind == "network":
                shown = f"{100 * record.miou[mode]:.2f}" if mode in record.miou else "-"
                assert rows[record.name][column] == shown, record.name
    assert rows["mmseg/gcnet_r50_ade20k_80k"][:2] == ["r50", "v1c"]
    assert rows["timm/resnet152d.ra2_in1k"] == ["r152", "d", "ImageNet-1k"]


def test_list_of_one_dataset(run):
    out = run("weights", "list", "--dataset", "voc").out
    for record in catalogue.records():
        assert (record.name in out) == (record.dataset == "voc"), record.name


def test_list_of_one_network(run):
    out = run("weights", "list", "--network", "nonlocal", "--dataset", "voc").out
    for record in catalogue.records():
        wanted = (record.network, record.dataset) == ("nonlocal", "voc")
        assert (record.name in out) == wanted, record.name
    error = run("weights", "list", "--network", "resnet").error
    assert error.startswith("--network resnet: use one of gcnet, dnl, psp, deeplabv3plus, ")


def test_list_never_cuts_a_name(run):
    out = run("weights", "list", COLUMNS="40").out
    assert all(record.name in out for record in catalogue.records())


def test_info_of_our_network(run, tmp_path):
    state = network(fusion="multiply", conv_bias=False, auxiliary=False).state_dict()
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "x.ckpt")
    outcome = run("weights", "info", "x.ckpt")
    assert outcome.status == 0, outcome.err
    said = lines(outcome.out)
    count = sum(t.numel() for name, t in state.items() if name.endswith(("weight", "bias")))
    digest = hashlib.sha256((tmp_path / "x.ckpt").read_bytes()).hexdigest()
    size = (tmp_path / "x.ckpt").stat().st_size / 1e6
    assert said == {
        "file": f"x.ckpt, {size:.1f} MB",
        "sha256": digest,
        "format": f"PyTorch, {len(state)} tensors",
        "other content": "epoch",
        "names": "of gcseg",
        "network": "GCNet with r18 vd, 5 classes",
        "parameters": f"{count:,}",
        "settings": "backbone=r18 head=gc head.channels=16 head.fusion=multiply "
        "head.conv_bias=false auxiliary_head=none protocol=paddleseg",
    }


def test_info_of_an_ambiguous_network_with_other_tensors(run, tmp_path):
    state = network(variant="d").state_dict() | {f"more.{i}": torch.ones(3) for i in range(7)}
    torch.save(state, tmp_path / "x.pth")
    said = lines(run("weights", "info", "x.pth").out)
    assert said["network"] == "GCNet with r18 d, 5 classes (or variant v1d, by names and shapes)"
    assert said["unknown"] == "more.0, more.1, more.2, more.3, more.4, and 2 more"


def torch_backbone() -> dict[str, torch.Tensor]:
    """A backbone with torchvision's names."""
    backbone = network(variant="v1b").backbone.state_dict()
    state = {TORCH_RESNET.to_theirs(f"backbone.{name}"): t for name, t in backbone.items()}
    return state | {"fc.weight": torch.ones(10, 88), "fc.bias": torch.ones(10)}


def test_info_of_a_published_backbone(run, tmp_path, monkeypatch):
    path = tmp_path / "mine.pth"
    torch.save(torch_backbone(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    records = [
        dataclasses.replace(record, sha256=digest[:8])
        if record.name == "torchvision/resnet18"
        else record
        for record in catalogue.records()
    ]
    monkeypatch.setattr(catalogue, "RECORDS", tuple(records))
    said = lines(run("weights", "info", "mine.pth").out)
    assert said["published"] == "torchvision/resnet18, by its checksum; trained on ImageNet-1k"
    assert said["network"] == "backbone r18 v1b"
    assert said["settings"] == "backbone=r18 backbone.variant=v1b backbone.pretrained=mine.pth"
    assert said["not used"] == "fc.weight, fc.bias"


def published_769() -> catalogue.Record:
    return catalogue.find("mmseg/gcnet_r50_cityscapes_769x769_40k")


def mmseg_file(folder: Path) -> str:
    """A file that is named as a published one, of a network of which the weights show less."""
    record = published_769()
    state = network("r50", variant="v1c", conv_bias=False).state_dict()
    path = folder / PurePosixPath(record.url).name
    torch.save({"state_dict": {MMSEG_GCNET.to_theirs(k): t for k, t in state.items()}}, path)
    return path.name


def test_the_name_of_a_published_file_shows_what_the_weights_do_not(run, tmp_path):
    name = mmseg_file(tmp_path)
    said = lines(run("weights", "info", name).out)
    assert said["published"] == (
        f"{published_769().name}, by its file name; trained on cityscapes; mIoU in percent: "
        "none 78.12, msflip 80.09, by open-mmlab/mmsegmentation@v1.2.2 configs/gcnet/metafile.yaml"
    )
    assert "backbone.variant=v1c" in said["settings"]
    assert "head.align_corners=true" in said["settings"]
    assert said["settings"].endswith("protocol=mmseg")
    assert run("weights", "convert", name, "x.ckpt").status == 0
    converted = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert converted["gcseg"]["network"]["head"]["align_corners"] is True


def test_another_checksum_makes_another_file(run, tmp_path):
    record = catalogue.find("torchvision/resnet18")
    torch.save(torch_backbone(), tmp_path / PurePosixPath(record.url).name)
    assert "published" not in lines(run("weights", "info", PurePosixPath(record.url).name).out)


def test_a_name_of_the_list_stands_for_its_file(run, tmp_path):
    record = published_769()
    cached = tmp_path / "cache" / f"{record.name}.pth"
    cached.parent.mkdir(parents=True)
    (tmp_path / mmseg_file(tmp_path)).rename(cached)
    said = lines(run("weights", "info", record.name, GCSEG_CACHE=str(tmp_path / "cache")).out)
    assert said["file"].startswith(str(cached))
    assert said["published"].startswith(f"{record.name}, by its name; trained on cityscapes")
    assert "head.align_corners=true" in said["settings"]


def test_info_of_something_else(run, tmp_path):
    torch.save({"a.weight": torch.ones(3)}, tmp_path / "x.pth")
    outcome = run("weights", "info", "x.pth")
    assert outcome.error.startswith("the weights are of no network that is known, with names such")
    assert "PyTorch, 1 tensors" in outcome.out


def test_convert_and_force(run, tmp_path):
    wanted = network()
    torch.save(wanted.state_dict(), tmp_path / "x.ckpt")
    outcome = run("weights", "convert", "x.ckpt", "y.pdparams")
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines() == [
        "wrote y.pdparams",
        "PaddleSeg: GCNet(num_classes=5, backbone=ResNet18_vd(output_stride=8), gc_channels=16, "
        "ratio=0.25, enable_auxiliary_loss=True, align_corners=False)",
        "images: Normalize with mean [0.5, 0.5, 0.5] and std [0.5, 0.5, 0.5]",
    ]
    before = (tmp_path / "y.pdparams").read_bytes()
    assert run("weights", "convert", "x.ckpt", "y.pdparams").error == (
        "y.pdparams exists: choose another name, or overwrite it with --force"
    )
    (tmp_path / "y.pdparams").write_bytes(b"")
    assert run("weights", "convert", "x.ckpt", "y.pdparams", "--force").status == 0
    assert (tmp_path / "y.pdparams").read_bytes() == before
    assert run("weights", "convert", "y.pdparams", "z.safetensors").status == 0
    model = gcnet("r18", 5, channels=16)
    assert load_weights(model, tmp_path / "z.safetensors") == []
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in wanted.state_dict().items())


def test_convert_with_a_variant(run, tmp_path):
    torch.save(network(variant="d").state_dict(), tmp_path / "x.ckpt")
    error = run("weights", "convert", "x.ckpt", "y.pth").error
    assert error.startswith("mmsegmentation has no ResNet of variant d: none of its shortcuts")
    outcome = run("weights", "convert", "x.ckpt", "y.pth", "--variant", "v1d")
    assert "'type': 'ResNetV1d'" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("list --dataset coco", "--dataset coco: use one of cityscapes, voc, ade20k"),
        ("info nowhere.pth", "nowhere.pth is neither a file nor a published checkpoint"),
        ("convert nowhere.pth x.ckpt", "nowhere.pth is neither a file nor a published checkpoint"),
        ("info broken.pth", "can't read broken.pth"),
        ("convert broken.pth x.ckpt", "can't read broken.pth"),
        ("convert broken.pth x.onnx", "there is no format for the suffix of x.onnx"),
    ],
)
def test_a_mistake_costs_one_line(run, tmp_path, arguments, message):
    (tmp_path / "broken.pth").write_bytes(b"broken")
    assert run("weights", *arguments.split()).error.startswith(message)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.pth"]


@pytest.mark.parametrize("arguments", [[], ["lists"], ["info"], ["convert", "x"]])
def test_a_wrong_command_line_shows_the_usage(run, arguments):
    outcome = run("weights", *arguments)
    assert outcome.status == 2
    assert outcome.err.startswith("usage: python -m gcseg.weights")


def test_defaults_are_those_of_the_configuration():
    files = {"backbone": "r18", "head": "gc", "auxiliary_head": "fcn"}
    assert files.keys() == DEFAULTS.keys()
    for group, option in files.items():
        node = yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
        shown = {
            key: value
            for key, value in node.items()
            if key not in ("name", "_target_", "depth", "pretrained")
        }
        assert DEFAULTS[group] == shown
