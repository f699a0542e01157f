"""Networks of other heads against the frameworks' outputs on the same parameters.

The network is the one that names and shapes show, so these tests cover the names, too.
"""

import json

import numpy as np
import pytest
import torch

from gcseg.weights import describe, load_tensors
from gcseg.weights.architecture import build
from gcseg.weights.convert import our_tensors
from tests.golden import expected, image, parameters
from tests.golden.generate import FOLDER

# Golden file: (name of the head, settings of it that are not the defaults)
NETWORKS = {
    "mmseg_deeplabv3plus_r18": (
        "deeplabv3plus",
        {"channels": 32, "pyramid_kernel": 3, "depthwise_relu": True, "conv_bias": False},
    ),
    "mmseg_upernet_r18": (
        "upernet",
        {"channels": 32, "pooled_channels": 32, "conv_bias": False},
    ),
    "mmseg_ocr_r18": ("ocr", {"channels": 32, "key_channels": 16, "conv_bias": False}),
    "mmseg_psp_r18": ("psp", {"channels": 32, "pooled_channels": 32, "conv_bias": False}),
    "mmseg_psp_r18_corners": ("psp", {"bins": [1, 4], "align_corners": True}),
    "mmseg_danet_r18": ("danet", {"channels": 32, "attention_channels": 24, "conv_bias": False}),
    "mmseg_ccnet_r18": ("ccnet", {"channels": 32, "negative_slope": 0.0, "conv_bias": False}),
    "paddleseg_psp_r18": ("psp", {"channels": 48, "pooled_channels": None, "conv_bias": True}),
    "paddleseg_danet_r18": ("danet", {"channels": 128, "asymmetric": True, "conv_bias": True}),
    "paddleseg_ccnet_r18": ("ccnet", {"channels": 128, "negative_slope": 0.01, "conv_bias": True}),
    "paddleseg_dnl_r18": ("fcn", {"channels": 128, "asymmetric": True, "conv_bias": False}),
    "paddleseg_dnl_r18_dot_product": ("fcn", {"asymmetric": True}),
    "paddleseg_deeplabv3plus_r18": ("deeplabv3plus", {}),
    "paddleseg_upernet_r18": ("upernet", {"channels": 32, "inner_align_corners": True}),
}

# What the weights do not show, and a file of gcseg says.
SAID = {
    "mmseg_psp_r18_corners": {"bins": [1, 4], "align_corners": True},
    "paddleseg_dnl_r18_dot_product": {"context": {"pairwise": "dot_product"}},
}


def record(name):
    """What a file of gcseg would say of a network."""
    return {"gcseg": {"network": {"head": SAID[name]}}} if name in SAID else {}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_the_frameworks(name):
    head, settings = NETWORKS[name]
    tensors = parameters(name)
    description = describe(tensors, record(name))
    assert description.keys.source.startswith(
        "PaddleSeg's" if name.startswith("paddleseg") else "mmsegmentation's"
    )
    assert description.head["name"] == head
    assert {key: description.head[key] for key in settings} == settings
    assert description.unknown == ()
    network = build(description).eval()
    assert load_tensors(network, tensors, source=name) == []
    wanted = expected(name)
    with torch.no_grad():
        outputs = network(image((1, 3, 33, 49), seed=18), auxiliary=True)
    for output, logits in zip(("main", "aux"), outputs, strict=False):
        if output in wanted:
            error = np.abs(logits.numpy() - wanted[output]).max() / np.abs(wanted[output]).max()
            assert error < 1e-5, f"{output} logits differ by {error:.1e}"
            assert np.array_equal(logits.argmax(1), wanted[output].argmax(1))
    # What a conversion writes is the same.
    complete = our_tensors(tensors, description)
    assert all(torch.equal(one, complete[key]) for key, one in network.state_dict().items())


@pytest.mark.parametrize("name", NETWORKS)
def test_names_are_exactly_the_frameworks(name):
    theirs = json.loads((FOLDER / f"{name}.keys.json").read_text())
    tensors = {key: torch.empty(shape, device="meta") for key, shape in theirs.items()}
    description = describe(tensors, record(name))
    keys = description.keys
    used = {key for key in theirs if not keys.ignores(key)}
    assert {keys.to_theirs(ours) for ours in description.names} == used
    assert {keys.to_ours(key) for key in used} == description.names.keys()


def test_branches_of_danet():
    wanted = expected("mmseg_danet_r18")
    tensors = parameters("mmseg_danet_r18")
    network = build(describe(tensors)).eval()
    load_tensors(network, tensors, source="mmseg_danet_r18")
    with torch.no_grad():
        features = network.backbone(image((1, 3, 33, 49), seed=18))[3]
        _, *branches = network.head.forward_with_branches(features)
    for output, logits in zip(("position", "channel"), branches, strict=True):
        error = np.abs(logits.numpy() - wanted[output]).max() / np.abs(wanted[output]).max()
        assert error < 1e-5, f"{output} logits differ by {error:.1e}"
