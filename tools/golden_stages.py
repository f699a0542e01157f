"""Write the golden outputs of a framework's DeepLabV3+, UPerNet and OCRNet.

    /tmp/mmseg/bin/python tools/golden_stages.py mmseg
    /tmp/paddle/bin/python tools/golden_stages.py paddleseg

The interpreter is one of an environment with the framework. The parameters and the image are drawn
by the rules of tests/golden.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "golden"
sys.path.insert(0, str(FOLDER))
from rules import image_array, parameter  # noqa: E402

IMAGE = image_array((1, 3, 33, 49), seed=18)

MMSEG: dict[str, dict[str, Any]] = {
    "deeplabv3plus": {
        **{"type": "DepthwiseSeparableASPPHead", "in_channels": 512, "in_index": 3},
        **{"dilations": (1, 12, 24, 36), "c1_in_channels": 64, "c1_channels": 48},
    },
    "upernet": {
        **{"type": "UPerHead", "in_channels": [64, 128, 256, 512], "in_index": [0, 1, 2, 3]},
        **{"pool_scales": (1, 2, 3, 6)},
    },
    "ocr": {"type": "OCRHead", "in_channels": 512, "in_index": 3, "ocr_channels": 16},
}

PADDLESEG = {
    "deeplabv3plus": {"aspp_ratios": (1, 12, 24, 36)},
    "upernet": {
        **{"backbone_indices": (0, 1, 2, 3), "channels": 32, "enable_auxiliary_loss": True},
    },
}


def mmseg() -> None:
    """Write names and shapes of mmsegmentation's networks, and their logits."""
    if importlib.util.find_spec("mmcv._ext") is None:
        # mmcv-lite lacks the compiled layers of other networks, which only have to be importable.
        for module in ("mmcv.ops", "mmcv.ops.point_sample"):
            sys.modules[module] = mock.MagicMock()

    import mmseg.models  # noqa: F401  registers the networks
    import torch
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    init_default_scope("mmseg")
    common = {"num_classes": 5, "align_corners": False, "norm_cfg": {"type": "BN"}}
    first = {
        **{"type": "FCNHead", "in_channels": 256, "in_index": 2, "channels": 64, "num_convs": 1},
        **{"concat_input": False, **common},
    }
    for name, settings in MMSEG.items():
        head: Any = {"channels": 32, **common, **settings}
        network: dict[str, Any] = {"type": "EncoderDecoder", "decode_head": head}
        if name == "ocr":
            network = {"type": "CascadeEncoderDecoder", "num_stages": 2}
            network["decode_head"] = [first, head]
        else:
            network["auxiliary_head"] = first
        built = MODELS.build(
            {
                **network,
                "backbone": {
                    **{"type": "ResNetV1c", "depth": 18, "contract_dilation": True},
                    **{"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)},
                },
                "train_cfg": {},
                "test_cfg": {"mode": "whole"},
            }
        ).eval()
        shapes = {key: tuple(value.shape) for key, value in built.state_dict().items()}
        drawn = {key: torch.from_numpy(value.copy()) for key, value in _drawn(shapes).items()}
        built.load_state_dict(drawn, strict=False)
        with torch.no_grad():
            image = torch.from_numpy(IMAGE)
            logits = built.encode_decode(image, [{"ori_shape": (33, 49), "img_shape": (33, 49)}])
        _write(f"mmseg_{name}_r18", shapes, logits.numpy())


def paddleseg() -> None:
    """Write names and shapes of PaddleSeg's networks, and their logits."""
    import paddle
    from paddleseg.models import DeepLabV3P, UPerNet
    from paddleseg.models.backbones import ResNet18_vd

    paddle.set_device("cpu")
    classes = {"deeplabv3plus": DeepLabV3P, "upernet": UPerNet}
    for name, settings in PADDLESEG.items():
        built = classes[name](num_classes=5, backbone=ResNet18_vd(output_stride=8), **settings)
        shapes = {key: tuple(value.shape) for key, value in built.state_dict().items()}
        built.set_state_dict(_drawn(shapes))
        built.eval()
        with paddle.no_grad():
            main, *auxiliary = (logits.numpy() for logits in built(paddle.to_tensor(IMAGE)))
        _write(f"paddleseg_{name}_r18", shapes, main, *auxiliary)


def _drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    names = (key for key in shapes if not key.endswith("num_batches_tracked"))
    return {key: parameter(key, shapes[key]) for key in names}


def _write(name: str, shapes: dict[str, tuple[int, ...]], main: Any, *auxiliary: Any) -> None:
    (FOLDER / f"{name}.keys.json").write_text(json.dumps(shapes))
    outputs = dict(zip(("main", "aux"), (main, *auxiliary), strict=False))
    np.savez_compressed(FOLDER / f"{name}.npz", **outputs)


if __name__ == "__main__":
    {"mmseg": mmseg, "paddleseg": paddleseg}[sys.argv[1]]()
