"""Compare the rows of `published=` with PaddleSeg's own configurations and networks.

    python tools/prove_published_paddleseg.py PADDLESEG --python /path/to/python

PADDLESEG is the folder configs/ of PaddleSeg at the commit of the rows' sources; the interpreter is
one of an environment with paddlepaddle and paddleseg. Recipe and protocol must be the same, and the
parameters must have the names and shapes that gcseg reads as the row's network. Exits with status 1
if anything else differs than is listed below.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from row_shapes import differences

from gcseg.config.trained import published_config
from gcseg.zoo import catalogue

GPUS = 4
KNOWN = {
    # Its auxiliary head is on the last stage, without a convolution; it is only trained with.
    (r"danet_", "losses"): "[['CrossEntropyLoss', 1], ['CrossEntropyLoss', 1], "
    "['CrossEntropyLoss', 1], ['CrossEntropyLoss', 0.4]], here [['CrossEntropyLoss', 1], "
    "['CrossEntropyLoss', 1], ['CrossEntropyLoss', 1]]",
    # Here the loss is also that of the auxiliary head.
    (r"ccnet_", "losses"): "[['OhemCrossEntropyLoss', 1], ['CrossEntropyLoss', 0.4]], here "
    "[['OhemCrossEntropyLoss', 1], ['OhemCrossEntropyLoss', 0.4]]",
}
"""Differences that are meant, by pattern of the row's name and the value that differs."""


def theirs(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration that gcseg has too."""
    steps = {one["type"]: one for one in settings["train_dataset"]["transforms"]}
    tests = {one["type"]: one for one in settings["val_dataset"]["transforms"]}
    scale = steps.get("ResizeStepScaling", {})
    distort = steps["RandomDistort"]
    model, optimizer, decay = settings["model"], settings["optimizer"], settings["lr_scheduler"]
    types, factors = settings["loss"]["types"], settings["loss"]["coef"]
    types = types * len(factors) if len(types) == 1 else types
    return {
        "iters": settings["iters"],
        "batch_size": GPUS * settings["batch_size"],
        "optimizer": [optimizer["type"], optimizer["momentum"], float(optimizer["weight_decay"])],
        "decay": [decay["learning_rate"], decay.get("end_lr", 0), decay["power"]],
        "losses": [[one["type"], factor] for one, factor in zip(types, factors, strict=True)],
        "crop": steps["RandomPaddingCrop"]["crop_size"],
        "scale": [
            scale.get("min_scale_factor", 1.0),
            scale.get("max_scale_factor", 1.0),
            scale.get("scale_step_size", 0),
        ],
        "colours": [distort[f"{one}_range"] for one in ("brightness", "contrast", "saturation")],
        "pad": tests["Padding"]["target_size"] if "Padding" in tests else [0, 0],
        "align_corners": model.get("align_corners", False),
        "output_stride": model["backbone"]["output_stride"],
        "multi_grid": model["backbone"].get("multi_grid"),
        "pretrained": model["backbone"]["pretrained"],
    }


def ours(config: dict[str, Any]) -> dict[str, Any]:
    """Return the same values of a row."""
    optim, dataset, scale = config["optim"], config["dataset"], config["augment"]["scale"]
    loss = {"cross_entropy": "CrossEntropyLoss", "ohem": "OhemCrossEntropyLoss"}
    loss = loss[config["loss"]["name"]]
    branches = 3 if config["head"]["name"] == "danet" else 1
    losses = [[loss, 1]] * branches
    if config["auxiliary_head"]["_target_"] is not None:
        losses.append([loss, config["auxiliary_weight"]])
    colour, backbone = config["augment"]["color"], config["backbone"]
    return {
        "iters": config["iters"],
        "batch_size": config["batch_size"],
        "optimizer": ["SGD", optim["momentum"], optim["weight_decay"]],
        "decay": [optim["lr"], optim["end_lr"], optim["power"]],
        "losses": losses,
        "crop": [dataset["crop"]["width"], dataset["crop"]["height"]],
        "scale": [scale["min"], scale["max"], scale["step"]],
        "colours": [colour[one] for one in ("brightness", "contrast", "saturation")],
        "pad": [dataset["pad"]["width"], dataset["pad"]["height"]],
        "align_corners": config["head"]["align_corners"],
        "output_stride": backbone["output_stride"],
        "multi_grid": backbone.get("multi_grid"),
        "pretrained": catalogue.find(backbone["pretrained"]).url,
    }


def main() -> None:
    """Compare all rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", type=Path, help="PaddleSeg's folder configs")
    parser.add_argument("--python", required=True, help="an interpreter with PaddleSeg")
    given = parser.parse_args()
    records = [one for one in catalogue.records() if one.framework == "paddleseg" and one.network]
    with tempfile.TemporaryDirectory() as folder:
        rows, output = Path(folder) / "rows.json", Path(folder) / "networks.json"
        named = {one.name: (one.source.split("/")[-2], one.url.split("/")[-2], one.dataset)
                 for one in records}  # fmt: skip
        rows.write_text(json.dumps(named))
        script = Path(__file__).with_name("in_paddleseg_rows.py")
        command = [given.python, str(script), str(given.configs), str(rows), str(output)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        networks = json.loads(output.read_text())
    wrong = 0
    for record in records:
        config = dict(published_config(str(record.experiment)))
        there, here = theirs(networks[record.name]["settings"]), ours(config)
        found = [
            f"{key}: {there[key]}, here {here[key]}" for key in there if there[key] != here[key]
        ]
        shapes = networks[record.name]["shapes"]
        state = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        found += differences(record, config, state)
        meant = [one for one in found if any(
            re.search(name, record.name) and one == f"{key}: {values}"
            for (name, key), values in KNOWN.items())]  # fmt: skip
        wrong += found != meant
        for one in found:
            print(f"{record.name}: {one}{' (known)' if one in meant else ''}", flush=True)
    print(f"{len(records)} rows, {wrong} differ")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
