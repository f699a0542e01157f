"""Make gcseg/zoo/published.csv, the table of published networks, from the frameworks' own lists.

    python tools/published_rows.py MMSEG PADDLESEG [--check]

MMSEG is the folder configs/ of mmsegmentation 1.2.2 (in an installed package mmseg/.mim/configs),
PADDLESEG that of PaddleSeg at the commit below. A row is made of every network with ResNet50 or
ResNet101 on Cityscapes, VOC 2012 + aug and ADE20k that gcseg can train alike. `--check` compares
the table with them instead of writing it.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

TABLE = Path(__file__).resolve().parents[1] / "gcseg" / "zoo" / "published.csv"
COLUMNS = ("framework", "network", "recipe", "backbone", "variant", "dataset", "crop",
           "align_corners", "iters", "batch_size", "none", "flip", "msflip", "corrected", "url",
           "source")  # fmt: skip

MMSEG_RELEASE = "open-mmlab/mmsegmentation@v1.2.2"
PADDLESEG_COMMIT = "PaddlePaddle/PaddleSeg@d7975e7cb3b9102eae4eabcef5afb81b878473aa"

MMSEG = {
    "gcnet": "gcnet",
    "nonlocal": "nonlocal_net",
    "dnl": "dnlnet",
    "fcn": "fcn",
    "psp": "pspnet",
    "deeplabv3plus": "deeplabv3plus",
    "danet": "danet",
    "ccnet": "ccnet",
    "upernet": "upernet",
    "ocr": "ocrnet",
}
"""Networks by gcseg's names, with mmsegmentation's folders of their configurations."""
PADDLESEG = {
    "gcnet": "gcnet",
    "dnl": "dnlnet",
    "psp": "pspnet",
    "deeplabv3plus": "deeplabv3p",
    "danet": "danet",
    "ccnet": "ccnet",
    "upernet": "upernet",
}
"""The same of PaddleSeg."""
DATASETS = {"cityscapes": "cityscapes", "voc12aug": "voc", "ade20k": "ade20k"}
"""gcseg's names of the frameworks' datasets, in the table's order."""

# mmsegmentation's names of its files: other backbones and datasets, strides and recipes, such as
# half precision and other pretraining, do not match.
_MMSEG_FILE = re.compile(
    r"/[a-z0-9]+_r(?P<depth>50|101)(?P<b>b?)(?:-d8)?_(?P<crop>512x1024|769x769|512x512)_"
    r"(?P<iters>\d+)k(?:_(?P<batch>b8|b16))?_(?P<dataset>cityscapes|voc12aug|ade20k)_\d+_\d+-[0-9a-f]{8}\.pth"
)
_PADDLESEG_FILE = re.compile(
    r"/(?P<run>[a-z0-9]+_resnet(?P<depth>50|101)_os8_(?P<dataset>cityscapes|voc12aug)_"
    r"(?P<crop>\d+x\d+)_(?P<iters>\d+)k)/model\.pdparams"
)

# PaddleSeg's multi-scale scores of GCNet before early 2023, when each scale was resized from the
# one before it (its pull requests 2933 and 2978): gcseg shows both.
_BEFORE = {("r50", "cityscapes"): "79.69", ("r101", "cityscapes"): "81.64",
           ("r50", "voc"): "80.54", ("r101", "voc"): "79.94"}  # fmt: skip


