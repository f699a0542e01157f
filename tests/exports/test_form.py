"""The form of an exported network, and logits from what it gives."""

import pytest
import torch
from torch import nn

from gcseg.exports.form import Form, FormedNetwork, as_input, as_logits


def form(**changes):
    usual = {"output": "logits", "preprocessing": False, "mean": (0.5, 0.4, 0.3),
             "std": (0.2, 0.3, 0.4), "full": 255, "num_classes": 4}  # fmt: skip
    return Form(**{**usual, **changes})


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Conv2d(3, 4, 3, padding=1).eval()


@torch.inference_mode()
def test_raw_pictures_give_the_logits_of_normalised_ones(network):
    images = torch.randn(2, 3, 5, 7)
    raw = as_input(images, form(preprocessing=True))
    mean, std = torch.tensor(form().mean), torch.tensor(form().std)
    torch.testing.assert_close(
        (raw / 255 - mean[:, None, None]) / std[:, None, None], images, atol=1e-5, rtol=0
    )
    found = FormedNetwork(network, form(preprocessing=True))(raw)
    torch.testing.assert_close(found, network(images), atol=1e-4, rtol=0)
    assert as_input(images, form()) is images


@torch.inference_mode()
def test_means_over_views_are_those_of_logits(network):
    views = torch.randn(3, 3, 5, 7)
    logits = network(views)
    probable = form(output="probabilities")
    found = as_logits(FormedNetwork(network, probable)(views), probable)
    torch.testing.assert_close(found.mean(0).softmax(0), logits.mean(0).softmax(0))
    assert torch.equal(found.mean(0).argmax(0), logits.mean(0).argmax(0))


def test_a_probability_of_zero_stays_finite():
    sure = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
    assert as_logits(sure, form(output="probabilities", num_classes=2)).isfinite().all()


@torch.inference_mode()
def test_labels_keep_their_class(network):
    labels = form(output="labels")
    found = FormedNetwork(network, labels)(torch.randn(2, 3, 5, 7))
    assert found.dtype == torch.uint8 and found.shape == (2, 5, 7)
    logits = as_logits(found, labels)
    assert logits.shape == (2, 4, 5, 7)
    assert torch.equal(logits.argmax(1), found.long())


def test_a_form_is_read_from_a_record():
    assert Form.of({**form().plain(), "precision": "fp32"}) == form()
