"""Heads that map features of one or several stages to logits.

A head is constructed with `in_channels` and `num_classes`. Without further attributes it maps the
last stage's features `N x in_channels x h x w` to logits `N x num_classes x h x w`. With a class
attribute `stages`, such as `(1, 4)`, `in_channels` is a tuple of as many numbers, and it is called
with a list of as many features; its logits may be finer than the last stage's features. With
`takes_regions = True` it is called with the auxiliary head's logits, too.

PaddleSeg's convolutions have a bias in addition to batch norm, mmsegmentation's do not:
`conv_bias`. Weights are initialised as in mmsegmentation: He's initialisation for the convolutions,
a standard deviation of 0.01 for the classifier.
"""

from gcseg.models.heads.auxiliary import AuxiliaryHead
from gcseg.models.heads.ccnet import CCNetHead
from gcseg.models.heads.danet import DANetHead
from gcseg.models.heads.deeplabv3plus import DeepLabV3PlusHead
from gcseg.models.heads.fcn import FCNHead, GCHead
from gcseg.models.heads.ocr import OCRHead
from gcseg.models.heads.psp import PSPHead
from gcseg.models.heads.upernet import UPerNetHead

__all__ = [
    "AuxiliaryHead",
    "CCNetHead",
    "DANetHead",
    "DeepLabV3PlusHead",
    "FCNHead",
    "GCHead",
    "OCRHead",
    "PSPHead",
    "UPerNetHead",
]
