"""The table of published checkpoints: GCNets, and ImageNet weights of their backbones.

Addresses and scores are from the frameworks' own lists, which the functions below name. A
checksum is given only if the framework itself checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

IMAGES = {"cityscapes": 500, "voc": 1449, "ade20k": 2000}
"""Number of images in the validation splits of the published scores."""

CLASSES = {"cityscapes": 19, "voc": 21, "ade20k": 150}

IMAGENET = "ImageNet-1k"
SSLD = "ImageNet-1k and 4 million images of ImageNet-22k, distilled (SSLD)"


@dataclass(frozen=True)
class Record:
    """Record of a published checkpoint.

    Args:
        name: Name of the framework and of the checkpoint.
        url: Address of the file.
        kind: Kind of checkpoint: `"network"` for a whole GCNet, `"backbone"` for a ResNet.
        framework: Framework that published the file: `"paddleseg"`, `"mmseg"`, `"paddleclas"`,
            `"mmcls"`, `"torchvision"` or `"timm"`.
        architecture: Arguments of `gcseg.models.gcnet`, or of `gcseg.models.resnet`.
        dataset: Dataset of the training; for networks, gcseg's name of it.
        experiment: Name of the file in experiments/published/ with the recipe; networks only.
        miou: Published mIoU over the validation split, as fractions by mode of test-time
            augmentation: `"none"`, `"flip"`, `"msflip"`; empty for backbones.
        corrected: Scores for some of these modes that were published later, after a fault in their
            measurement was fixed; `gcseg.inference.predict` measures as for these.
        sha256: Hexadecimal SHA-256 of the file or the beginning of it, if known.
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


def _paddleseg(backbone: str, dataset: str, run: str, *miou: float, corrected: float) -> Record:
    """Return a row of PaddleSeg's configs/gcnet/README.md.

    Its multi-scale scores were replaced early in 2023 (pull requests 2933 and 2978), when each
    scale was no longer resized from the one before it but from the image.
    """
    return Record(
        name=f"paddleseg/gcnet_{backbone}_{dataset}",
        url=f"https://bj.bcebos.com/paddleseg/dygraph/{run}/model.pdparams",
        kind="network",
        framework="paddleseg",
        architecture={
            "backbone": backbone,
            "num_classes": CLASSES[dataset],
            "variant": "vd",
            "conv_bias": True,
            "align_corners": False,
        },
        dataset=dataset,
        experiment=f"paddleseg_{backbone}_{dataset}",
        miou=dict(zip(("none", "flip", "msflip"), miou, strict=True)),
        corrected={"msflip": corrected},
    )


def _mmseg(backbone: str, dataset: str, crop: str, iters: str, stamp: str, *miou: float) -> Record:
    """Return a row of mmsegmentation's configs/gcnet/README.md.

    The last eight digits of a file's name are not a reliable checksum: tools/misc/publish_model.py
    of 1.2.2 takes them from the training's checkpoint, before the optimizer's state is removed.
    """
    theirs = {"voc": "voc12aug"}.get(dataset, dataset)
    depth = backbone.removeprefix("r")
    run = f"gcnet_r{depth}-d8_{crop}_{iters}_{theirs}"
    ours = f"{dataset}_{crop}" if dataset == "cityscapes" else dataset  # the others have one crop
    name = f"{backbone}_{ours}_{iters}"
    return Record(
        name=f"mmseg/gcnet_{name}",
        url=f"https://download.openmmlab.com/mmsegmentation/v0.5/gcnet/{run}/{run}_{stamp}.pth",
        kind="network",
        framework="mmseg",
        architecture={
            "backbone": backbone,
            "num_classes": CLASSES[dataset],
            "variant": "v1c",
            "conv_bias": False,
            "align_corners": crop == "769x769",
        },
        dataset=dataset,
        experiment=f"mmseg_{name}",
        miou=dict(zip(("none", "msflip"), miou, strict=True)),
    )


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
    _paddleseg(
        *("r50", "cityscapes", "cityscapes/gcnet_resnet50_os8_cityscapes_1024x512_80k"),
        *(0.7950, 0.7977, 0.7969),
        corrected=0.8016,
    ),
    _paddleseg(
        *("r101", "cityscapes", "cityscapes/gcnet_resnet101_os8_cityscapes_1024x512_80k"),
        *(0.8101, 0.8130, 0.8164),
        corrected=0.8185,
    ),
    _paddleseg(
        *("r50", "voc", "pascal_voc12/gcnet_resnet50_os8_voc12aug_512x512_40k"),
        *(0.8032, 0.8039, 0.8054),
        corrected=0.8094,
    ),
    _paddleseg(
        *("r101", "voc", "pascal_voc12/gcnet_resnet101_os8_voc12aug_512x512_40k"),
        *(0.7964, 0.7959, 0.7994),
        corrected=0.8025,
    ),
    _mmseg("r50", "cityscapes", "512x1024", "40k", "20200618_074436-4b0fd17b", 0.7769, 0.7856),
    _mmseg("r101", "cityscapes", "512x1024", "40k", "20200618_074436-5e62567f", 0.7828, 0.7934),
    _mmseg("r50", "cityscapes", "512x1024", "80k", "20200618_074450-ef8f069b", 0.7848, 0.8001),
    _mmseg("r101", "cityscapes", "512x1024", "80k", "20200618_074450-778ebf69", 0.7903, 0.7984),
    _mmseg("r50", "cityscapes", "769x769", "40k", "20200618_182814-a26f4471", 0.7812, 0.8009),
    _mmseg("r101", "cityscapes", "769x769", "40k", "20200619_092550-ca4f0a84", 0.7895, 0.8071),
    _mmseg("r50", "cityscapes", "769x769", "80k", "20200619_092516-4839565b", 0.7868, 0.8066),
    _mmseg("r101", "cityscapes", "769x769", "80k", "20200619_092628-8e043423", 0.7918, 0.8071),
    _mmseg("r50", "voc", "512x512", "20k", "20200617_165701-3cbfdab1", 0.7642, 0.7751),
    _mmseg("r101", "voc", "512x512", "20k", "20200617_165713-6c720aa9", 0.7741, 0.7856),
    _mmseg("r50", "voc", "512x512", "40k", "20200613_195105-9797336d", 0.7624, 0.7763),
    _mmseg("r101", "voc", "512x512", "40k", "20200613_185806-1e38208d", 0.7784, 0.7859),
    _mmseg("r50", "ade20k", "512x512", "80k", "20200614_185146-91a6da41", 0.4147, 0.4285),
    _mmseg("r101", "ade20k", "512x512", "80k", "20200615_020811-c3fcb6dd", 0.4282, 0.4454),
    _mmseg("r50", "ade20k", "512x512", "160k", "20200615_224122-d95f3e1f", 0.4237, 0.4352),
    _mmseg("r101", "ade20k", "512x512", "160k", "20200615_225406-615528d7", 0.4369, 0.4521),
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
