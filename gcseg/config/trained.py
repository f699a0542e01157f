"""Find the checkpoint of a command, and the settings that it was trained with."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from gcseg.config.checks import SettingError
from gcseg.config.command import check_settings, run_command
from gcseg.config.command_line import asks_for_information, given, overrides_of
from gcseg.config.compose import compose, source_folder
from gcseg.config.meant import first_unknown
from gcseg.config.published_rows import no_such_row, rows
from gcseg.config.recorded import allowed, checked, read_recorded, recorded_cause
from gcseg.config.row import is_name
from gcseg.errors import ConfigError, WeightsError
from gcseg.exports.names import format_of
from gcseg.publishing.names import WEIGHTS, is_published, weights_in
from gcseg.publishing.settings import default_root
from gcseg.runs.folder import RunFolder, run_folder_of
from gcseg.runs.name import fingerprint
from gcseg.system.files import at_home
from gcseg.system.links import leads_out, refuse_links
from gcseg.system.signals import interrupted_by_sigterm
from gcseg.system.text import say
from gcseg.zoo import catalogue, hub

TRAINING_SETTINGS = ("cache", "cache_folder", "freeze")
"""Settings of the recorded groups that belong to the training, not to the checkpoint."""


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint as the command line names it.

    Args:
        checkpoint: A file, a run folder, a published folder, or a name of the catalogue or of the
            hub; None where none was given.
        config: Known plain settings that it was trained with.
        row: Plain settings of the row that `published=` names, if any.
    """

    checkpoint: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    row: Mapping[str, Any] | None = None

    def path(self) -> Path:
        """Path of the checkpoint's file, downloaded if neither here nor in the cache.

        Raises:
            WeightsError: There is no such checkpoint.
            DownloadError: It can't be downloaded.
        """
        return find_checkpoint(str(self.checkpoint))


def run_with_checkpoint(
    config_name: str,
    task: Callable[[DictConfig, CheckpointRef], object],
    *,
    setting: str = "checkpoint",
    first: Callable[[list[str]], object] = lambda arguments: None,
    needs_data: bool = True,
) -> None:
    """Run a command whose network and dataset are those of `checkpoint=` or `published=`.

    Args:
        config_name: See `gcseg.config.command.run_command`.
        task: Function that runs the command with the configuration and the checkpoint.
        setting: Setting that names the checkpoint.
        first: Callback that gets the command line before the checkpoint is read, and may change it.
        needs_data: See `offer_trained_options`.
    """
    trained = CheckpointRef()

    def prepare(arguments: list[str]) -> None:
        nonlocal trained
        first(arguments)
        trained = offer_trained_options(arguments, needs_data=needs_data, setting=setting)
        if trained.checkpoint is None and not asks_for_information(arguments):
            raise first_unknown(arguments, config_name) or ConfigError(
                f"{setting} is not set", f"give {setting}=..."
            )

    def in_file(error: SettingError) -> str | None:
        return recorded_cause(error, trained.config, trained.checkpoint, sys.argv[1:])

    def run(cfg: DictConfig) -> None:
        with interrupted_by_sigterm():
            task(cfg, trained)

    run_command(config_name, run, prepare=prepare, in_file=in_file)


def composed_for_checkpoint(
    config_name: str, arguments: list[str], *, needs_data: bool = True
) -> tuple[DictConfig, CheckpointRef]:
    """Compose and check the settings of a command for the checkpoint that they name.

    Args:
        config_name: See `gcseg.config.command.run_command`.
        arguments: The command line.
        needs_data: See `offer_trained_options`.

    Raises:
        ConfigError: A setting is wrong.
        WeightsError: The checkpoint does not exist or does not show its network.
        HydraException: An override does not exist.
    """
    trained = offer_trained_options(arguments, needs_data=needs_data)
    if trained.checkpoint is None:
        raise ConfigError("checkpoint is not set", "give checkpoint=...")
    cfg = compose(config_name, arguments)

    def in_file(error: SettingError) -> str | None:
        return recorded_cause(error, trained.config, trained.checkpoint, arguments)

    check_settings(cfg, config_name, in_file)
    return cfg, trained


