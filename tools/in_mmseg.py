"""The part of prove_conversion.py that runs in an environment with mmsegmentation."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mmcv_lite  # noqa: F401  makes mmseg importable
import mmseg.models  # noqa: F401  registers the networks
import numpy as np
import torch
import torch.nn.functional as F
from draw import draw
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS


def main(folder: Path) -> None:
    """Load converted checkpoints, save others for gcseg to read, and write the logits of both."""
    init_default_scope("mmseg")
    image = torch.from_numpy(np.load(folder / "image.npy"))
    for case in json.loads((folder / "cases.json").read_text()):
        file = folder / case["file"]
        if case["written_here"]:
            settings = case["network"]
        else:
            settings = torch.load(file, weights_only=True)["meta"]["model"]
        parts = {"train_cfg": {}, "test_cfg": {"mode": "whole"}, **settings}
        network = MODELS.build({"type": "EncoderDecoder", **parts}).eval()
        if case["written_here"]:
            shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
            drawn = draw(shapes, case["seed"])
            state = {name: torch.from_numpy(values) for name, values in drawn.items()}
            torch.save({"meta": {}, "state_dict": state}, file)
        else:
            state = torch.load(file, weights_only=True)["state_dict"]
        network.load_state_dict(state)
        with torch.no_grad():
            features = network.extract_feat(image)
            sizes = {"ori_shape": image.shape[2:], "img_shape": image.shape[2:]}
            logits = {"main": network.encode_decode(image, [sizes])}
            cascade = settings.get("type") == "CascadeEncoderDecoder"
            if cascade or network.with_auxiliary_head:
                head = network.decode_head[0] if cascade else network.auxiliary_head
                small, align = head(features), head.align_corners
                logits["aux"] = F.interpolate(
                    small, image.shape[2:], mode="bilinear", align_corners=align
                )
        np.savez(folder / f"{case['name']}.npz", **{k: v.numpy() for k, v in logits.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
