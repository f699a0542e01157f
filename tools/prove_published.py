"""Compare the rows of `published=` with mmsegmentation's own configurations and networks.

    python tools/prove_published.py [NETWORK ...]

runs in an environment with gcseg, mmsegmentation 1.2.2 and mmcv or mmcv-lite. For each row its
configuration there is read, and its network built once for each backbone: recipe and protocol must
be the same, and the parameters must have the names and shapes that gcseg reads as the row's
network. Exits with status 1 if anything else differs than is listed below.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any
from unittest import mock

if importlib.util.find_spec("mmcv._ext") is None:
    # mmcv-lite lacks the compiled layers of other networks, which only have to be importable.
    for module in ("mmcv.ops", "mmcv.ops.point_sample"):
        sys.modules[module] = mock.MagicMock()

import mmseg
import mmseg.models
import torch
import yaml
from mmengine import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from row_shapes import differences

from gcseg.config.trained import published_config
from gcseg.weights.architecture import without_values
from gcseg.zoo import catalogue

LITE = importlib.util.find_spec("mmcv._ext") is None
CONFIGS = Path(mmseg.__file__).parent / ".mim" / "configs"
KNOWN = {
    # Parameter groups by name, which gcseg does not have.
    (r"dnl_.*_769x769_80k", "exceptions"): "True, here False",
    # Its 1.2.2 ends the decay of two trainings of 80k steps at 40k; the versions that trained them
    # did not.
    (r"ocr_.*_80k_b16", "decay_end"): "40000, here 80000",
}
"""Differences that are meant, by pattern of the row's name and the value that differs."""


def config_of(record: catalogue.Record) -> Path:
    """Return the configuration of a row's network; their list names a wrong one for one of them."""
    folder = CONFIGS.joinpath(*record.source.split("/")[-2:]).parent
    models = yaml.safe_load((folder / "metafile.yaml").read_text())["Models"]
    (config,) = (one["Config"] for one in models if one["Weights"] == record.url)
    steps = f"-{record.iters // 1000}k_"
    return CONFIGS.parent / re.sub(r"-\d+k_", steps, config)


