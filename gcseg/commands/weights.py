"""python -m gcseg.weights: list published checkpoints, describe a file, convert it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcseg.commands.arguments import ArgumentParser, run_chosen
from gcseg.errors import ConfigError
from gcseg.publishing.names import WEIGHTS, is_published, weights_in
from gcseg.runs.folder import RunFolder
from gcseg.runs.modes import MODE_TITLES
from gcseg.system.files import at_home
from gcseg.system.text import listed, percent, say, shown
from gcseg.zoo import catalogue, hub

if TYPE_CHECKING:
    from gcseg.weights import CheckpointFile


def main(arguments: list[str] | None = None) -> None:
    """Run a command; exit with status 1 and one line on an error that the user can fix."""
    run_chosen(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m gcseg.weights",
        description="List published checkpoints, show the contents of a checkpoint, or convert it.",
    )
    commands = parser.add_subparsers(required=True, metavar="{list,info,convert}")

    command = commands.add_parser("list", help="list the published checkpoints")
    command.add_argument("--dataset", help="only networks trained on this dataset")
    command.add_argument("--network", help="only networks of this name, such as gcnet or nonlocal")
    command.set_defaults(run=_list)

    command = commands.add_parser("info", help="show the contents of a checkpoint")
    command.add_argument("checkpoint", help="a file, or a name from the list (downloaded once)")
    command.set_defaults(run=_info)

    command = commands.add_parser("convert", help="write a checkpoint in another format")
    command.add_argument("source", help="a file, or a name from the list (downloaded once)")
    command.add_argument(
        "target",
        type=Path,
        help="file to write, in .ckpt or .safetensors (gcseg), .pdparams (PaddleSeg) or .pth "
        "(mmsegmentation)",
    )
    command.add_argument("--force", action="store_true", help="overwrite an existing file")
    command.add_argument(
        "--variant", help="variant of the backbone, if its weights fit several (vd, v1d, d)"
    )
    command.add_argument(
        "--weights",
        choices=("ema", "raw"),
        help="after a training with ema.decay: the moving average (default) or the raw weights",
    )
    command.set_defaults(run=_convert)
    return parser


def _list(given: argparse.Namespace) -> None:
    from rich.table import Table

    from gcseg.system.terminal import TextConsole

    records = catalogue.records()
    datasets = dict.fromkeys(record.dataset for record in records if record.kind == "network")
    if given.dataset not in (None, *datasets):
        raise ConfigError(f"--dataset {given.dataset}", f"use one of {', '.join(datasets)}")
    names = dict.fromkeys(record.network for record in records if record.network)
    if given.network not in (None, *names):
        raise ConfigError(f"--network {given.network}", f"use one of {', '.join(names)}")
    networks = Table(title="networks, with published mIoU in percent", title_justify="left")
    for title in ("name", "backbone"):
        networks.add_column(title, no_wrap=True)
    for mode in MODE_TITLES:
        networks.add_column(mode, justify="right")
    backbones = Table(title="backbones, for backbone.pretrained=", title_justify="left")
    for title in ("name", "backbone", "trained on"):
        backbones.add_column(title, no_wrap=title == "name")
    for record in records:
        wanted = given.dataset in (None, record.dataset) and given.network in (None, record.network)
        if record.kind == "network" and wanted:
            scores = (percent(record.miou.get(mode), "-") for mode in MODE_TITLES)
            networks.add_row(record.name, _network(record), *scores)
        elif record.kind == "backbone":
            backbones.add_row(record.name, _network(record), record.dataset)
    console = TextConsole()
    # Names are for copying: a line that is too long is better than a truncated name.
    wide = console.options.update(width=200)
    console.width = max(console.width, console.measure(networks, options=wide).maximum)
    console.print(networks)
    if given.dataset is None and given.network is None:
        console.print(backbones)


def _info(given: argparse.Namespace) -> None:
    from gcseg.system.files import sha256_of
    from gcseg.weights.architecture import describe
    from gcseg.weights.ema import is_averaged
    from gcseg.weights.heads import known_head
    from gcseg.weights.other_parts import other_parts
    from gcseg.weights.overrides import overrides
    from gcseg.weights.reading import RAW_WEIGHTS, read_checkpoint_file

    path = _file(given.checkpoint)
    file = read_checkpoint_file(path)
    digest = sha256_of(path)
    record, how = _published(given.checkpoint, path, digest)
    lines = {
        "file": f"{path}, {path.stat().st_size / 1e6:.1f} MB",
        "sha256": digest,
        "format": f"{file.format}, {len(file.tensors)} tensors",
    }
    if file.extra:
        lines["other content"] = listed(map(shown, file.extra), most=20)
    if is_averaged(file.extra):
        raw = "; the file also holds the raw weights" if RAW_WEIGHTS in file.extra else ""
        lines["weights"] = f"the moving average of a training{raw}"
    if record is not None:
        scores = [f"{mode} {percent(miou, '-')}" for mode, miou in record.miou.items()]
        lines["published"] = f"{record.name}, by its {how}; trained on {record.dataset}" + (
            f"; mIoU in percent: {', '.join(scores)}, by {record.source}" if scores else ""
        )
    _print(lines)
    if parts := other_parts(file.extra):
        _print(_of_record(file, parts))
        return
    description = describe(file.tensors, file.extra, **_known(record))
    name = f"{description.backbone['name']} {description.backbone['variant']}"
    others = [variant for variant in description.variants if variant != name.split()[1]]
    lines = {"names": f"of {description.keys.source}"}
    if description.head is None:
        lines["network"] = f"backbone {name}"
    else:
        known = known_head(description.head["name"])
        title = "a network" if known is None else known.titles[description.head["name"]]
        lines["network"] = f"{title} with {name}, {description.num_classes} classes"
    if others:
        lines["network"] += f" (or variant {' or '.join(others)}, by names and shapes)"
    lines["parameters"] = f"{description.parameters:,}"
    settings = overrides(description)
    if description.head is None:
        settings.append(f"backbone.pretrained={given.checkpoint}")
    lines["settings"] = " ".join(settings)
    if description.unused:
        lines["not used"] = listed(map(shown, description.unused))
    if description.unknown:
        lines["unknown"] = listed(map(shown, description.unknown), most=5)
    _print(lines)


def _of_record(file: CheckpointFile, parts: Sequence[str]) -> dict[str, str]:
    """Describe a network by the record of its training, as its weights do not show it."""
    from gcseg.weights.other_parts import parameter_count, recorded_overrides
    from gcseg.weights.records import own_record

    classes = own_record(file.extra).get("classes")
    lines = {
        "names": "of gcseg",
        "network": f"with {', '.join(parts)}, as the file says"
        + (f"; {len(classes)} classes" if isinstance(classes, list) else ""),
        "parameters": f"{parameter_count(file.tensors):,}",
    }
    if settings := recorded_overrides(file.extra):
        lines["settings"] = " ".join(settings)
    return lines


def _convert(given: argparse.Namespace) -> None:
    from gcseg.system.files import sha256_of
    from gcseg.weights.convert import convert

    path = _file(given.source)
    record, _ = _published(given.source, path, sha256_of(path))
    known = _known(record)
    if given.variant is not None:
        known["variant"] = given.variant
    notes = convert(path, given.target, force=given.force, kind=given.weights, **known)
    say(f"wrote {given.target}")
    for note in notes:
        say(note)


def _file(given: str) -> Path:
    """A file, a run folder's best checkpoint, a published folder's weights, or one of the list."""
    if hub.is_on_hub(given):
        return hub.published(given, WEIGHTS) / WEIGHTS
    folder = at_home(given)
    best = RunFolder(folder).best
    if best.is_file() and not is_published(folder):
        return best
    return weights_in(folder) or catalogue.resolve(given)


def _published(given: str, path: Path, digest: str) -> tuple[catalogue.Record | None, str]:
    """Find the published checkpoint that a file is, and the kind of evidence for it."""
    if not hub.is_on_hub(given) and not at_home(given).exists():
        return catalogue.find(given), "name"
    records = catalogue.records()
    for record in records:
        if record.sha256 is not None and digest.startswith(record.sha256):
            return record, "checksum"
    named = catalogue.by_file_name(path)
    if named is not None and named.sha256 is None:
        return named, "file name"
    return None, ""


_UNSEEN = ("variant", "align_corners", "multi_grid")


def _known(record: catalogue.Record | None) -> dict[str, Any]:
    """Facts of the list about a network that its weights do not show."""
    architecture = {} if record is None else record.architecture
    return {key: architecture[key] for key in _UNSEEN if key in architecture}


def _network(record: catalogue.Record) -> str:
    """Name of a record's backbone, such as `r50 vd`."""
    architecture = record.architecture
    backbone = architecture.get("backbone") or f"r{architecture['depth']}"
    return f"{backbone} {architecture['variant']}"


def _print(lines: Mapping[str, str]) -> None:
    for key, value in lines.items():
        say(f"{key:<15}{value}")
