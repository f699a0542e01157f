"""Compare converted checkpoints with PaddleSeg's or mmsegmentation's own networks.

    python tools/prove_conversion.py paddleseg --python /path/to/python

The interpreter is one of an environment in which the framework is installed: paddlepaddle and
paddleseg, or mmsegmentation, mmengine and mmcv or mmcv-lite. It may also be given as
GCSEG_PADDLE_PYTHON or GCSEG_MMSEG_PYTHON. Networks of ours with random weights
are converted, loaded there with no name missing or left over, and run on the same image; networks
of the framework are saved there, read here and run too. Exits with status 1 if any logits differ.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from draw import draw

from gcseg.models import (
    AuxiliaryHead,
    FCNHead,
    GlobalContextBlock,
    Segmentor,
    gcnet,
    insert_context,
    resnet,
)
from gcseg.models.defaults import CONTEXT_CLASSES, HEAD_CLASSES
from gcseg.models.segmentor import taken_by
from gcseg.weights import describe, load_weights, read_checkpoint_file
from gcseg.weights.architecture import build
from gcseg.weights.convert import convert

TOLERANCE = 1e-5  # relative to the largest logit

PADDLESEG_OURS: dict[str, dict[str, Any]] = {
    "r18": {"backbone": "r18", "channels": 64},
    "r50": {"backbone": "r50", "channels": 128, "ratio": 0.5},
    "r34_os16": {"backbone": "r34", "channels": 64, "output_stride": 16, "align_corners": True},
    "r50_no_biases": {"backbone": "r50", "channels": 64, "conv_bias": False},
    "r50_no_auxiliary": {"backbone": "r50", "channels": 64, "auxiliary": False},
    "psp": {"backbone": "r18", "head": ("psp", {"channels": 64}), "align_corners": True},
    "deeplabv3plus": {
        **{"backbone": "r50", "head": ("deeplabv3plus", {}), "auxiliary": False},
        **{"multi_grid": (1, 2, 4)},
    },
    "upernet": {
        **{"backbone": "r18", "auxiliary_channels": 256},
        **{"head": ("upernet", {"channels": 64, "inner_align_corners": True})},
    },
    "danet": {
        **{"backbone": "r18", "head": ("danet", {"channels": 128}), "auxiliary": False},
        **{"asymmetric": True},
    },
    "ccnet": {
        **{"backbone": "r50", "head": ("ccnet", {"negative_slope": 0.01})},
        **{"auxiliary_channels": 512},
    },
    "dnl": {
        **{"backbone": "r50", "channels": 512, "asymmetric": True},
        **{"block": ("dnl", {"relu": True, "ratio": 0.25, "temperature": 0.1})},
    },
}
PADDLESEG_THEIRS = {
    "their_r18": "GCNet(num_classes=7, backbone=ResNet18_vd(), gc_channels=64)",
    "their_r50": "GCNet(num_classes=19, backbone=ResNet50_vd(), gc_channels=128)",
    "their_deeplabv3plus": "DeepLabV3P(num_classes=7, backbone=ResNet18_vd(), "
    "aspp_ratios=(1, 12, 24, 36))",
    "their_upernet": "UPerNet(num_classes=7, backbone=ResNet18_vd(), "
    "backbone_indices=(0, 1, 2, 3), channels=64, enable_auxiliary_loss=True)",
    "their_psp": "PSPNet(num_classes=7, backbone=ResNet18_vd())",
    "their_danet": "DANet(num_classes=7, backbone=ResNet18_vd(), backbone_indices=(2, 3))",
    "their_ccnet": "CCNet(num_classes=7, backbone=ResNet50_vd(), recurrence=2)",
    "their_dnl": "DNLNet(num_classes=7, backbone=ResNet50_vd())",
}

MMSEG_OURS: dict[str, dict[str, Any]] = {
    "r18_v1c": {"backbone": "r18", "variant": "v1c", "channels": 64, "conv_bias": False},
    "r50_v1c": {"backbone": "r50", "variant": "v1c", "channels": 128, "conv_bias": False},
    "r50_v1c_biases": {"backbone": "r50", "variant": "v1c", "channels": 64},
    "r50_vd": {"backbone": "r50", "variant": "vd", "channels": 64},
    "r50_v1d": {"backbone": "r50", "variant": "v1d", "channels": 64, "output_stride": 16},
    "r18_v1b": {
        **{"backbone": "r18", "variant": "v1b", "channels": 64, "auxiliary": False},
        **{"pooling": "average", "fusion": "add+multiply", "align_corners": True},
    },
}

BLOCKS: dict[str, tuple[str, dict[str, Any]]] = {
    "nl": ("nl", {}),
    "nl_gaussian": ("nl", {"pairwise": "gaussian", "ratio": 1.0}),
    "nl_dot_product": ("nl", {"pairwise": "dot_product"}),
    "nl_concatenation": ("nl", {"pairwise": "concatenation"}),
    "nl_without_scale": ("nl", {"scale": False, "ratio": 0.25}),
    "dnl": ("dnl", {}),
    "dnl_dot_product": ("dnl", {"pairwise": "dot_product"}),
}
MMSEG_OURS |= {
    name: {"backbone": "r18", "variant": "v1c", "channels": 64, "auxiliary": False, "block": block}
    for name, block in BLOCKS.items()
}
MMSEG_OURS |= {
    name: {"backbone": "r18", "variant": "v1c", "head": (name, {"channels": 64, **settings})}
    for name, settings in {
        "psp": {"pooled_channels": 64, "bins": (1, 3)},
        "danet": {"attention_channels": 24},
        "ccnet": {"recurrence": 3},
        "deeplabv3plus": {"pyramid_kernel": 3, "depthwise_relu": True, "dilations": (1, 2, 4)},
        "upernet": {"pooled_channels": 64},
        "ocr": {"key_channels": 32},
    }.items()
}
MMSEG_OURS["multi_grid"] = {**MMSEG_OURS["r50_v1c"], "multi_grid": (1, 2, 4)}
MMSEG_OURS["r50_v1c_context"] = {
    **{"backbone": "r50", "variant": "v1c", "channels": 64, "conv_bias": False},
    **{"auxiliary": False, "inserted": {"stages": (2, 3)}},
}


def _mmseg_network(
    kind: str, depth: int, wide: int, head: str = "GCHead", **settings: Any
) -> dict[str, Any]:
    common = {"num_classes": 7, "align_corners": False, "norm_cfg": {"type": "BN"}}
    return {
        "backbone": {
            **{"type": kind, "depth": depth, "contract_dilation": True},
            **{"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)},
        },
        "decode_head": {
            **{"type": head, "in_channels": 512 * wide, "in_index": 3, "channels": 64},
            **settings,
            **common,
        },
        "auxiliary_head": {
            **{"type": "FCNHead", "in_channels": 256 * wide, "in_index": 2, "channels": 64},
            **{"num_convs": 1, "concat_input": False},
            **common,
        },
    }


def _mmseg_ocr() -> dict[str, Any]:
    """Return the cascade of mmsegmentation's OCRNet, whose first head is ours for training."""
    network = _mmseg_network("ResNetV1c", 18, 1, "OCRHead", ocr_channels=32)
    heads = [network.pop("auxiliary_head"), network.pop("decode_head")]
    return {"type": "CascadeEncoderDecoder", "num_stages": 2, **network, "decode_head": heads}