def run_with_run_folder(config_name: str, task: Callable[[DictConfig, Path], None]) -> None:
    """Run a command about the run folder of `run=`, which may have lost its checkpoint.

    Args:
        config_name: See `gcseg.config.command.run_command`.
        task: Function that runs the command with the configuration and the folder.
    """
    folder = Path()
    config: Mapping[str, Any] = {}

    def prepare(arguments: list[str]) -> None:
        nonlocal folder, config
        named = _path(arguments, "run")
        if named is not None:
            folder = at_home(named)
            config = _of_run_folder(folder)
        elif not asks_for_information(arguments):
            raise first_unknown(arguments, config_name) or ConfigError(
                "run is not set",
                "give run=runs/<name>"
                + (", or sweep=runs/sweeps/<name>" if config_name == "report" else ""),
            )
        _offer(config, arguments, folder)

    def in_file(error: SettingError) -> str | None:
        return recorded_cause(error, config, folder, sys.argv[1:])

    run_command(config_name, lambda cfg: task(cfg, folder), prepare=prepare, in_file=in_file)


def _of_run_folder(folder: Path) -> Mapping[str, Any]:
    """Settings of a run folder, or of its checkpoint if config.yaml is missing.

    Raises:
        ConfigError: The folder is not a run folder.
        WeightsError: The file can't be read.
    """
    run = RunFolder(folder)
    if run.config.is_file():
        return _complete(read_recorded(run.config))
    checkpoint = run.best_or_last()
    config = None
    if checkpoint is not None and not leads_out(checkpoint, folder):
        config = recorded_config(checkpoint)
    if config is None:
        raise ConfigError(f"run={folder} is not a run folder", "give run=runs/<name>")
    return config


def offer_trained_options(
    arguments: list[str], *, needs_data: bool = True, setting: str = "checkpoint"
) -> CheckpointRef:
    """Offer the settings of the named checkpoint as option `trained` of their groups.

    Hydra composes them like any other option: `dataset.root=...` changes one value,
    `dataset=voc` takes another dataset.

    Args:
        arguments: The command line.
        needs_data: Whether the dataset's files are read, if the command line names no others.
        setting: Setting that names the checkpoint.

    Raises:
        ConfigError: Several checkpoints are given, the published row is unknown, or the dataset
            has to be named.
        WeightsError: The checkpoint does not exist or does not show its network.
    """
    trained = checkpoint_ref(_path(arguments, setting), _path(arguments, "published"))
    known = "dataset" in trained.config or any(overrides_of(arguments, "dataset"))
    if trained.checkpoint and not known:
        raise ConfigError(
            f"{trained.checkpoint} does not say which dataset it is for",
            "add dataset=cityscapes, voc, ade20k, camvid or folder",
        )
    others = any(given(arguments, key) is not None for key in ("images", "source"))
    needs_data = needs_data and not (others and given(arguments, "mask_values") != "dataset")
    _offer(trained.config, arguments, trained.checkpoint, reads_data=needs_data)
    if (
        needs_data
        and trained.checkpoint
        and not any(given(arguments, key) is not None for key in ("dataset", "dataset.root"))
    ):
        _check_root(trained)
    return trained


def _check_root(trained: CheckpointRef) -> None:
    """Check that a run's relative dataset.root exists in the working folder.

    Raises:
        ConfigError: It does not exist here, but relative to a parent of the run folder.
    """
    root = (trained.config.get("dataset") or {}).get("root")
    folder = at_home(str(trained.checkpoint)).absolute()
    # Of the two ways to look, os.path's accepts names of any length.
    if not isinstance(root, str) or Path(root).is_absolute() or os.path.exists(root):  # noqa: PTH110
        return
    for place in folder.parents:
        if os.path.isdir(place / root):  # noqa: PTH112
            raise ConfigError(
                f"{trained.checkpoint} was trained on dataset.root={root}, which is not here",
                f"give dataset.root={place / root} if the dataset is there",
            )


