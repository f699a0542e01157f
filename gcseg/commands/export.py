"""python -m gcseg.export: a trained network in another program's format, with proof."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from gcseg.config.plain import plain
from gcseg.config.recorded import GROUPS
from gcseg.config.trained import CheckpointRef, output_folder, run_with_checkpoint
from gcseg.errors import ConfigError, OutputError, WeightsError
from gcseg.exports.names import SUFFIXES, format_of
from gcseg.system.files import (
    output_error,
    partial_folder,
    remove_partials,
    sha256_of,
    write_json,
)
from gcseg.system.text import counted, say

if TYPE_CHECKING:
    from torch import Tensor

    from gcseg.data.datasets import SegmentationDataset
    from gcseg.data.label_spaces import LabelSpace
    from gcseg.exports.form import Form
    from gcseg.weights import CheckpointFile


def export(cfg: DictConfig, trained: CheckpointRef) -> Path:
    """Write an export of a checkpoint, if it predicts what the checkpoint does.

    Returns:
        Path of the export.

    Raises:
        GcsegError: A setting, the checkpoint, the data or the output is wrong, or the proof fails.
    """
    # Heavy imports wait until the settings are known to be right.
    from gcseg.builders import model as build
    from gcseg.exports.formats import FORMATS
    from gcseg.exports.proof import in_words
    from gcseg.exports.record import as_text
    from gcseg.exports.writing import check_format, put_in_place, write_network
    from gcseg.predictor.build import predicted_classes
    from gcseg.weights import read_weights

    check_format(cfg.format, cfg.precision)
    checkpoint = trained.path()
    if format_of(checkpoint) is not None:
        raise ConfigError(
            f"{checkpoint} is an export already", "give the checkpoint that it was exported from"
        )
    target = _target(cfg, checkpoint)
    content = read_weights(checkpoint, cfg.weights)
    space = predicted_classes(content, cfg.dataset.name)
    pictures = _pictures(cfg, content, checkpoint, space)
    form = _form(cfg, space)
    record = _record(cfg, form, space, checkpoint)
    network = build.trained_model(cfg, space.num_classes, content, checkpoint).eval()
    with partial_folder(target) as scratch:
        say(f"writing {cfg.format}, {cfg.precision}")
        written = write_network(
            network, form, scratch, cfg.format, cfg.precision, _calibration(cfg, space)
        )
        tried = scratch / f"tried{SUFFIXES[cfg.format]}"
        FORMATS[cfg.format].embed(written, tried, as_text(record))
        proof = _proof(cfg, content, checkpoint, space, pictures, tried)
        say(f"proof: {in_words(proof)}")
        if not proof["passed"]:
            _fail(cfg, proof)
        record["proof"] = proof
        proved = scratch / f"proved{SUFFIXES[cfg.format]}"
        FORMATS[cfg.format].embed(written, proved, as_text(record))
        put_in_place(proved, target)
    note = target.with_name(f"{target.name}.json")
    write_json(note, {**record, "sha256": sha256_of(target)})
    say(f"export: {target}", f"record: {note}")
    return target


def _target(cfg: DictConfig, checkpoint: Path) -> Path:
    """Return the file to write.

    Raises:
        ConfigError: It has the suffix of another format.
        OutputError: It exists, or what a killed export has left next to it can't be removed.
    """
    suffix = SUFFIXES[cfg.format]
    ending = "" if cfg.precision == "fp32" else f"_{cfg.precision}"
    usual = output_folder(cfg, checkpoint).path / "exports" / f"{checkpoint.stem}{ending}{suffix}"
    target = Path(cfg.output) if cfg.output else usual
    if target.suffix.lower() != suffix:
        raise ConfigError(
            f"output={target} for format={cfg.format}", f"give a name that ends in {suffix}"
        )
    if target.exists() and not cfg.force:
        raise OutputError(f"{target} exists", "give another output=, or force=true to replace it")
    try:
        remove_partials(target.parent)
    except OSError as error:
        raise output_error(target, error) from error
    return target


def _form(cfg: DictConfig, space: LabelSpace) -> Form:
    from gcseg.builders import data as build_data
    from gcseg.exports.form import Form

    return Form(
        output=cfg["values"],
        preprocessing=cfg.preprocessing,
        mean=tuple(cfg.normalize.mean),
        std=tuple(cfg.normalize.std),
        full=build_data.picture_format(cfg).full,
        num_classes=space.num_classes,
    )


def _record(cfg: DictConfig, form: Form, space: LabelSpace, checkpoint: Path) -> dict[str, Any]:
    """Describe an export as plain values; classes and settings as checkpoints have them."""
    import gcseg

    settings = plain(cfg)
    return {
        "gcseg": gcseg.__version__,
        "config": {group: settings[group] for group in GROUPS if group in settings},
        "classes": list(space.names),
        "colors": [list(color) for color in space.colors],
        "export": {"format": cfg.format, "precision": cfg.precision, **form.plain()},
        "weights": {"file": checkpoint.name, "sha256": sha256_of(checkpoint)},
        "proof": None,
    }


def _pictures(
    cfg: DictConfig, content: CheckpointFile, checkpoint: Path, space: LabelSpace
) -> SegmentationDataset:
    """Return the pictures of the proof.

    Raises:
        ConfigError: They have no labels, which another precision than fp32 is judged by.
        DataError: They are missing, or of other classes.
    """
    from gcseg.builders import data as build_data
    from gcseg.data.datasets import images_as_dataset
    from gcseg.runs.classes import check_classes

    if cfg.proof.images is None:
        dataset = build_data.dataset(cfg, cfg.split).with_labels()
        check_classes(content.extra, dataset.label_space, checkpoint)
    elif cfg.precision == "fp32":
        dataset = images_as_dataset(Path(cfg.proof.images), space)
        dataset = dataset.in_form(build_data.picture_format(cfg))
    else:
        raise ConfigError(
            f"precision={cfg.precision} is judged by mIoU, for which proof.images has no labels",
            "leave proof.images out",
        )
    return dataset if cfg.proof.limit is None else dataset.first(cfg.proof.limit)


def _calibration(cfg: DictConfig, space: LabelSpace) -> Iterator[Tensor]:
    """Read pictures of `cfg.calibration`, normalised, evenly spaced over their split."""
    import torch

    from gcseg.builders import data as build_data
    from gcseg.data.samples import to_tensor

    dataset = build_data.dataset(cfg, cfg.calibration.split)
    preprocessing = build_data.evaluation_preprocessing(cfg)
    count = min(cfg.calibration.images, len(dataset))
    say(f"calibration: {counted(count, 'picture')} of {dataset.description}")
    for index in range(count):
        image, _ = dataset.read(index * len(dataset) // count)
        yield to_tensor(preprocessing(image=image)["image"])[None].to(torch.float32)


def _proof(
    cfg: DictConfig,
    content: CheckpointFile,
    checkpoint: Path,
    space: LabelSpace,
    pictures: SegmentationDataset,
    export: Path,
) -> dict[str, Any]:
    """Predict pictures by the network in PyTorch and by its export, as evaluation does."""
    from gcseg.exports.proof import Comparison
    from gcseg.exports.reading import read_trained
    from gcseg.predictor.build import trained_network
    from gcseg.runs.name import pictures_digest
    from gcseg.system.terminal import progress_bar

    ours = OmegaConf.merge(cfg, {"trust": True})  # this process has written the file
    assert isinstance(ours, DictConfig)
    before = trained_network(cfg, content, checkpoint, space)
    after = trained_network(ours, read_trained(export), export, space)

    comparison = Comparison(space.names)
    with progress_bar("proving") as progress:
        for number, pair in enumerate(pictures.pairs):
            image, label = pictures.read(number)
            masks = [
                network.predict([network.prepare(image)], [pair.name], confidence=False)[0].mask
                for network in (before, after)
            ]
            comparison.add(masks[0], masks[1], label)
            progress(number + 1, len(pictures))
    names = [pair.name for pair in pictures.pairs]
    split = None if cfg.proof.images is not None else cfg.split
    return comparison.proof(cfg.precision, {"split": split, "pictures": pictures_digest(names)})


def _fail(cfg: DictConfig, proof: dict[str, Any]) -> None:
    """Refuse an export whose proof fails, or mark it.

    Raises:
        WeightsError: It is refused.
    """
    limits = proof["limits"]
    needed = f"at most {100 * limits['miou_lost_at_most']:g} points of mIoU may be lost"
    if limits["equal_at_least"]:
        needed = f"{100 * limits['equal_at_least']:g} % have to be equal, and {needed}"
    if not cfg.force:
        raise WeightsError(
            f"the export is not the trained network: {needed}",
            "force=true keeps it, marked; int8 may gain from more calibration.images",
        )
    say(f"warning: the proof failed ({needed}); kept because of force=true, and marked")
    proof["forced"] = True


def main() -> None:
    """Export a checkpoint."""
    run_with_checkpoint("export", export)