MMSEG_THEIRS = {
    "their_deeplabv3plus_r18_v1c": _mmseg_network(
        *("ResNetV1c", 18, 1, "DepthwiseSeparableASPPHead"),
        **{"dilations": (1, 12, 24, 36), "c1_in_channels": 64, "c1_channels": 48},
    ),
    "their_upernet_r18_v1b": _mmseg_network(
        *("ResNet", 18, 1, "UPerHead"),
        **{"in_channels": [64, 128, 256, 512], "in_index": [0, 1, 2, 3]},
    ),
    "their_ocr_r18_v1c": _mmseg_ocr(),
    "their_r50_v1c": _mmseg_network("ResNetV1c", 50, 4),
    "their_r18_v1b": _mmseg_network("ResNet", 18, 1),
    "their_non_local_r18_v1b": _mmseg_network("ResNet", 18, 1, "NLHead"),
    "their_dnl_r18_v1c": _mmseg_network("ResNetV1c", 18, 1, "DNLHead"),
    "their_psp_r18_v1c": _mmseg_network("ResNetV1c", 18, 1, "PSPHead"),
    "their_danet_r18_v1c": _mmseg_network("ResNetV1c", 18, 1, "DAHead", pam_channels=16),
    "their_ccnet_r18_v1b": _mmseg_network("ResNet", 18, 1, "CCHead"),
}


