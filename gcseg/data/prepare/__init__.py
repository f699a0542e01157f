"""Preparation of datasets: from the published archives to the files that the readers read."""

from __future__ import annotations

from gcseg.data.prepare.ade20k import prepare_ade20k
from gcseg.data.prepare.camvid import prepare_camvid
from gcseg.data.prepare.cityscapes import prepare_cityscapes
from gcseg.data.prepare.sources import Preparation
from gcseg.data.prepare.voc import prepare_voc

PREPARATIONS: dict[str, Preparation] = {
    "ade20k": prepare_ade20k,
    "camvid": prepare_camvid,
    "cityscapes": prepare_cityscapes,
    "voc": prepare_voc,
}
"""Preparation by dataset name. User-defined folders need none; drawn scenes write themselves."""
