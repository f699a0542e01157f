"""Settings that a file records: data, which act only as far as conf/ and the user allow.

A checkpoint or a run folder may be a stranger's. Its settings are read as plain values; a
callable in them must be one that conf/ itself names in that place, and the dataset's files must be
below the dataset's root, unless the user trusts the file.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gcseg.config.checks import SettingError
from gcseg.config.command_line import asks_for_information, given, overrides_of
from gcseg.config.compose import source_folder
from gcseg.errors import ConfigError, WeightsError
from gcseg.system.records import RecordError, plain_values, read_yaml
from gcseg.system.text import as_override, brief, shown

GROUPS = ("backbone", "head", "auxiliary_head", "dataset", "protocol", "normalize", "inference")
"""Config groups that evaluation takes from the checkpoint, as the option `trained`."""

NETWORK = ("backbone", "head", "auxiliary_head")
"""The groups that describe a network."""

PLACES = {"context": "head.context", "backbone/context": "backbone.context"}
"""Config groups whose options are part of another group's, with their place there."""

NEEDED = {
    "backbone": ("name", "_target_"),
    "head": ("name", "_target_"),
    "auxiliary_head": ("_target_",),
    "dataset": ("name", "root", "reader", "reader._target_", "splits", "splits.train",
                "splits.val", "pad", "pad.height", "pad.width"),
    "protocol": ("mean", "std", "average", "scales", "resize"),
    "normalize": ("mean", "std"),
    "inference": ("window",),
}  # fmt: skip
"""Required settings of each group, if a file records the group at all."""

MAPPINGS = ("dataset.fit", "ema")
"""Other settings that have to be mappings, if a file records them at all."""

DRAWING = "gcseg.data.scenes.dataset.scenes"
"""Name of the reader that can draw missing data."""


def checked(config: object, source: Path) -> dict[str, Any]:
    """Check recorded settings and return them as plain values.

    Args:
        config: Settings as read from the file.
        source: The file, for messages.

    Raises:
        WeightsError: The settings are not those of a training, resolved, as gcseg writes them.
    """
    try:
        settings = plain_values(config)
        if not isinstance(settings, dict):
            raise RecordError("they are not names with values")
        for name in (*GROUPS, *MAPPINGS):
            _check_mapping(settings, name)
        for group in GROUPS:
            node = settings.get(group)
            if node is None:
                settings.pop(group, None)
            else:
                _check_plain(node, group)
                _check_complete(settings, group)
    except RecordError as error:
        raise WeightsError(
            f"the settings in {source} are refused: {error}",
            "gcseg writes no such settings, so do not trust the file",
        ) from None
    return settings


def _check_mapping(settings: Mapping[str, Any], name: str) -> None:
    node = _find(settings, name)
    if node is not None and not isinstance(node, dict):
        raise RecordError(f"{name} is {shown(brief(node))} and not names with values")


def _check_plain(node: Mapping[str, Any], group: str) -> None:
    """Check that a group holds resolved values and none of Hydra's keywords but `_target_`.

    Raises:
        RecordError: It does not.
    """
    if "defaults" in node:
        raise RecordError(f"{group} asks Hydra for further files with defaults")
    for name, value in _walk(node, group):
        last = name.rpartition(".")[2]
        if last.startswith("_") and last != "_target_":
            raise RecordError(f"{shown(name)} is reserved by Hydra")
        if last == "_target_" and not isinstance(value, str | None):
            raise RecordError(f"{shown(name)} is {shown(value)} and not a name")
        if isinstance(value, str) and ("${" in value or value == "???"):
            raise RecordError(f"{shown(name)} is not resolved ({shown(value)})")


def _check_complete(settings: Mapping[str, Any], group: str) -> None:
    for needed in NEEDED[group]:
        path, _, last = f"{group}.{needed}".rpartition(".")
        inner = _find(settings, path)
        if not isinstance(inner, dict) or last not in inner:
            raise RecordError(f"{group}.{needed} is missing")


def read_recorded(path: Path) -> dict[str, Any]:
    """Read the settings of a run folder's config.yaml; see `checked`.

    Raises:
        WeightsError: The file can't be read, or was not written by gcseg.
    """
    try:
        content = read_yaml(path, within=path.parent)
        if not isinstance(content, dict):
            raise RecordError("it does not hold names with values")
    except (FileNotFoundError, RecordError) as error:
        raise WeightsError(
            f"{path} is damaged ({error})",
            "move it away: the checkpoints next to it hold the same settings",
        ) from None
    return checked(content, path)


