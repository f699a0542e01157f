"""Networks strip by strip: the same logits, whatever the size, kernels and strides."""

import numpy as np
import pytest
import torch
from torch import nn

from gcseg.inference.network_strips import logits_in_strips, runs_in_strips
from gcseg.models import CCNetHead, FCNHead, Segmentor, gcnet, resnet
from gcseg.models.resnets import VARIANTS
from tests.golden import expected, golden_model, image
from tests.models.networks import trained_like
from tests.tiny import TinyBackbone

BOUND = 1e-5
"""Of the largest logit, as for the golden networks."""


def assert_same(model, size, seed, strips):
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        whole = model.coarse_logits(x)
        for count in strips:
            found = logits_in_strips(model, x, count)
            assert found.shape == whole.shape
            error = float((found - whole).abs().max() / whole.abs().max())
            assert error < BOUND, f"{count} strips of {size} differ by {error:.1e}"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("backbone", "output_stride"), [("r18", 8), ("r50", 16), ("r18", 32)])
def test_strips_give_the_logits_of_the_whole(backbone, output_stride, variant):
    model = gcnet(backbone, 5, variant=variant, output_stride=output_stride, channels=16)
    for seed, size in enumerate([(97, 49), (130, 32)]):
        assert_same(trained_like(model, seed), size, seed, (2, 5))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (15, 17), (257, 31)])
def test_any_size_and_more_strips_than_rows(size):
    assert_same(trained_like(gcnet("r18", 5, channels=16), 0), size, 0, (1, 2, 3, 100))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_heads_without_a_context_block_in_both_memory_formats(memory_format):
    backbone = resnet(18, output_stride=16)
    model = Segmentor(backbone, FCNHead(512, 5, channels=16)).to(memory_format=memory_format)
    assert_same(trained_like(model, 3), (90, 50), 3, (3,))


@pytest.mark.parametrize("options", [{"pooling": "average"}, {"fusion": "add+multiply"}])
def test_other_context_blocks_see_the_whole_picture(options):
    assert_same(trained_like(gcnet("r18", 5, channels=16, **options), 1), (80, 60), 1, (4,))


def test_criss_cross_attention_sees_the_whole_picture():
    model = Segmentor(resnet(18), CCNetHead(512, 5, channels=16, negative_slope=0.01))
    assert runs_in_strips(model)
    assert_same(trained_like(model, 1), (80, 60), 1, (4,))


def test_the_context_is_part_of_what_is_compared():
    """Strips that are networks of their own would differ by far more than the bound."""
    model = trained_like(gcnet("r18", 5, channels=16), 0)
    x = torch.randn(1, 3, 128, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = model.coarse_logits(x)
        halves = torch.cat([model.coarse_logits(half) for half in x.split(64, -2)], -2)
    assert (halves - whole).abs().max() / whole.abs().max() > 1000 * BOUND


def test_published_networks_stay_what_they_are():
    name = "paddleseg_gcnet_r18"
    model, wanted = golden_model(name), expected("paddleseg_tta_r18")
    with torch.inference_mode():
        x = image((1, 3, 64, 96), seed=7)
        logits = model._resize(logits_in_strips(model, x, 4), x).numpy()
    error = np.abs(logits - wanted["none_logits"]).max() / np.abs(wanted["none_logits"]).max()
    assert error < BOUND


@pytest.mark.parametrize(
    ("backbone", "head"),
    [(TinyBackbone(), FCNHead(16, 5, channels=8)), (resnet(18), nn.Conv2d(512, 5, 1))],
)
def test_networks_built_otherwise(backbone, head):
    model = Segmentor(backbone, head)
    assert not runs_in_strips(model)
    with pytest.raises(TypeError, match=r"has no known strips$"):
        logits_in_strips(model, torch.zeros(1, 3, 8, 8), 2)
    assert runs_in_strips(gcnet("r18"))
    assert not runs_in_strips(lambda x: x)
