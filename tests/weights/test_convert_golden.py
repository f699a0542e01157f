"""Converted checkpoints against the frameworks' names, logits and, where they are, themselves."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gcseg.models import gcnet
from gcseg.weights.architecture import describe, without_values
from gcseg.weights.convert import convert
from gcseg.weights.keymaps import PADDLESEG_GCNET
from gcseg.weights.reading import read_checkpoint_file
from tests.golden import expected, image, parameters
from tests.golden.generate import FOLDER
from tests.weights.test_convert import drawn, read, saved

REPOSITORY = Path(__file__).parents[2]


def test_paddlesegs_logits_stay_under_mmsegmentations_names(tmp_path):
    torch.save(parameters("paddleseg_gcnet_r50"), tmp_path / "a.pth")
    notes = convert(tmp_path / "a.pth", tmp_path / "b.pth")
    content = torch.load(tmp_path / "b.pth", weights_only=True)
    wanted = json.loads((FOLDER / "mmseg_gcnet_r50.keys.json").read_text())
    # ResNetV1d has the names of ResNetV1c but for the convolution after the pool.
    renamed = {
        name.replace("downsample.1", "downsample.2").replace("downsample.0", "downsample.1"): shape
        for name, shape in wanted.items()
    }
    assert {name: list(tensor.shape) for name, tensor in content["state_dict"].items()} == renamed
    assert "'type': 'ResNetV1d'" in notes[1] and "'contract_dilation': False" in notes[1]
    with torch.no_grad():
        main, aux = read(tmp_path / "b.pth")(image((1, 3, 65, 97), seed=50), auxiliary=True)
    for name, logits in {"main": main, "aux": aux}.items():
        golden = expected("paddleseg_gcnet_r50")[name]
        assert np.abs(logits.numpy() - golden).max() / np.abs(golden).max() < 1e-5
        assert np.array_equal(logits.argmax(1), golden.argmax(1))


def test_files_for_paddleseg_are_as_paddle_writes_them(tmp_path):
    with without_values():
        network = gcnet("r18").to_empty(device="cpu")
    notes = convert(saved(drawn(network, 6), tmp_path / "a.ckpt"), tmp_path / "a.pdparams")
    content = (tmp_path / "a.pdparams").read_bytes()
    assert b"numpy._core" not in content  # which NumPy 1 does not know
    arrays = pickle.loads(content)
    parameter_names = arrays.pop("StructuredToParameterName@@")
    wanted = json.loads((FOLDER / "paddleseg_gcnet_r18.keys.json").read_text())
    assert {name: list(array.shape) for name, array in arrays.items()} == wanted
    assert parameter_names.keys() == arrays.keys()
    assert all(type(array) is np.ndarray and array.dtype == np.float32 for array in arrays.values())
    state = network.state_dict()
    for name, array in arrays.items():
        assert np.array_equal(array.ravel(), state[PADDLESEG_GCNET.to_ours(name)].numpy().ravel())
    assert notes == [
        "PaddleSeg: GCNet(num_classes=19, backbone=ResNet18_vd(output_stride=8), gc_channels=512, "
        "ratio=0.25, enable_auxiliary_loss=True, align_corners=False)",
        "images: Normalize with mean [0.5, 0.5, 0.5] and std [0.5, 0.5, 0.5]",
    ]


@pytest.mark.parametrize(
    ("golden", "suffix", "name"),
    [
        ("paddleclas_resnet18_vd", ".ckpt", "backbone.stem.0.weight"),
        ("paddleclas_resnet18_vd", ".pdparams", "conv1_1._conv.weight"),
        ("torchvision_resnet18", ".pth", "conv1.weight"),
        ("timm_resnet18d", ".safetensors", "backbone.stem.0.weight"),
    ],
)
def test_backbones_alone(tmp_path, golden, suffix, name):
    tensors = parameters(golden)
    torch.save(tensors, tmp_path / "a.pth")
    notes = convert(tmp_path / "a.pth", tmp_path / f"b{suffix}")
    assert notes[-1] == "left out, because gcseg does not use them: fc.weight, fc.bias"
    converted = read_checkpoint_file(tmp_path / f"b{suffix}").tensors
    first = next(iter(tensors.values()))
    assert torch.equal(converted[name], first)
    before, after = describe(tensors), describe(converted)
    assert after.kind == "backbone"
    assert after.parameters == before.parameters
    assert after.names.keys() >= before.names.keys()


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("framework", "variable"),
    [("paddleseg", "GCSEG_PADDLE_PYTHON"), ("mmseg", "GCSEG_MMSEG_PYTHON")],
)
def test_the_framework_itself_gives_the_same_logits(framework, variable):
    if not os.environ.get(variable):
        pytest.skip(f"needs {framework}: set {variable} to its environment's interpreter")
    tool = REPOSITORY / "tools" / "prove_conversion.py"
    done = subprocess.run(
        [sys.executable, str(tool), framework], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": agrees") >= 7