def allowed(
    config: Mapping[str, Any], arguments: Sequence[str], source: object, *, reads_data: bool = True
) -> dict[str, dict[str, Any]]:
    """Restrict recorded settings to what may be composed.

    Args:
        config: Settings returned by `checked`.
        arguments: The command line, which may choose other options, or contain `trust=true`.
        source: The checkpoint or run folder, for messages.
        reads_data: Whether the command reads the dataset's files; if not, settings that lead out
            of its root are left out.

    Returns:
        The settings of each of `GROUPS`; empty for groups that are not recorded.

    Raises:
        ConfigError: They name a callable that conf/ does not, or files outside the dataset's root,
            and the command line contains neither another value nor `trust=true`.
    """
    trusted = given(arguments, "trust") is True
    groups = {group: dict(config.get(group) or {}) for group in GROUPS}
    for group, node in groups.items():
        if trusted or _is_replaced(arguments, group):
            continue
        known = _callables(group)
        for name, target in _walk(node, group):
            if name.rpartition(".")[2] != "_target_" or target in known.get(name, ()):
                continue
            if given(arguments, name) is None and not asks_for_information(arguments):
                option = f"{group}=<option of --config-dir>"
                raise ConfigError(
                    f"{source} says {name}={shown(brief(target))}, which is outside gcseg "
                    "and is not called because a file names it",
                    f"if it is yours, give {option} or {name}=... on the command line, or "
                    "trust=true to run what the file names",
                )
            _replace(node, name.split(".")[1:], "???")  # replaced by the command line's value
    if not (trusted or _is_replaced(arguments, "dataset") or asks_for_information(arguments)):
        groups["dataset"] = _confined(groups["dataset"], arguments, source, reads_data)
    reader = groups["dataset"].get("reader")
    if not trusted and isinstance(reader, dict) and reader.get("_target_") == DRAWING:
        groups["dataset"] = {**groups["dataset"], "reader": {**reader, "draw": False}}
    return groups


def foreign_callables(config: Mapping[str, Any], arguments: Sequence[str] = ()) -> list[str]:
    """Return recorded callables of the network that neither conf/ nor the command line names.

    Args:
        config: Settings returned by `checked`.
        arguments: The command line of the trainings that the settings are of.
    """
    words = {word for one in arguments for word in re.split(r"[^\w.]+", one)}
    return [
        str(target)
        for group in NETWORK
        for name, target in _walk(config.get(group) or {}, group)
        if name.rpartition(".")[2] == "_target_"
        and target not in _callables(group).get(name, ())
        and target not in words
    ]


def _confined(
    dataset: dict[str, Any], arguments: Sequence[str], source: object, reads_data: bool
) -> dict[str, Any]:
    """Return a recorded dataset whose files are all below its root.

    Raises:
        ConfigError: A setting leads out of it, and the command line does not repeat the setting.
    """
    leading = {
        name: value
        for name, value in _leading_out(dataset, given(arguments, "dataset.root"))
        if not _is_given(arguments, name)
    }
    if not leading:
        return dataset
    if not reads_data and not any(name.startswith("dataset.splits") for name in leading):
        kept = {key: value for key, value in dataset["reader"].items()
                if f"dataset.reader.{key}" not in leading}  # fmt: skip
        return {**dataset, "reader": kept}
    again = " ".join(_as_override(name, value) for name, value in leading.items())
    name, value = next(iter(leading.items()))
    value = str(value).lower() if isinstance(value, bool) else brief(value)
    raise ConfigError(
        f"{source} says {name}={shown(value)}, which leads out of dataset.root and "
        "is not followed because a file says it",
        f"if it is yours, give {shown(brief(again))} on the command line, or trust=true",
    )