def theirs(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a configuration that gcseg has too, and the network's."""
    config = Config.fromfile(path)
    model = config.model
    heads = model.decode_head if isinstance(model.decode_head, list) else [model.decode_head]
    auxiliary = model.get("auxiliary_head") or heads[0]
    steps = {one["type"]: one for one in config.train_pipeline}
    scale = steps["RandomResize"]
    (decay,) = config.param_scheduler
    gpus, images = map(int, re.findall(r"_(\d)xb(\d)-", path.name)[0])
    assert images == config.train_dataloader.batch_size
    slide = model.test_cfg.mode == "slide"
    (resize,) = (one for one in config.test_pipeline if one["type"] == "Resize")
    preprocessor = model.data_preprocessor
    values = {
        "iters": config.train_cfg.max_iters,
        "batch_size": gpus * images,
        "lr": config.optimizer.lr,
        "momentum": config.optimizer.momentum,
        "weight_decay": config.optimizer.weight_decay,
        "exceptions": bool(config.optim_wrapper.get("paramwise_cfg")),
        "optimizer": config.optimizer.type,
        "power": decay.power,
        "end_lr": decay.eta_min,
        "decay_end": decay.end,
        "crop": list(steps["RandomCrop"]["crop_size"]),
        "cat_max_ratio": steps["RandomCrop"]["cat_max_ratio"],
        "fit": list(scale["scale"]),
        "scale": list(scale["ratio_range"]),
        "flip": steps["RandomFlip"]["prob"],
        "test_fit": list(resize["scale"]),
        "window": [*model.test_cfg.crop_size, *model.test_cfg.stride] if slide else None,
        "scales": list(config.img_ratios),
        "mean": [round(one / 255, 3) for one in preprocessor.mean],
        "std": [round(one / 255, 3) for one in preprocessor.std],
        "pretrained": model.pretrained,
        "classes": heads[-1].num_classes,
        "align_corners": heads[-1].align_corners,
        "auxiliary_weight": auxiliary.loss_decode.loss_weight,
        "dropout": [heads[-1].dropout_ratio, auxiliary.dropout_ratio],
        "strides": list(model.backbone.strides),
        "dilations": list(model.backbone.dilations),
    }
    return values, model.to_dict() if hasattr(model, "to_dict") else dict(model)


def ours(record: catalogue.Record, config: dict[str, Any]) -> dict[str, Any]:
    """Return the same values of a row."""
    optim, crop, fit = config["optim"], config["dataset"]["crop"], config["dataset"]["fit"]
    augment, window = config["augment"], config["inference"]["window"]
    size = [crop["height"], crop["width"]]
    stride = config["backbone"]["output_stride"]
    strides, dilations = {
        8: ([1, 2, 1, 1], [1, 1, 2, 4]),
        32: ([1, 2, 2, 2], [1, 1, 1, 1]),
    }[stride]
    depth = config["backbone"]["depth"]
    return {
        "iters": config["iters"],
        "batch_size": config["batch_size"],
        "lr": optim["lr"],
        "momentum": optim["momentum"],
        "weight_decay": optim["weight_decay"],
        "exceptions": False,
        "optimizer": "SGD",
        "power": optim["power"],
        "end_lr": optim["end_lr"],
        "decay_end": config["iters"],
        "crop": size,
        "cat_max_ratio": augment["cat_max_ratio"],
        "fit": [augment["scale"]["fit"]["long"], augment["scale"]["fit"]["short"]],
        "scale": [augment["scale"]["min"], augment["scale"]["max"]],
        "flip": augment["flip"],
        "test_fit": [fit["long"], fit["short"]],
        "window": None if window is None else [*size, *(round(2 * one / 3) for one in size)],
        "scales": config["protocol"]["scales"],
        "mean": config["protocol"]["mean"],
        "std": config["protocol"]["std"],
        "pretrained": {
            f"mmcls/resnet{depth}_v1c": f"open-mmlab://resnet{depth}_v1c",
            f"torchvision/resnet{depth}": f"torchvision://resnet{depth}",
        }[config["backbone"]["pretrained"]],
        "classes": record.architecture["num_classes"],
        "align_corners": config["head"]["align_corners"],
        "auxiliary_weight": config["auxiliary_weight"],
        "dropout": [config["head"]["dropout"], config["auxiliary_head"]["dropout"]],
        "strides": strides,
        "dilations": dilations,
    }


def main(networks: list[str]) -> None:
    """Compare all rows, or those of some networks."""
    init_default_scope("mmseg")
    torch.set_grad_enabled(False)
    count = wrong = 0
    built: set[tuple[object, ...]] = set()
    unseen: set[str] = set()
    for record in catalogue.records():
        if record.framework != "mmseg" or (networks and record.network not in networks):
            continue
        config = dict(published_config(str(record.experiment)))
        there, model = theirs(config_of(record))
        here = ours(record, config)
        found = [
            f"{key}: {there[key]}, here {here[key]}" for key in there if there[key] != here[key]
        ]
        kind = record.recipe, record.architecture["backbone"], record.architecture["variant"]
        if LITE and record.network == "ccnet":
            unseen.add(record.network)  # mmcv-lite lacks its attention
        elif kind not in built:  # data and crops change nothing but the classifiers
            with without_values():
                network = MODELS.build({**model, "pretrained": None, "train_cfg": None})
            found += differences(record, config, network.state_dict())
            built.add(kind)
        meant = [one for one in found if any(
            re.search(name, record.name) and one == f"{key}: {values}"
            for (name, key), values in KNOWN.items())]  # fmt: skip
        count += 1
        wrong += found != meant
        for one in found:
            print(f"{record.name}: {one}{' (known)' if one in meant else ''}", flush=True)
    for network in unseen:
        print(f"{network}: settings alone, as its parameters need mmcv instead of mmcv-lite")
    print(f"{count} rows, {wrong} differ")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main(sys.argv[1:])
