"""The published checkpoints: networks, and ImageNet weights of their backbones.

Addresses and scores are from the frameworks' own lists, which published.csv and the functions
below name. A checksum is given only if the framework itself checks it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

IMAGES = {"cityscapes": 500, "voc": 1449, "ade20k": 2000}
"""Number of images in the validation splits of the published scores."""

DATASET_TITLES = {
    "cityscapes": "Cityscapes",
    "voc": "VOC 2012 with the augmented training set",
    "ade20k": "ADE20k",
}
CLASSES = {"cityscapes": 19, "voc": 21, "ade20k": 150}

IMAGENET = "ImageNet-1k"
_BATCH_SIZES = {"cityscapes": 8, "voc": 16, "ade20k": 16}
"""Usual batch sizes of the frameworks."""
_HEADS = {"gcnet": "gc", "nonlocal": "fcn-nl", "dnl": "fcn-dnl"}
"""Names of heads that networks do not share."""
_MULTI_GRIDS = {"paddleseg_deeplabv3plus": (1, 2, 4)}
"""Factors of the dilation in the last stage, by recipe."""
_TABLE = Path(__file__).with_name("published.csv")

SSLD = "ImageNet-1k and 4 million images of ImageNet-22k, distilled (SSLD)"


@dataclass(frozen=True)
class Record:
    """Record of a published checkpoint.

    Args:
        name: Name of the framework and of the checkpoint.
        url: Address of the file.
        kind: Kind of checkpoint: `"network"` for a whole network, `"backbone"` for a ResNet.
        framework: Framework that published the file: `"paddleseg"`, `"mmseg"`, `"paddleclas"`,
            `"mmcls"`, `"torchvision"` or `"timm"`.
        architecture: For networks, name and variant of the backbone, number of classes, and what
            the weights do not show; for backbones, arguments of `gcseg.models.resnet`.
        dataset: Dataset of the training; for networks, gcseg's name of it.
        experiment: Name of the row with the recipe, for `published=`; networks only.
        miou: Published mIoU over the validation split, as fractions by mode of test-time
            augmentation: `"none"`, `"flip"`, `"msflip"`; empty for backbones.
        corrected: Scores for some of these modes that were published later, after a fault in their
            measurement was fixed; `gcseg.inference.predict` measures as for these.
        sha256: Hexadecimal SHA-256 of the file or the beginning of it, if known.
        network: Name of the network by its head, such as `"gcnet"` or `"nonlocal"`; this and the
            following for networks only.
        recipe: Name of a file of experiments/recipe/ with the head and the settings in which its
            training differs from PaddleSeg's of GCNet, if any.
        crop: Height and width of the training crops in pixels.
        iters: Optimizer steps of the training.
        batch_size: Images per step, over all devices.
        source: Repository and file that publish it.
    """

    name: str
    url: str
    kind: Literal["network", "backbone"]
    framework: str
    architecture: Mapping[str, Any]
    dataset: str
    experiment: str | None = None
    miou: Mapping[str, float] = field(default_factory=dict)
    corrected: Mapping[str, float] = field(default_factory=dict)
    sha256: str | None = None
    network: str = ""
    recipe: str | None = None
    crop: tuple[int, int] = (0, 0)
    iters: int = 0
    batch_size: int = 0
    source: str = ""

    @property
    def head(self) -> str:
        """Name of a network's head as in results.json, such as `"gc"` or `"fcn-nl"`."""
        return _HEADS.get(self.network, self.network)


def _networks() -> Iterator[Record]:
    """Yield the records of published.csv, which tools/published_rows.py makes of their sources.

    The last eight digits of the names of mmsegmentation's files are not a reliable checksum:
    tools/misc/publish_model.py of 1.2.2 takes them from the training's checkpoint, before the
    optimizer's state is removed.
    """
    with _TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            framework, name = row["framework"], _name(row)
            modes = {mode: row[mode] for mode in ("none", "flip", "msflip") if row[mode]}
            yield Record(
                name=f"{framework}/{row['network']}_{name}",
                url=row["url"],
                kind="network",
                framework=framework,
                architecture={
                    "backbone": row["backbone"],
                    "num_classes": CLASSES[row["dataset"]],
                    "variant": row["variant"],
                    "align_corners": row["align_corners"] == "true",
                    **({"multi_grid": grid} if (grid := _MULTI_GRIDS.get(row["recipe"])) else {}),
                },
                dataset=row["dataset"],
                experiment="_".join(
                    [framework, *([row["network"]] if row["network"] != "gcnet" else []), name]
                ),
                miou={mode: round(float(score) / 100, 4) for mode, score in modes.items()},
                corrected=(
                    {"msflip": round(float(row["corrected"]) / 100, 4)} if row["corrected"] else {}
                ),
                network=row["network"],
                recipe=row["recipe"] or None,
                crop=_size(row["crop"]),
                iters=int(row["iters"]),
                batch_size=int(row["batch_size"]),
                source=row["source"],
            )


