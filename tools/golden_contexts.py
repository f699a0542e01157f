"""Write the golden outputs of mmsegmentation's networks with other context blocks.

    /tmp/mmseg/bin/python tools/golden_contexts.py

The interpreter is one of an environment with mmsegmentation, and with gcseg on its path for the
rules by which tests/golden draws parameters and images.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mmcv_lite  # noqa: F401  makes mmseg importable
import mmseg.models  # noqa: F401  registers the networks
import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.golden.generate import FOLDER, image, parameter

HEADS = {
    "mmseg_nonlocal_r18": {"type": "NLHead"},
    "mmseg_nonlocal_r18_dot_product": {"type": "NLHead", "mode": "dot_product"},
    "mmseg_nonlocal_r18_concatenation": {"type": "NLHead", "mode": "concatenation"},
    "mmseg_dnl_r18": {"type": "DNLHead"},
}


def main() -> None:
    """Write names and shapes of each network, and its logits."""
    init_default_scope("mmseg")
    for name, head in HEADS.items():
        network = MODELS.build(
            {
                "type": "EncoderDecoder",
                "backbone": {
                    **{"type": "ResNetV1c", "depth": 18, "contract_dilation": True},
                    **{"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)},
                },
                "decode_head": {
                    **{"in_channels": 512, "in_index": 3, "channels": 32, "num_classes": 5},
                    **{"align_corners": False, "norm_cfg": {"type": "BN"}, **head},
                },
                "train_cfg": {},
                "test_cfg": {"mode": "whole"},
            }
        ).eval()
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        drawn = {
            key: torch.from_numpy(parameter(key, shape).copy())
            for key, shape in shapes.items()
            if not key.endswith("num_batches_tracked")
        }
        network.load_state_dict(drawn, strict=False)
        x = image((1, 3, 33, 49), seed=18)
        with torch.no_grad():
            logits = network.encode_decode(x, [{"ori_shape": (33, 49), "img_shape": (33, 49)}])
        (FOLDER / f"{name}.keys.json").write_text(json.dumps(shapes))
        np.savez_compressed(FOLDER / f"{name}.npz", main=logits.numpy())


if __name__ == "__main__":
    main()