def _offer(
    config: Mapping[str, Any], arguments: Sequence[str], source: object, *, reads_data: bool = True
) -> None:
    """Offer the settings of a training as option `trained` of their groups.

    Raises:
        ConfigError: They name a callable or files that need the user's consent.
    """
    store = ConfigStore.instance()
    for group, settings in allowed(config, arguments, source, reads_data=reads_data).items():
        node = {key: value for key, value in settings.items() if key not in TRAINING_SETTINGS}
        store.store(group=group, name="trained", node=node)


def _path(arguments: Sequence[str], key: str) -> str | None:
    """Look up the path or name that a command line gives to a setting, if any.

    Raises:
        ConfigError: The value is something else, or there are several.
    """
    value = given(arguments, key)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ConfigError(f"{key}={value}", "give a path or a name; write digits alone as ./2024")
    return value


def checkpoint_ref(checkpoint: str | None, published: str | None) -> CheckpointRef:
    """Look up a checkpoint, and the settings that it was trained with.

    Args:
        checkpoint: Value of the setting checkpoint, if any.
        published: Value of the setting published, if any.

    Raises:
        ConfigError: The published row is unknown, or another one's checkpoint is given.
        WeightsError: The checkpoint does not exist or does not show its network.
    """
    row = None if published is None else published_config(published)
    if checkpoint is None:
        return (
            CheckpointRef()
            if row is None
            else CheckpointRef(row["published"]["checkpoint"], row, row)
        )
    if not hub.is_on_hub(checkpoint) and not at_home(checkpoint).exists():
        record = _find(checkpoint)
        if row is not None and record.name != row["published"]["checkpoint"]:
            raise ConfigError(
                f"{checkpoint} is not what published={published} scores",
                f"leave one of them out, or take published={record.experiment}",
            )
        return CheckpointRef(checkpoint, published_config(str(record.experiment)), row)
    path = find_checkpoint(checkpoint)
    return CheckpointRef(checkpoint, recorded_config(path) or _foreign_config(path, row), row)