def _name(row: Mapping[str, str]) -> str:
    """Return a network's name without its framework and its head.

    Crop, steps and batch size are in it where the framework publishes several.
    """
    parts = [row["backbone"] + ("b" if row["variant"] == "v1b" else ""), row["dataset"]]
    if row["framework"] == "mmseg":
        if row["dataset"] == "cityscapes":  # the others have one crop
            parts.append(row["crop"])
        parts.append(f"{int(row['iters']) // 1000}k")
        if int(row["batch_size"]) != _BATCH_SIZES[row["dataset"]]:
            parts.append(f"b{row['batch_size']}")
    elif row["crop"] == "769x769":
        parts.append(row["crop"])
    return "_".join(parts)


def _size(crop: str) -> tuple[int, int]:
    height, width = crop.split("x")
    return int(height), int(width)


def _backbone(
    name: str, depth: int, variant: str, url: str, dataset: str, sha256: str | None = None
) -> Record:
    return Record(
        name=name,
        url=url,
        kind="backbone",
        framework=name.split("/")[0],
        architecture={"depth": depth, "variant": variant},
        dataset=dataset,
        sha256=sha256,
    )


def _paddleseg_backbone(depth: int, file: str) -> Record:
    """Return the initial weights of PaddleSeg's GCNets, by the files in its configs/gcnet/."""
    url = f"https://bj.bcebos.com/paddleseg/dygraph/{file}"
    return _backbone(f"paddleseg/resnet{depth}_vd_ssld", depth, "vd", url, SSLD)


def _paddleclas(depth: int, *, ssld: bool = False) -> Record:
    """Return a row of PaddleClas's list of models (MODEL_URLS, and its list of SSLD models)."""
    ending = "_ssld" if ssld else ""
    url = (
        "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph/legendary_models/"
        f"ResNet{depth}_vd{ending}_pretrained.pdparams"
    )
    name = f"paddleclas/resnet{depth}_vd{ending}"
    return _backbone(name, depth, "vd", url, SSLD if ssld else IMAGENET)


def _mmcls(depth: int, digits: str) -> Record:
    """Return mmsegmentation's open-mmlab://resnet50_v1c and the like, by mmengine's openmmlab.json.

    The list is mmengine/hub/openmmlab.json. No framework checks the digits in these files' names,
    and some in that list are known to be another file's (mmcv's issue 600).
    """
    url = f"https://download.openmmlab.com/pretrain/third_party/resnet{depth}_v1c-{digits}.pth"
    return _backbone(f"mmcls/resnet{depth}_v1c", depth, "v1c", url, IMAGENET)


def _torchvision(depth: int, digits: str, *, version: int = 1) -> Record:
    """Return IMAGENET1K_V1 or _V2 of torchvision/models/resnet.py; it checks digits as SHA-256."""
    url = f"https://download.pytorch.org/models/resnet{depth}-{digits}.pth"
    name = f"torchvision/resnet{depth}" + ("" if version == 1 else f"_v{version}")
    return _backbone(name, depth, "v1b", url, IMAGENET, digits)


def _timm(depth: int) -> Record:
    """Return a model of timm/models/resnet.py, with timm's default tag."""
    name = f"timm/resnet{depth}d.ra2_in1k"
    url = f"https://huggingface.co/{name}/resolve/main/model.safetensors"
    return _backbone(name, depth, "d", url, IMAGENET)


RECORDS = (
    *_networks(),
    _paddleseg_backbone(50, "resnet50_vd_ssld_v2.tar.gz"),
    _paddleseg_backbone(101, "resnet101_vd_ssld.tar.gz"),
    *(_paddleclas(depth) for depth in (18, 34, 50, 101, 152)),
    *(_paddleclas(depth, ssld=True) for depth in (34, 50, 101)),
    _mmcls(18, "b5776b93"),
    _mmcls(50, "2cccc1ad"),
    _mmcls(101, "e67eebb6"),
    _torchvision(18, "f37072fd"),
    _torchvision(34, "b627a593"),
    _torchvision(50, "0676ba61"),
    _torchvision(101, "63fe2227"),
    _torchvision(152, "394f9c45"),
    _torchvision(50, "11ad3fa6", version=2),
    _torchvision(101, "cd907fc2", version=2),
    _torchvision(152, "f82ba261", version=2),
    *(_timm(depth) for depth in (18, 34, 50, 101, 152)),
)
