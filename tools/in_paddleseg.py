"""The part of prove_conversion.py that runs in an environment with PaddleSeg."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
from draw import draw
from paddleseg import models
from paddleseg.models.backbones import resnet_vd

BUILDERS = {
    **{name: getattr(models, name)
       for name in ("GCNet", "PSPNet", "DANet", "CCNet", "DNLNet", "DeepLabV3P", "UPerNet")},
    **{name: getattr(resnet_vd, name) for name in resnet_vd.__all__},
}  # fmt: skip


def main(folder: Path) -> None:
    """Load converted checkpoints, save others for gcseg to read, and write the logits of both."""
    paddle.set_device("cpu")
    image = paddle.to_tensor(np.load(folder / "image.npy"))
    for case in json.loads((folder / "cases.json").read_text()):
        network = eval(case["network"], BUILDERS)  # as printed by gcseg.weights convert
        file = str(folder / case["file"])
        if case["written_here"]:
            shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
            network.set_state_dict(draw(shapes, case["seed"]))
            paddle.save(network.state_dict(), file)
        else:
            missing, unexpected = network.set_state_dict(paddle.load(file))
            if missing or unexpected:
                sys.exit(f"{file}: missing {missing}, unexpected {unexpected}")
        network.eval()
        with paddle.no_grad():
            logits = [output.numpy() for output in network(image)]
            if isinstance(network, models.CCNet) and network.enable_auxiliary_loss:
                small = network.aux_head(network.backbone(image)[2])  # not part of its outputs
                corners = network.align_corners
                shown = F.interpolate(
                    small, image.shape[2:], mode="bilinear", align_corners=corners
                )
                logits.append(shown.numpy())
        np.savez(folder / f"{case['name']}.npz", **dict(zip(("main", "aux"), logits)))  # noqa: B905


if __name__ == "__main__":
    main(Path(sys.argv[1]))