def _foreign_config(path: Path, row: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Infer the settings of a file that does not record them.

    They are those of the published row, if the file is taken to be that row's or has its file's
    name, or else what the weights show.
    """
    if row is not None:
        return row
    record = catalogue.by_file_name(path)
    if record is not None and record.experiment is not None:
        say(f"{path.name} is treated as {record.name}, because of its name")
        return published_config(record.experiment)
    return described_config(path)


def published_config(name: str) -> Mapping[str, Any]:
    """Load the settings of `published=name`, resolved.

    Raises:
        ConfigError: There is no such row.
    """
    if name not in rows():
        raise no_such_row(name)
    return OmegaConf.to_container(compose("train", [f"published={name}"]), resolve=True)  # type: ignore[return-value]


def find_checkpoint(path: str) -> Path:
    """Find a checkpoint's file.

    Args:
        path: The file, its run folder (then `checkpoints/best.ckpt`, or `last.ckpt`), a published
            folder (then its weights, whatever else is in it), or a name of the catalogue or of the
            hub (then downloaded if not in the cache).

    Raises:
        WeightsError: There is no such checkpoint.
        DownloadError: It can't be downloaded.
    """
    given = hub.published(path, WEIGHTS) if hub.is_on_hub(path) else at_home(path)
    if given.is_file():
        return given
    if not given.is_dir():
        return catalogue.resolve(_find(path).name)
    run = RunFolder(given)
    published = hub.is_on_hub(path) or is_published(given)
    found = (weights_in(given) if published else None) or run.best_or_last() or weights_in(given)
    if found is None:
        raise WeightsError(
            f"there is no checkpoint {run.best}", "give checkpoint= a .ckpt file or a run folder"
        )
    return found


def _find(checkpoint: str) -> catalogue.Record:
    """Find a published network by its name.

    Raises:
        WeightsError: There is no such network.
    """
    try:
        record = catalogue.find(checkpoint)
    except WeightsError as error:
        raise WeightsError(
            f"there is no checkpoint {checkpoint}",
            f"give checkpoint= a file, a run folder or a published name; {error.remedy}",
        ) from None
    if record.experiment is None:
        raise WeightsError(
            f"{checkpoint} is a backbone without a head",
            f"train with backbone.pretrained={checkpoint}",
        )
    return record


def recorded_config(checkpoint: Path) -> Mapping[str, Any] | None:
    """Read the configuration that a checkpoint was trained with; None if it is not recorded.

    Read from config.yaml of its run folder, or else from the checkpoint itself. An export's are
    always its own.

    Raises:
        WeightsError: The file can't be read.
    """
    if format_of(checkpoint) is not None:
        from gcseg.exports.network import read_record

        config = read_record(checkpoint).get("config")
        return _complete(checked(config, checkpoint))
    run = run_folder_of(checkpoint)
    if run is not None:
        return _complete(read_recorded(run.config))
    from gcseg.weights import own_record, read_checkpoint_file

    record = own_record(read_checkpoint_file(checkpoint).extra)
    config = record.get("config")
    if not isinstance(config, Mapping):
        return None
    settings = checked(config, checkpoint)
    return _complete(_placed(settings) if "published" in record else settings)


def _placed(settings: dict[str, Any]) -> dict[str, Any]:
    """Set the root of a published network's dataset to where datasets are by default here."""
    dataset = settings.get("dataset")
    if dataset is None or not is_name(dataset["name"]):
        return settings
    root = Path(default_root(dataset["name"]))
    if data := os.environ.get("GCSEG_DATA"):
        root = at_home(data) / root.name
    return {**settings, "dataset": {**dataset, "root": str(root)}}


def described_config(checkpoint: Path) -> Mapping[str, Any]:
    """Infer the network's settings from its weights, and the protocol of its framework.

    Raises:
        WeightsError: The file does not hold a known network.
    """
    from gcseg.weights import describe, network_settings, read_checkpoint_file

    content = read_checkpoint_file(checkpoint)
    try:
        description = describe(content.tensors, content.extra)
    except WeightsError as error:
        raise WeightsError(f"{checkpoint}: {error.cause}", error.remedy) from error
    settings = network_settings(description)
    # In a configuration, the channels of the pictures are the dataset's.
    backbone = {key: one for key, one in settings["backbone"].items() if key != "in_channels"}
    return _complete({**settings, "backbone": backbone}, protocol=description.protocol)


def _complete(config: Mapping[str, Any], protocol: str = "paddleseg") -> Mapping[str, Any]:
    """Add missing settings of evaluation, as for other frameworks' checkpoints."""
    if "protocol" not in config:
        text = (source_folder("conf") / "protocol" / f"{protocol}.yaml").read_text()
        config = {**config, "protocol": yaml.safe_load(text)}
    facts = config["protocol"]
    return {
        "normalize": {"mean": facts["mean"], "std": facts["std"]},
        "inference": {"window": None},
        **config,
    }


def output_folder(cfg: DictConfig, checkpoint: Path) -> RunFolder:
    """Output folder for a checkpoint: its run folder, or a folder under `run_root`.

    Raises:
        OutputError: A link in the folder leads out of it.
    """
    run = run_folder_of(checkpoint)
    if run is None:
        path = fingerprint({"path": str(checkpoint.resolve())})  # checkpoints may share a name
        run = RunFolder(Path(cfg.run_root) / f"{checkpoint.stem}-{path}")
    refuse_links(run.path)
    return run