def mmseg_rows(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of mmsegmentation's model files."""
    for network, name in MMSEG.items():
        path = folder / name / "metafile.yaml"
        for model in yaml.safe_load(path.read_text())["Models"]:
            url = model["Weights"]
            found = _MMSEG_FILE.search(url)
            if found is None:
                continue
            results = model["Results"]
            scores = (results[0] if isinstance(results, list) else results)["Metrics"]
            gpus, images = re.findall(r"_(\d)xb(\d)-", model["Config"])[0]
            yield {
                "framework": "mmseg",
                "network": network,
                "recipe": _mmseg_recipe(network, found["batch"]),
                "backbone": f"r{found['depth']}",
                "variant": "v1b" if found["b"] else "v1c",
                "dataset": DATASETS[found["dataset"]],
                "crop": found["crop"],
                "align_corners": str(found["crop"] == "769x769").lower(),
                "iters": f"{found['iters']}000",
                "batch_size": str(int(gpus) * int(images)),
                "none": _percent(scores["mIoU"]),
                "msflip": _percent(scores.get("mIoU(ms+flip)", "-")),
                "url": url,
                "source": f"{MMSEG_RELEASE} configs/{name}/metafile.yaml",
            }


def paddleseg_rows(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of PaddleSeg's lists."""
    for network, name in PADDLESEG.items():
        for line in (folder / name / "README.md").read_text().splitlines():
            found = _PADDLESEG_FILE.search(line)
            if found is None:
                continue
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            none, flip, msflip = map(_percent, cells[4:7])
            height, width = sorted(found["crop"].split("x"), key=int)  # written in both orders
            row = {
                "framework": "paddleseg",
                "network": network,
                "recipe": _paddleseg_recipe(network, found["depth"], found["dataset"]),
                "backbone": f"r{found['depth']}",
                "variant": "vd",
                "dataset": DATASETS[found["dataset"]],
                "crop": f"{height}x{width}",
                "align_corners": str(
                    _aligns_corners(folder / name / f"{found['run']}.yml")
                ).lower(),
                "iters": f"{found['iters']}000",
                "batch_size": {"cityscapes": "8", "voc12aug": "16"}[found["dataset"]],
                "none": none,
                "flip": flip,
                "msflip": msflip,
                "url": line.split("[model](")[1].split(")")[0],
                "source": f"{PADDLESEG_COMMIT} configs/{name}/README.md",
            }
            before = _BEFORE.get((row["backbone"], row["dataset"]))
            if network == "gcnet" and before is not None:
                row |= {"msflip": before, "corrected": msflip}
            yield row


def _mmseg_recipe(network: str, batch: str | None) -> str:
    """Return the name of a file of experiments/recipe/."""
    name = "mmseg" if network == "gcnet" else f"mmseg_{network}"
    return f"{name}_b16" if batch == "b16" else name


def _paddleseg_recipe(network: str, depth: str, dataset: str) -> str:
    """Return the name of a file of experiments/recipe/; empty for GCNet's, which is the default."""
    if network == "psp" and dataset == "voc12aug":
        return "paddleseg_psp_voc" + ("_r101" if depth == "101" else "")
    return "" if network == "gcnet" else f"paddleseg_{network}"


def _aligns_corners(path: Path) -> bool:
    """Return whether a configuration of PaddleSeg aligns corners, which is not its default."""
    settings = yaml.safe_load(path.read_text())
    model = settings.get("model", {})
    if "align_corners" in model or not settings["_base_"].startswith(path.stem.split("_")[0]):
        return bool(model.get("align_corners", False))
    return _aligns_corners(path.parent / settings["_base_"])


def _percent(score: object) -> str:
    """Return a score with two digits; empty for none."""
    text = str(score).rstrip("%")
    return "" if text == "-" else f"{float(text):.2f}"


def _place(row: dict[str, str]) -> tuple[object, ...]:
    """Return the key by which rows are in the table's order."""
    size = (row["crop"] == "769x769", int(row["iters"]), int(row["batch_size"]))
    data = list(DATASETS.values()).index(row["dataset"])
    network = list(MMSEG).index(row["network"])
    backbone = (row["variant"] == "v1b", len(row["backbone"]))
    return row["framework"] != "paddleseg", network, data, *size, *backbone


def main() -> None:
    """Write the table, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mmseg", type=Path, help="mmsegmentation's folder configs")
    parser.add_argument("paddleseg", type=Path, help="PaddleSeg's folder configs")
    parser.add_argument("--check", action="store_true", help="compare with the table")
    given = parser.parse_args()
    rows = [*mmseg_rows(given.mmseg), *paddleseg_rows(given.paddleseg)]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=_place))
    if not given.check:
        TABLE.write_text(text.getvalue())
    elif TABLE.read_text() != text.getvalue():
        sys.exit(f"{TABLE} is not what the lists say")
    print(f"{TABLE}: {len(rows)} networks")


if __name__ == "__main__":
    main()
