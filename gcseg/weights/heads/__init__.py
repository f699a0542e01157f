"""The heads that show in files of weights: one file for each, with the names in other frameworks.

A network with a head that is not here is trained, evaluated and exported like any other; its files
are read by their record, and are not converted to other frameworks.
"""

from __future__ import annotations

from gcseg.weights.heads.ccnet import CCNET
from gcseg.weights.heads.danet import DANET
from gcseg.weights.heads.deeplabv3plus import DEEPLABV3PLUS
from gcseg.weights.heads.fcn import FCN
from gcseg.weights.heads.known import KnownHead
from gcseg.weights.heads.ocr import OCR
from gcseg.weights.heads.psp import PSP
from gcseg.weights.heads.upernet import UPERNET

KNOWN_HEADS: tuple[KnownHead, ...] = (CCNET, FCN, PSP, DANET, DEEPLABV3PLUS, UPERNET, OCR)
"""All of them; CCNet's has the convolutions of the head fcn, and comes first."""


def known_head(name: str) -> KnownHead | None:
    """Return the head of a name in conf/head; None if its weights do not show it."""
    return next((known for known in KNOWN_HEADS if name in known.titles), None)
