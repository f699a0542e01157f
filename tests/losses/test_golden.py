"""Losses and gradients of other frameworks, see tests/golden/README.md."""

import numpy as np
import pytest
import torch

from gcseg.losses import CrossEntropy, Dice, Focal, Lovasz, Ohem, Tversky
from tests.golden.generate import expected
from tools.golden_losses import WEIGHTS, inputs

SUM = sum(WEIGHTS)
IN_IMAGE = {"per_image": True, "classes": "all"}


@pytest.mark.parametrize(
    ("framework", "name", "loss", "factor"),
    [
        ("mmseg", "cross_entropy", CrossEntropy(), 1),
        ("mmseg", "cross_entropy_counting_ignored", CrossEntropy(count_ignored=True), 1),
        ("mmseg", "cross_entropy_weighted", CrossEntropy(class_weights=WEIGHTS), 1),
        ("mmseg", "ohem", Ohem(0.7, 10), 1),
        ("mmseg", "ohem_hardest", Ohem(0.1, 200), 1),
        ("mmseg", "tversky", Tversky(smooth=1.0, **IN_IMAGE), 1),
        ("mmseg", "lovasz", Lovasz(), 1),
        ("mmseg", "lovasz_per_image", Lovasz(per_image=True), 1),
        ("paddleseg", "focal", Focal(2.0), 1),
        ("paddleseg", "focal_half", Focal(0.5), 1),
        ("paddleseg", "dice", Dice(1.0, **IN_IMAGE), 1),
        # It does not divide by the weights.
        ("paddleseg", "dice_weighted", Dice(1.0, **IN_IMAGE, class_weights=WEIGHTS), SUM / 5),
        ("paddleseg", "lovasz", Lovasz(), 1),
        ("smp", "dice", Dice(), 1),
        ("smp", "dice_smooth", Dice(8.0), 1),  # its smooth is Tversky's
        ("smp", "dice_weighted", Dice(class_weights=WEIGHTS), 1),
        ("smp", "tversky", Tversky(0.3, 0.7), 1),
        ("smp", "lovasz", Lovasz(), 1),
        ("smp", "lovasz_per_image", Lovasz(per_image=True), 1),
    ],
)
def test_value_and_gradient(framework, name, loss, factor):
    golden = expected(f"losses_{framework}")
    ignored = 0.0 if (framework, name) == ("mmseg", "cross_entropy_weighted") else 0.2
    logits, labels = (torch.from_numpy(one) for one in inputs(ignored=ignored))
    value = loss(logits.requires_grad_(), labels)
    value.backward()
    np.testing.assert_allclose(factor * value.item(), golden[f"{name}/loss"], rtol=1e-5)
    theirs = golden[f"{name}/gradient"]
    ours = factor * logits.grad.numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5 * np.abs(theirs).max())
