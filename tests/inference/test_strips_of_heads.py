"""Scores in strips are those of the whole, for every head and any resolution of its logits."""

import pytest
import torch

from gcseg.inference import strips
from gcseg.inference.predict import predict_labels, predict_scores
from gcseg.inference.protocol import Augmentation, Protocol, SlidingWindow
from gcseg.models import AuxiliaryHead, Segmentor
from gcseg.models.defaults import HEAD_CLASSES
from gcseg.models.segmentor import taken_by
from tests.tiny import CHANNELS, TinyBackbone, drawn

MODES = {"none": Augmentation(), "msflip": Augmentation((0.75, 1.0), True)}


@pytest.mark.parametrize("window", [None, SlidingWindow(32, 48, 24, 32)], ids=["whole", "slide"])
@pytest.mark.parametrize("name", HEAD_CLASSES)
def test_labels_are_those_of_the_whole(name, window, monkeypatch):
    kind = HEAD_CLASSES[name]
    head = kind(taken_by(kind, CHANNELS), 5, channels=16)
    auxiliary_head = AuxiliaryHead(CHANNELS[2], 5)
    network = drawn(Segmentor(TinyBackbone(), head, auxiliary_head, align_corners=True))
    images = torch.randn(1, 3, 49, 65, generator=torch.Generator().manual_seed(0))
    protocol = Protocol("logits", window, None, True)
    monkeypatch.setattr(strips, "STRIP_ELEMENTS", 5 * 65 * 7)  # seven rows
    size = {"height": 49, "width": 65}
    found = strips.predict_labels_in_strips(network, images, MODES, protocol, **size)
    whole = predict_scores(network, images, MODES, protocol)
    for mode, scores in whole.items():
        same = found[mode] == predict_labels(scores, 49, 65)
        assert same.float().mean() > 0.999, "but for ties"
    with torch.no_grad():
        coarse = network.coarse_logits(images).shape[-2:]
    assert coarse == ((13, 17) if getattr(kind, "stages", (4,))[0] == 1 else (4, 5))
