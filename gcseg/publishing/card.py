"""The model card of a published network, in the form of the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from gcseg.publishing.evaluations import Scored
from gcseg.runs.modes import MODE_TITLES
from gcseg.runs.name import backbone_name, head_name
from gcseg.system.text import counted, listed, percent, printable

LIBRARY = "gcseg"
_WEAKEST = 3
"""Number of classes with the lowest IoU that a card names."""


@dataclass(frozen=True)
class Facts:
    """What a model card says.

    Args:
        results: Contents of the published results.json.
        evaluations: The published evaluations by name.
        settings: The published settings.
        manifest: Entries of the manifest but `files`.
        license: Licence of the weights; None if it was not given.
        exports: Names of the files of exports.
        averaged: Whether the weights are a moving average.
    """

    results: Mapping[str, Any]
    evaluations: Mapping[str, Scored]
    settings: Mapping[str, Any]
    manifest: Mapping[str, Any]
    license: str | None
    exports: Sequence[str] = ()
    averaged: bool = False


def card(facts: Facts) -> str:
    """Write a model card: metadata in YAML, then Markdown."""
    settings, name = facts.settings, str(facts.results["name"])
    dataset = settings["dataset"]["name"]
    metadata: dict[str, Any] = {"library_name": LIBRARY, "pipeline_tag": "image-segmentation"}
    if facts.license is not None:
        metadata["license"] = facts.license
    metadata |= {
        "tags": _tags(settings),
        "datasets": [dataset],
        "metrics": ["mean_iou"],
        "model-index": model_index(facts.results, facts.evaluations, dataset),
    }
    front = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=1000)
    parts = [
        f"# {_text(name)}",
        f"{_network(settings)} for semantic segmentation, trained on {_text(dataset)} with gcseg.",
        *_usage(facts),
        *scores_section(facts.results, facts.evaluations),
        *_protocol(facts),
        *_provenance(facts),
        *_limits(facts),
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(parts) + "\n"


def model_index(
    results: Mapping[str, Any], evaluations: Mapping[str, Scored], dataset: str
) -> list[dict[str, Any]]:
    """Return the scores as the hub reads them, with the mIoU of each evaluation as a fraction.

    Args:
        results: Contents of results.json.
        evaluations: The published evaluations by name.
        dataset: Name of the dataset.
    """
    entries: dict[str, list[dict[str, Any]]] = {}
    for name, one in evaluations.items():
        miou = results["evaluations"][name]["miou"]
        if miou is None:  # nothing is labelled
            continue
        entries.setdefault(one.split, []).append(
            {
                "type": "mean_iou",
                "value": miou,
                "name": f"mIoU, {MODE_TITLES.get(one.mode, one.mode)}",
                "args": {"scales": list(one.scales), "flip": one.flip},
            }
        )
    return [
        {
            "name": str(results["name"]),
            "results": [
                {
                    "task": {"type": "image-segmentation", "name": "Semantic segmentation"},
                    "dataset": {"type": dataset, "name": dataset, "split": split},
                    "metrics": metrics,
                }
                for split, metrics in entries.items()
            ],
        }
    ]


def scores_section(results: Mapping[str, Any], evaluations: Mapping[str, Scored]) -> list[str]:
    """Write the section of the scores, with the IoU of each class: heading, text and table.

    Args:
        results: Contents of results.json.
        evaluations: The published evaluations by name.
    """
    records = {name: results["evaluations"][name] for name in evaluations}
    titles = [_title(one, records[name]["images"]) for name, one in evaluations.items()]
    rows = [["class", *titles], ["---", *["---:"] * len(titles)]]
    classes = list(next(iter(records.values()))["class_iou"])
    for name in classes:
        cells = [percent(record["class_iou"].get(name), "-") for record in records.values()]
        rows.append([_text(name), *cells])
    for title, key in (("**mean (mIoU)**", "miou"), ("pixel accuracy", "pixel_accuracy")):
        rows.append([title, *(percent(one.get(key), "-") for one in records.values())])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return [
        "## Scores",
        "IoU in percent. The mean is over the classes that occur, from one integer confusion "
        "matrix over the whole split, which is in `confusion/`.",
        table,
    ]


def _tags(settings: Mapping[str, Any]) -> list[str]:
    head = head_name(settings["head"])
    network = [{"gc": "gcnet"}.get(head, head), backbone_name(settings["backbone"])]
    tags = ["semantic-segmentation", "pytorch", LIBRARY, *network]
    return list(dict.fromkeys(tags))


def _network(settings: Mapping[str, Any]) -> str:
    name = head_name(settings["head"])
    head = {"gc": "GCNet", "fcn": "FCN"}.get(name, name)
    return f"{_text(head)} with backbone {_text(backbone_name(settings['backbone']))}"


def _usage(facts: Facts) -> list[str]:
    lines = [
        "## Use",
        "```sh\npip install 'gcseg[hub]'\n```",
        "```python\n"
        "from gcseg import Predictor\n\n"
        'predictor = Predictor("hf://OWNER/NAME")  # or the path of this folder\n'
        'prediction = predictor("picture.jpg")\n'
        'prediction.save("mask.png")\n'
        "print(prediction.areas())\n"
        "```",
        "Reproduce the scores pixel by pixel, with the dataset at hand:",
        "```sh\npython -m gcseg.verify hf://OWNER/NAME dataset.root=/path/of/the/dataset\n```",
    ]
    if facts.exports:
        lines.append(
            f"Exports: {', '.join(f'`{name}`' for name in facts.exports)}, each with its proof in "
            "the JSON file next to it."
        )
    return lines


def _title(one: Scored, images: int) -> str:
    mode = MODE_TITLES.get(one.mode, one.mode)
    return f"{_text(mode)} ({_text(one.split)}, {counted(images, 'picture')})"


def _protocol(facts: Facts) -> list[str]:
    settings = facts.settings
    window = settings["inference"]["window"]
    pad, fit = settings["dataset"].get("pad"), settings["dataset"].get("fit") or {}
    size = "pictures at their own size"
    if settings["protocol"]["resize"] == "pad" and pad and any(pad.values()):
        size += f", padded to at least {pad['height']} x {pad['width']}"
    if settings["protocol"]["resize"] == "fit" and fit.get("long"):
        size = f"pictures resized to fit into {fit['long']} x {fit['short']}"
    whole = "whole pictures" if window is None else (
        f"sliding windows of {window['height']} x {window['width']}"
    )  # fmt: skip
    lines = [
        f"- {size}; {whole}",
        f"- normalised by mean {settings['normalize']['mean']} and std "
        f"{settings['normalize']['std']} of values in 0..1",
        f"- {settings['protocol']['average']} averaged over the views; views of each mode: "
        + "; ".join(
            f"{_text(name)}: scales {list(one.scales)}{', flipped too' if one.flip else ''}"
            for name, one in facts.evaluations.items()
        ),
        f"- precision {facts.manifest['protocol']['precision']}",
    ]
    return ["## Protocol", "\n".join(lines)]


def _provenance(facts: Facts) -> list[str]:
    settings, training = facts.settings, facts.results.get("training", {})
    steps = counted(settings["iters"], "optimizer step")
    if "stopped_at" in training:
        steps = f"{counted(training['stopped_at'], 'optimizer step')} of {settings['iters']:,}"
    start = settings.get("checkpoint") or settings["backbone"].get("pretrained")
    packages = facts.manifest["environment"]["packages"]
    weights = "the moving average of the weights" if facts.averaged else "the weights"
    lines = [
        f"- trained for {steps} of {counted(settings['batch_size'], 'picture')}, seed "
        f"{settings['seed']}, from {_text(str(start)) if start else 'random weights'}",
        f"- {weights} of the checkpoint with the best "
        f"{_text(str(settings.get('monitor', 'miou')))}",
        "- all settings: `config.yaml`; curves: `metrics.csv`; scores: `results.json`",
        f"- gcseg {_text(str(facts.manifest['gcseg']))}, PyTorch {_text(str(packages['torch']))}; "
        f"scored on {_text(str(facts.manifest['environment']['device']))}",
        "- SHA-256 of all files: `manifest.json`; of the evaluated pictures and labels: `data/`",
    ]
    return ["## Provenance", "\n".join(lines)]


def _limits(facts: Facts) -> list[str]:
    name, one = next(iter(facts.evaluations.items()))
    record = facts.results["evaluations"][name]
    scored = sorted((iou, cls) for cls, iou in record["class_iou"].items() if iou is not None)
    absent = [cls for cls, iou in record["class_iou"].items() if iou is None]
    lines = [
        f"- The scores are of {counted(record['images'], 'picture')} of {_text(one.split)} of "
        f"{_text(str(facts.settings['dataset']['name']))}. Other cameras, places, seasons and "
        "weather may give others.",
        "- Each pixel gets one of the classes above, also where a picture shows something else.",
    ]
    if len(scored) > _WEAKEST:
        weakest = [f"{_text(cls)} ({percent(iou)} %)" for iou, cls in scored[:_WEAKEST]]
        lines.append(f"- Lowest IoU: {', '.join(weakest)}.")
    if absent:
        lines.append(
            f"- Neither labelled nor predicted in the split, so without a score: "
            f"{listed(map(_text, absent), most=20)}."
        )
    if facts.license is None:
        lines.append("- No licence was stated: ask the publisher before you use the weights.")
    return ["## Limits", "\n".join(lines)]


def _text(text: str) -> str:
    """Escape what Markdown and HTML would read as marks."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", printable(text))
