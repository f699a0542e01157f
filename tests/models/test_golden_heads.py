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
    "paddleseg_deeplabv3plus_r18": ("deeplabv3plus", {}),
    "paddleseg_upernet_r18": ("upernet", {"channels": 32, "inner_align_corners": True}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_the_frameworks(name):
    head, settings = NETWORKS[name]
    tensors = parameters(name)
    description = describe(tensors)
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
    description = describe({key: torch.empty(s, device="meta") for key, s in theirs.items()})
    keys = description.keys
    used = {key for key in theirs if not keys.ignores(key)}
    assert {keys.to_theirs(ours) for ours in description.names} == used
    assert {keys.to_ours(key) for key in used} == description.names.keys()
