"""The part of prove_published.py that runs in an environment with PaddleSeg."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import paddle
from paddleseg import models  # noqa: F401  registers the networks
from paddleseg.cvlibs import Config, manager

CLASSES = {"cityscapes": 19, "voc": 21}


def main(configs: Path, rows: Path, output: Path) -> None:
    """Write settings, and names and shapes of parameters, of the networks of some rows.

    Args:
        configs: PaddleSeg's folder of configurations.
        rows: JSON file with folder, name of the configuration and dataset by row.
        output: JSON file to write.
    """
    paddle.set_device("cpu")
    found = {}
    for name, (folder, config, dataset) in json.loads(rows.read_text()).items():
        settings = Config(str(configs / folder / f"{config}.yml")).dic
        model = {**settings["model"], "num_classes": CLASSES[dataset], "pretrained": None}
        backbone = {**model.pop("backbone"), "pretrained": None}
        parts = manager.BACKBONES[backbone.pop("type")](**backbone)
        network = manager.MODELS[model.pop("type")](backbone=parts, **model)
        state = network.state_dict()
        found[name] = {
            "settings": settings,
            "shapes": {key: list(tensor.shape) for key, tensor in state.items()},
            "parameters": sum(int(one.size) for one in network.parameters()),
        }
    output.write_text(json.dumps(found))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
