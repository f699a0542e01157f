"""python -m gcseg.eval: score a checkpoint."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gcseg.config.compose import source_folder
from gcseg.config.plain import plain
from gcseg.config.trained import CheckpointRef, output_folder, run_with_checkpoint
from gcseg.runs.folder import run_folder_of
from gcseg.runs.name import backbone_name, head_name
from gcseg.system.files import at_home, sha256_of
from gcseg.system.launch import hide_ddp_warnings
from gcseg.system.text import counted, say
from gcseg.zoo import catalogue
from gcseg.zoo.published import IMAGES, Record

if TYPE_CHECKING:
    from gcseg.data.datasets import SegmentationDataset
    from gcseg.engine.module import SegmentationModule


def evaluate(cfg: DictConfig, trained: CheckpointRef) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Score a checkpoint under the modes of `cfg.tta`; print the table and merge results.json.

    With `published=` the scores are printed next to the published ones and recorded.

    Returns:
        Path of results.json, and the records by mode; none in any but the first process.

    Raises:
        GcsegError: A setting, the checkpoint, the data or the output folder is wrong.
    """
    hide_ddp_warnings(cfg.devices, cfg.num_nodes)
    # Heavy imports wait until the settings are known to be right.
    from gcseg.builders import data as build_data
    from gcseg.builders import devices
    from gcseg.builders import model as build
    from gcseg.builders import trainer as build_trainer
    from gcseg.data.check.splits import tell_of_what_is_left_out
    from gcseg.engine.callbacks.progress import RunProgress
    from gcseg.engine.data import SegmentationData
    from gcseg.engine.evaluate import evaluate as score
    from gcseg.engine.evaluate import save_evaluations
    from gcseg.exports.reading import read_trained
    from gcseg.runs.classes import check_classes
    from gcseg.runs.evaluation_names import evaluation_keys
    from gcseg.runs.results import print_table
    from gcseg.zoo.measured import read_measurements

    if trained.row is not None:
        read_measurements(_measurements(cfg))  # a damaged file is found before the work is done
    dataset = build_data.dataset(cfg, cfg.split).with_labels()
    checkpoint = trained.path()
    results = output_folder(cfg, checkpoint).results
    content = read_trained(checkpoint, cfg.weights)
    check_classes(content.extra, dataset.label_space, checkpoint)
    module = build.trained_module(cfg, dataset.label_space.names, content, checkpoint)
    data = SegmentationData(
        build_data.cached(cfg, dataset),
        build_data.evaluation_preprocessing(cfg),
        num_workers=devices.worker_count(cfg),
    )
    trainer = build_trainer.trainer(cfg, callbacks=[RunProgress()])
    records = score(
        trainer,
        module,
        data,
        build.modes(cfg),
        split=cfg.split,
        checkpoint=checkpoint,
        analyse=cfg.explain,
    )
    by_mode: dict[str, dict[str, Any]] = {}
    if trainer.is_global_zero:
        tell_of_what_is_left_out(dataset)
        _warn_of_labels(dataset, module)
        evaluations = evaluation_keys(
            records,
            plain(cfg),
            trained.config,
            split=cfg.split,
            checkpoint=checkpoint.stem if run_folder_of(checkpoint) else "best",
        )
        evaluations, analyses = save_evaluations(results, evaluations, module, data)
        by_mode = dict(zip(records, evaluations.values(), strict=True))
        print_table(evaluations, title=f"{checkpoint} on {cfg.dataset.name} {cfg.split}")
        if analyses:
            _explain(analyses, [results.parent / one["analysis"] for one in evaluations.values()])
        say(f"results: {results}")
        if trained.row is not None:
            evaluations = evaluation_keys(records, plain(cfg), trained.row, split=cfg.split)
            record = catalogue.find(trained.row["published"]["checkpoint"])
            _compare_with_published(cfg, record, evaluations, dataset, checkpoint)
    return results, by_mode


def _warn_of_labels(dataset: SegmentationDataset, module: SegmentationModule) -> None:
    """Warn of labels that say little, such as a single class, by what was counted of them."""
    from gcseg.data.check.survey import Survey, tell

    matrix, *_ = module.matrices.values()
    pixels = tuple(matrix.sum(1).tolist())
    count = len(dataset)
    place, space = dataset.labels_description, dataset.label_space
    tell(Survey(place, space, pixels, module.ignored, count, count), notes=False)


def _explain(analyses: Mapping[str, Mapping[str, Any]], files: Iterable[Path]) -> None:
    """Print the analyses of evaluations, and the files that hold them."""
    from gcseg.report.run.console import print_explanations

    print_explanations(analyses)
    for path in files:
        say(f"analysis: {path}, scores of each image: {path.with_suffix('.csv')}")


def _compare_with_published(
    cfg: DictConfig,
    record: Record,
    evaluations: dict[str, dict[str, Any]],
    dataset: SegmentationDataset,
    checkpoint: Path,
) -> None:
    """Print and record scores next to the published ones."""
    from gcseg.runs.environment import environment
    from gcseg.runs.modes import MODE_TITLES
    from gcseg.zoo.measured import add_measurement, print_comparison

    comparable = {mode: found for mode, found in evaluations.items() if mode in MODE_TITLES}
    if not comparable:
        say(f"not comparable with the published scores: {', '.join(evaluations)}")
        return
    print_comparison(record, comparable)
    if len(dataset) != IMAGES[record.dataset] and cfg.record is None:
        say(
            f"not recorded: the split has {counted(len(dataset), 'image')}, the published scores "
            f"are for {IMAGES[record.dataset]}; record=FILE records the scores anyway"
        )
        return
    around = environment()
    path = _measurements(cfg)
    add_measurement(
        path,
        {
            "experiment": f"published={cfg.published}",
            "command": shlex.join(["python", "-m", "gcseg.eval", *sys.argv[1:]]),
            "hardware": around["gpus"] or [f"{around['cpus']} CPU cores"],
            "packages": around["packages"],
            "weights": {"file": checkpoint.name, "sha256": sha256_of(checkpoint)},
            "data": {"split": cfg.split, "images": len(dataset), "sha256": dataset.checksum()},
            "published": dict(record.miou),
            "results": {
                "backbone": backbone_name(cfg.backbone),
                "head": head_name(cfg.head),
                "dataset": cfg.dataset.name,
                "evaluations": comparable,
            },
        },
    )
    say(f"recorded: {path}")


def _measurements(cfg: DictConfig) -> Path:
    """File of measurements: in the checkout, or in the run root if there is no checkout."""
    if cfg.record is not None:
        return at_home(cfg.record)
    experiments = source_folder("experiments")
    inside = (experiments.parent / "pyproject.toml").is_file()
    return (experiments if inside else Path(cfg.run_root)) / "results.json"


def main() -> None:
    """Score a checkpoint."""
    run_with_checkpoint("eval", evaluate)