@dataclass(frozen=True)
class Framework:
    """The networks that are compared with a framework's.

    Args:
        variable: Environment variable with the interpreter.
        script: Script that runs with that interpreter.
        suffix: Suffix of the framework's files.
        ours: Arguments of `gcnet` by name of the network; `block`, a context block and its
            settings, takes the place of the global context block, `head`, a head and its settings,
            that of the head; `inserted` are arguments of `insert_context` for blocks in the
            backbone; `multi_grid` is one of `resnet`, `asymmetric` one of `Segmentor`;
            `auxiliary_channels` are those of the auxiliary head.
        theirs: Networks that the script builds, by name of the network.
    """

    variable: str
    script: str
    suffix: str
    ours: dict[str, dict[str, Any]]
    theirs: dict[str, Any]


FRAMEWORKS = {
    "paddleseg": Framework(
        "GCSEG_PADDLE_PYTHON",
        "in_paddleseg.py",
        ".pdparams",
        PADDLESEG_OURS,
        PADDLESEG_THEIRS,
    ),
    "mmseg": Framework("GCSEG_MMSEG_PYTHON", "in_mmseg.py", ".pth", MMSEG_OURS, MMSEG_THEIRS),
}


def prove(framework: Framework, python: str, folder: Path) -> bool:
    """Compare all networks, print a line for each, and return whether all agree.

    Args:
        framework: The framework and its networks.
        python: Interpreter of the framework's environment.
        folder: Folder for the files.
    """
    image = np.random.default_rng(0).uniform(-1, 1, (2, 3, 65, 97)).astype(np.float32)
    np.save(folder / "image.npy", image)
    networks: dict[str, Segmentor] = {}
    cases = []
    for seed, (name, settings) in enumerate(framework.ours.items()):
        networks[name] = _network(settings, seed)
        file = f"{name}{framework.suffix}"
        notes = _convert(networks[name], settings, folder / f"{name}.ckpt", folder / file)
        cases.append(
            {
                "name": name,
                "file": file,
                "network": notes[0].removeprefix("PaddleSeg: "),
                "written_here": False,
            }
        )
    for seed, (name, network) in enumerate(framework.theirs.items()):
        file = f"{name}{framework.suffix}"
        cases.append(
            {"name": name, "file": file, "network": network, "written_here": True, "seed": seed}
        )
    (folder / "cases.json").write_text(json.dumps(cases))
    script = Path(__file__).resolve().parent / framework.script
    subprocess.run([python, str(script), str(folder)], check=True)
    for name in framework.theirs:
        networks[name] = _read(folder / f"{name}{framework.suffix}")
    agreements = [_agree(name, network, image, folder) for name, network in networks.items()]
    return all(agreements)


