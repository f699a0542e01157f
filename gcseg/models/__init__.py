"""Segmentation networks in pure PyTorch: backbones, context blocks, heads and builders."""

from gcseg.models.builder import gcnet
from gcseg.models.context import (
    DisentangledNonLocalBlock,
    GlobalContextBlock,
    NonLocalBlock,
    SimplifiedNonLocalBlock,
    SqueezeExcitationBlock,
)
from gcseg.models.heads import (
    AuxiliaryHead,
    CCNetHead,
    DANetHead,
    DeepLabV3PlusHead,
    FCNHead,
    GCHead,
    OCRHead,
    PSPHead,
    UPerNetHead,
)
from gcseg.models.insertion import insert_context
from gcseg.models.resnets import ResNet, Variant, resnet
from gcseg.models.segmentor import Segmentor
from gcseg.models.timm_backbones import TimmBackbone, timm_backbone

__all__ = [
    "AuxiliaryHead",
    "CCNetHead",
    "DANetHead",
    "DeepLabV3PlusHead",
    "DisentangledNonLocalBlock",
    "FCNHead",
    "GCHead",
    "GlobalContextBlock",
    "NonLocalBlock",
    "OCRHead",
    "PSPHead",
    "ResNet",
    "Segmentor",
    "SimplifiedNonLocalBlock",
    "SqueezeExcitationBlock",
    "TimmBackbone",
    "UPerNetHead",
    "Variant",
    "gcnet",
    "insert_context",
    "resnet",
    "timm_backbone",
]
