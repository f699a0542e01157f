"""Write the golden outputs of a framework's PSPNet, DANet, CCNet and DNLNet.

    /tmp/mmseg/bin/python tools/golden_heads.py mmseg
    /tmp/paddle/bin/python tools/golden_heads.py paddleseg

The interpreter is one of an environment with the framework. The parameters and the image are drawn
by the rules of tests/golden.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "golden"
sys.path[:0] = [str(FOLDER), str(Path(__file__).resolve().parent)]
from rules import image_array, parameter  # noqa: E402

IMAGE = image_array((1, 3, 33, 49), seed=18)
CLASSES = 5

MMSEG: dict[str, dict[str, Any]] = {
    "psp_r18": {"type": "PSPHead"},
    "psp_r18_corners": {"type": "PSPHead", "pool_scales": (1, 4), "align_corners": True},
    "danet_r18": {"type": "DAHead", "pam_channels": 24},
    "ccnet_r18": {"type": "CCHead", "recurrence": 2},
}


def mmseg() -> None:
    """Write names and shapes of mmsegmentation's networks, and their logits."""
    import mmcv_lite  # noqa: F401  makes mmseg importable
    import mmseg.models  # noqa: F401  registers the networks
    import torch
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    init_default_scope("mmseg")
    common = {"num_classes": CLASSES, "align_corners": False, "norm_cfg": {"type": "BN"}}
    for name, settings in MMSEG.items():
        head = {"in_channels": 512, "in_index": 3, "channels": 32, **common, **settings}
        built = MODELS.build(
            {
                "type": "EncoderDecoder",
                "backbone": {
                    **{"type": "ResNetV1c", "depth": 18, "contract_dilation": True},
                    **{"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)},
                },
                "decode_head": head,
                "train_cfg": {},
                "test_cfg": {"mode": "whole"},
            }
        ).eval()
        shapes = {key: tuple(value.shape) for key, value in built.state_dict().items()}
        drawn = {key: torch.tensor(value) for key, value in _drawn(shapes).items()}
        built.load_state_dict(drawn, strict=False)
        with torch.no_grad():
            image = torch.from_numpy(IMAGE)
            outputs = {
                "main": built.encode_decode(image, [{"ori_shape": (33, 49), "img_shape": (33, 49)}])
            }
            if name.startswith("danet"):
                _, position, channel = built.decode_head(built.extract_feat(image))
                outputs |= {"position": position, "channel": channel}
        _write(f"mmseg_{name}", shapes, {key: value.numpy() for key, value in outputs.items()})


def paddleseg() -> None:
    """Write names and shapes of PaddleSeg's networks, and their logits.

    Sizes that PaddleSeg fixes for deep ResNets are made small by its own layers.
    """
    import paddle
    import paddle.nn.functional as F
    from paddle import nn
    from paddleseg import models
    from paddleseg.models import layers
    from paddleseg.models.backbones import ResNet18_vd
    from paddleseg.models.ccnet import RCCAModule

    paddle.set_device("cpu")
    image = paddle.to_tensor(IMAGE)

    def upsampled(logits: Any) -> Any:
        return F.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=False)

    def backbone() -> Any:
        return ResNet18_vd(output_stride=8)

    psp = models.PSPNet(CLASSES, backbone(), pp_out_channels=48)
    danet = models.DANet(CLASSES, backbone(), backbone_indices=(2, 3))
    ccnet = models.CCNet(CLASSES, backbone(), recurrence=2)
    ccnet.head = RCCAModule(512, 128, CLASSES, recurrence=2)
    ccnet.aux_head = layers.AuxLayer(256, 64, CLASSES)
    networks = {"psp_r18": psp, "danet_r18": danet, "ccnet_r18": ccnet}
    for name, settings in {
        "dnl_r18": {},
        "dnl_r18_dot_product": {"mode": "dot_product", "reduction": 4},
    }.items():
        dnl = models.DNLNet(CLASSES, backbone(), **settings)
        first = layers.ConvBNReLU(256, 64, 3, bias_attr=False)
        dnl.head.aux = nn.Sequential(first, nn.Dropout2D(0.1), nn.Conv2D(64, CLASSES, 1))
        networks[name] = dnl
    for name, built in networks.items():
        shapes = {key: tuple(value.shape) for key, value in built.state_dict().items()}
        built.set_state_dict(_drawn(shapes))
        built.eval()
        with paddle.no_grad():
            outputs = dict(zip(("main", "aux"), built(image), strict=False))
            if name == "ccnet_r18":  # which gives them in training alone
                outputs["aux"] = upsampled(built.aux_head(built.backbone(image)[2]))
        _write(f"paddleseg_{name}", shapes, {key: value.numpy() for key, value in outputs.items()})


def _drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    names = (key for key in shapes if not key.endswith("num_batches_tracked"))
    return {key: parameter(key, shapes[key]) for key in names}


def _write(name: str, shapes: dict[str, tuple[int, ...]], outputs: dict[str, Any]) -> None:
    (FOLDER / f"{name}.keys.json").write_text(json.dumps(shapes))
    np.savez_compressed(FOLDER / f"{name}.npz", **outputs)


if __name__ == "__main__":
    {"mmseg": mmseg, "paddleseg": paddleseg}[sys.argv[1]]()