def _network(settings: dict[str, Any], seed: int) -> Segmentor:
    changes = ("multi_grid", "block", "head", "inserted", "asymmetric", "auxiliary_channels")
    others = {key: value for key, value in settings.items() if key not in changes}
    network = gcnet(num_classes=7, **others).eval()
    if "multi_grid" in settings:
        depth, variant = int(settings["backbone"][1:]), settings.get("variant", "vd")
        network.backbone = resnet(depth, variant=variant, multi_grid=settings["multi_grid"]).eval()
    network.asymmetric = settings.get("asymmetric", False)
    if (wider := settings.get("auxiliary_channels")) is not None:
        features = network.backbone.channels[2]
        network.auxiliary_head = AuxiliaryHead(features, 7, channels=wider).eval()
    if "head" in settings:
        name, of_head = settings["head"]
        kind = HEAD_CLASSES[name]
        if "align_corners" in inspect.signature(kind).parameters:
            of_head = {**of_head, "align_corners": network.align_corners}
        taken = taken_by(kind, network.backbone.channels)
        network.head = kind(taken, 7, **of_head).eval()
    if "block" in settings:
        name, of_block = settings["block"]
        block = CONTEXT_CLASSES[name](settings["channels"], **of_block)
        channels = network.backbone.channels[3]
        network.head = FCNHead(channels, 7, channels=settings["channels"], context=block).eval()
    if "inserted" in settings:
        insert_context(network.backbone, GlobalContextBlock, **settings["inserted"])
        network.eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    state = {name: torch.from_numpy(values) for name, values in draw(shapes, seed).items()}
    network.load_state_dict(state)
    return network


def _convert(network: Segmentor, settings: dict[str, Any], source: Path, target: Path) -> list[str]:
    """Convert a network from a file that also has the settings that weights do not show."""
    said = {
        "backbone": {
            "variant": settings.get("variant", "vd"),
            "output_stride": settings.get("output_stride", 8),
            "multi_grid": settings.get("multi_grid"),
        },
        "head": {
            **(settings["head"][1] if "head" in settings else {}),
            "align_corners": settings.get("align_corners", False),
            "asymmetric": settings.get("asymmetric", False),
            "context": settings["block"][1] if "block" in settings else {},
        },
    }
    torch.save({"state_dict": network.state_dict(), "gcseg": {"network": said}}, source)
    return convert(source, target)


def _read(file: Path) -> Segmentor:
    content = read_checkpoint_file(file)
    network = build(describe(content.tensors, content.extra)).eval()
    load_weights(network, file)
    assert isinstance(network, Segmentor)
    return network


def _agree(name: str, network: Segmentor, image: np.ndarray, folder: Path) -> bool:
    """Print how far the logits differ, and return whether that is only rounding."""
    with torch.no_grad():
        logits = network(torch.from_numpy(image), auxiliary=True)
    wanted = np.load(folder / f"{name}.npz")
    outputs = {k: v.numpy() for k, v in zip(("main", "aux"), logits, strict=False) if v is not None}
    errors = {k: np.abs(v - wanted[k]).max() / np.abs(wanted[k]).max() for k, v in outputs.items()}
    same = {k: (v.argmax(1) == wanted[k].argmax(1)).mean() for k, v in outputs.items()}
    agrees = set(outputs) == set(wanted) and max(errors.values()) < TOLERANCE
    shown = ", ".join(
        f"{output} error {errors[output]:.1e}, same class in {100 * same[output]:.2f} % of pixels"
        for output in outputs
    )
    print(f"{name}: {shown}: {'agrees' if agrees else 'DIFFERS'}")
    return agrees


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("--only", nargs="+", help="names of the networks to compare; all if absent")
    parser.add_argument("--python", help="of the framework's environment")
    arguments = parser.parse_args()
    framework = FRAMEWORKS[arguments.framework]
    python = arguments.python or os.environ.get(framework.variable)
    if not python:
        parser.error(f"give --python or set {framework.variable}")
    if arguments.only:
        ours, theirs = (
            {name: one for name, one in networks.items() if name in arguments.only}
            for networks in (framework.ours, framework.theirs)
        )
        framework = replace(framework, ours=ours, theirs=theirs)
    with tempfile.TemporaryDirectory() as folder:
        agree = prove(framework, python, Path(folder))
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