def _leading_out(dataset: Mapping[str, Any], root: object) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a dataset that may lead to files outside its root, with their values.

    Args:
        dataset: The dataset's settings.
        root: Root of the command line; None for the recorded one.
    """
    if not dataset:
        return
    root = os.path.abspath(str(dataset["root"] if root is None else root))  # noqa: PTH100
    for split, value in dataset["splits"].items():
        # Next to other text, even "." or nothing could become "..".
        if isinstance(value, str) and not all(part.strip(".") for part in value.split("/")):
            yield f"dataset.splits.{split}", value
    for key, value in (dataset["reader"] or {}).items():
        texts = [value, *(one for _, one in _walk(value, ""))]
        if key == "outside":
            leads = value not in (False, None)
        else:
            leads = any(isinstance(text, str) and _leaves(text, root) for text in texts)
        if leads:
            yield f"dataset.reader.{key}", value


def _leaves(path: str, root: str) -> bool:
    """Return whether a path may lead out of a folder; links count as what their names say."""
    if ".." in path.split("/"):
        return True
    below = f"{root.rstrip('/')}/"
    return path.startswith("/") and not f"{os.path.normpath(path)}/".startswith(below)


def _as_override(name: str, value: object) -> str:
    """Return a recorded setting as a command line has it."""
    if isinstance(value, bool):
        return f"{name}={str(value).lower()}"
    if isinstance(value, list):
        return f"{name}=[{','.join(map(repr, value))}]"
    return as_override(name, value)


def recorded_cause(
    error: SettingError, config: Mapping[str, Any], source: object, arguments: Sequence[str]
) -> str | None:
    """The cause of an error, with the file that says its setting or should say it.

    Args:
        error: Error of a setting of the command.
        config: Recorded settings, from `checked`.
        source: The checkpoint or run folder that they are of.
        arguments: The command line.

    Returns:
        None for a setting that the command line gives, or that no file records.
    """
    group = error.name.partition(".")[0]
    if group not in GROUPS or not config or _is_replaced(arguments, group):
        return None
    keys = {argument.lstrip("+~").partition("=")[0] for argument in arguments} - {group}
    if any(f"{key}.".startswith(f"{error.name}.") or f"{error.name}.".startswith(f"{key}.")
           for key in keys):  # fmt: skip
        return None
    if _find(config, error.name) is not None:
        return f"{source} says {error.cause}"
    missing = group not in config or error.cause.endswith("is not set")
    return f"{source} does not say {error.name}" if missing else None


def _is_given(arguments: Sequence[str], name: str) -> bool:
    """Return whether the command line gives a setting, alone or in a mapping."""
    parts = name.split(".")
    return any(
        given(arguments, ".".join(parts[:length])) is not None
        for length in range(2, len(parts) + 1)
    )


def _find(settings: Mapping[str, Any], name: str) -> Any:
    """Look up a setting by its full name; None if it does not exist."""
    node: Any = settings
    for key in name.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _walk(node: object, name: str) -> Iterator[tuple[str, Any]]:
    """Every value below a node with its full name, including mappings and lists."""
    if isinstance(node, dict):
        inner = [(f"{name}.{key}", value) for key, value in node.items()]
    elif isinstance(node, list):
        inner = [(f"{name}.{index}", value) for index, value in enumerate(node)]
    else:
        return
    for inner_name, value in inner:
        yield inner_name, value
        yield from _walk(value, inner_name)


def _is_replaced(arguments: Sequence[str], group: str) -> bool:
    """Return whether the command line chooses another option of a group than `trained`."""
    options = [one.value() for one in overrides_of(arguments, group) if not one.is_sweep_override()]
    return bool(options) and isinstance(options[-1], str) and options[-1] != "trained"


def _replace(node: dict[str, Any], path: list[str], value: object) -> None:
    for key in path[:-1]:
        node[key] = dict(node[key])
        node = node[key]
    node[path[-1]] = value


@functools.cache
def _callables(group: str) -> dict[str, set[str | None]]:
    """Collect the callables that conf/ names in a group, by the place of their `_target_`."""
    found: dict[str, set[str | None]] = {}
    inner = [(folder, at) for folder, at in PLACES.items() if at.startswith(f"{group}.")]
    for folder, place in ((group, group), *inner):
        for path in sorted((source_folder("conf") / folder).glob("*.yaml")):
            for name, value in _walk(yaml.safe_load(path.read_text()), place):
                if name.rpartition(".")[2] == "_target_":
                    found.setdefault(name, set()).add(value)
    return found
