"""Files that ask for what a file may not: that something is called, read from the environment, or
written somewhere."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

SECRET = "GCSEG_TEST_SECRET"
TOKEN = "correct-horse-battery"

Change = Callable[[dict[str, Any], Path], None]


def settings(training: Path) -> dict[str, Any]:
    """What the shared training records, with a network of gcseg's own."""
    config = yaml.safe_load((training / "config.yaml").read_text())
    config["backbone"]["_target_"] = "gcseg.models.resnet"
    return config


def write_checkpoint(path: Path, training: Path, config: dict[str, Any]) -> Path:
    content = torch.load(training / "checkpoints" / "best.ckpt", weights_only=True)
    record = {**content["gcseg"], "config": config}
    torch.save({"state_dict": content["state_dict"], "gcseg": record}, path)
    return path


def write_safetensors(path: Path, training: Path, config: dict[str, Any]) -> Path:
    content = torch.load(training / "checkpoints" / "best.ckpt", weights_only=True)
    tensors = {name: tensor.contiguous() for name, tensor in content["state_dict"].items()}
    record = {"classes": content["gcseg"]["classes"], "config": config}
    save_file(tensors, path, metadata={"gcseg": json.dumps(record)})
    return path


def write_run_folder(path: Path, training: Path, config: dict[str, Any]) -> Path:
    folder = path.with_name("strangers-run")
    shutil.copytree(training, folder)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


WRITERS = {
    "checkpoint": lambda *given: write_checkpoint(given[0].with_suffix(".ckpt"), *given[1:]),
    "safetensors": lambda *given: write_safetensors(
        given[0].with_suffix(".safetensors"), *given[1:]
    ),
    "run folder": write_run_folder,
}


def _calls(group: str, *path: str, target: str = "os.system", **arguments: Any) -> Change:
    def change(config: dict[str, Any], marker: Path) -> None:
        node = config.setdefault(group, {})
        for key in path:
            node = node.setdefault(key, {})
        node["_target_"] = target
        node.update({key: value.format(marker) for key, value in arguments.items()})

    return change


def _sets(name: str, value: Any) -> Change:
    def change(config: dict[str, Any], marker: Path) -> None:
        node = config
        *groups, key = name.split(".")
        for group in groups:
            node = node[group]
        node[key] = value.format(marker) if isinstance(value, str) and "{}" in value else value

    return change


def _replaces(group: str, value: Any) -> Change:
    def change(config: dict[str, Any], marker: Path) -> None:
        config[group] = copy.deepcopy(value)

    return change


def _bomb(config: dict[str, Any], marker: Path) -> None:
    inner: list[Any] = ["x"] * 10
    for _ in range(12):
        inner = [inner] * 10
    config["head"]["channels"] = inner


def _defaults(config: dict[str, Any], marker: Path) -> None:
    config["head"]["defaults"] = [{"/dataset@_global_": "scenes"}]


PAYLOADS: dict[str, tuple[Change, str]] = {
    "a backbone that is a command": (
        _calls("backbone", command="touch {}"), "says backbone._target_=os.system"),
    "a head that is a command": (
        _calls("head", command="touch {}"), "says head._target_=os.system"),
    "an auxiliary head that is a command": (
        _calls("auxiliary_head", command="touch {}"), "says auxiliary_head._target_=os.system"),
    "a reader that is a command": (
        _calls("dataset", "reader", command="touch {}"), "says dataset.reader._target_=os.system"),
    "a command through a module of gcseg": (
        _calls("backbone", target="gcseg.config.command.os.system", command="touch {}"),
        "says backbone._target_=gcseg.config.command.os.system"),
    "another function of gcseg": (
        _calls("head", target="gcseg.system.files.write_json", path="{}", content="x"),
        "says head._target_=gcseg.system.files.write_json"),
    "a reader as a head": (
        _calls("head", target="gcseg.data.scenes.dataset.scenes", root="{}"),
        "says head._target_=gcseg.data.scenes.dataset.scenes"),
    "a call deep inside a setting": (
        _calls("head", "channels_of", "inner", command="touch {}"),
        "says head.channels_of.inner._target_=os.system"),
    "a call where none belongs": (
        _calls("protocol", command="touch {}"), "says protocol._target_=os.system"),
    "a call in the normalisation": (
        _calls("normalize", command="touch {}"), "says normalize._target_=os.system"),
    "a call in a window": (
        _calls("inference", command="touch {}"), "says inference._target_=os.system"),
    "a call in a list": (
        _sets("dataset.reader.layout", [{"_target_": "os.system"}]),
        "says dataset.reader.layout.0._target_=os.system"),
    "a partial call": (
        _sets("backbone._partial_", True), "backbone._partial_ is reserved by Hydra"),
    "the environment in a name": (
        _sets("head.name", "${oc.env:%s}" % SECRET), "head.name is not resolved"),  # noqa: UP031
    "the environment in a root": (
        _sets("dataset.root", "/x/${oc.env:%s}" % SECRET), "dataset.root is not resolved"),  # noqa: UP031
    "a decoded interpolation": (
        _sets("dataset.name", "${oc.decode:'1'}"), "dataset.name is not resolved"),
    "further files": (_defaults, "head asks Hydra for further files with defaults"),
    "drawn scenes elsewhere": (
        _sets("dataset.root", "{}"), "a checkpoint's settings draw none"),
    "a group that is a number": (_replaces("head", 5), "head is"),
    "a list that unfolds to billions": (_bomb, "it unfolds to more than 100,000 values"),
    "a group without its settings": (
        _replaces("dataset", {"name": "x"}), "dataset.root is missing"),
    "a group that is itself": (
        lambda config, marker: config["head"].__setitem__("inner", config["head"]), ""),
}  # fmt: skip
"""By name: how the recorded settings are changed, given a path where nothing may appear, and what
the one line says."""


def snapshot(*roots: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file below some folders."""
    return {
        os.fspath(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for root in roots
        for path in root.rglob("*")
    }
