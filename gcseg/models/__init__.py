"""Segmentation networks in pure PyTorch: backbones, context blocks, heads and builders."""

from gcseg.models.builder import gcnet
from gcseg.models.context import GlobalContextBlock
from gcseg.models.heads import AuxiliaryHead, FCNHead, GCHead
from gcseg.models.resnets import ResNet, Variant, resnet
from gcseg.models.segmentor import Segmentor

__all__ = [
    "AuxiliaryHead",
    "FCNHead",
    "GCHead",
    "GlobalContextBlock",
    "ResNet",
    "Segmentor",
    "Variant",
    "gcnet",
    "resnet",
]
