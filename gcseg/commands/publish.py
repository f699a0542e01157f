"""python -m gcseg.publish: a finished run as a folder that others can use and verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig

from gcseg.commands.reproduced import Reproduced, chosen, environment, reproduce, with_protocol
from gcseg.config.recorded import read_recorded
from gcseg.config.trained import run_with_run_folder
from gcseg.errors import WeightsError
from gcseg.runs.folder import CONFIG_FILE, CONFUSION_FOLDER, METRICS_FILE, RESULTS_FILE, RunFolder
from gcseg.system.files import at_home, sha256_of
from gcseg.system.launch import hide_ddp_warnings
from gcseg.system.text import counted, listed, percent, say

if TYPE_CHECKING:
    from gcseg.publishing.compare import Counts
    from gcseg.publishing.evaluations import Scored
    from gcseg.runs.reading import Evaluation, RunFiles
    from gcseg.weights import CheckpointFile

_ROUNDED = 1e-9
"""Largest difference of an mIoU that is summed in another order."""
MOST_MOVED = 0.001
"""Largest share of the pixels that rounding on another machine may move in a confusion matrix."""


def publish(cfg: DictConfig, folder: Path) -> None:
    """Write the published folder of a run folder.

    Raises:
        GcsegError: A setting, the run folder, the data or the output is wrong, or the weights do
            not give the run's scores.
    """
    hide_ddp_warnings(cfg.devices, cfg.num_nodes)
    # Heavy imports wait until the settings are known to be right.
    from gcseg.publishing.evaluations import check_finished, published
    from gcseg.publishing.exports import proved_exports
    from gcseg.publishing.new_folder import check_new
    from gcseg.publishing.settings import shareable
    from gcseg.runs.reading import read_run
    from gcseg.system.links import refuse_links
    from gcseg.weights import read_weights

    run = read_run(folder)
    refuse_links(folder)
    check_finished(run)
    evaluations, others = published(run)
    evaluations = chosen(cfg, evaluations)
    output = at_home(cfg.output) if cfg.output else folder / "published"
    check_new(output)
    best = RunFolder(folder).best
    formats = cfg.export
    if formats is not None:
        formats = list(formats) if isinstance(formats, ListConfig) else [formats]
    exports, notes = proved_exports(folder, best, formats)
    content = read_weights(best)  # refuses weights that are not finite
    trained = read_recorded(RunFolder(folder).config)
    settings, stripped = shareable(trained)
    precision = str(trained.get("precision", 32))
    cfg = with_protocol(cfg, precision, bool(trained.get("channels_last", True)))
    results = reproduce(cfg, content, best, evaluations)
    if not results.is_first:
        return
    say(*stripped, *notes)
    say(*(f"left out: {name}, {why}" for name, why in others.items()))
    _check_scores(run, results)
    if cfg.license is None:
        say("no licence: the card says so; license=apache-2.0, for instance, states one")
    _write(cfg, run, output, content, settings, evaluations, results, exports)
    say(
        f"published: {output}, ready for hf upload OWNER/NAME {output} .",
        f"others verify it with python -m gcseg.verify {output} dataset.root=...",
    )


def _check_scores(run: RunFiles, results: Reproduced) -> None:
    """Compare the confusion matrices with those of the run.

    Raises:
        WeightsError: They differ by more than rounding.
    """
    from gcseg.publishing.compare import in_words, moved_pixels

    for one in run.evaluations:
        matrix = results.matrices.get(one.name)
        if matrix is None:
            continue
        before, again = one.record["miou"], results.records[one.name]["miou"]
        scores = f"mIoU {percent(again, '-')} %, {percent(before, '-')} % in the run"
        remedy = (
            f"give the run's own dataset.root=, or score the run here with gcseg.eval "
            f"{run.argument('checkpoint')}"
        )
        if not _is_of(one, matrix):
            if before is None or again is None or abs(before - again) > MOST_MOVED:
                raise WeightsError(f"{one.name}: {scores}", remedy)
            say(f"{one.name}: {scores}; the run has no confusion matrix of these scores")
            continue
        assert one.confusion is not None
        words = in_words(matrix, one.confusion.counts, results.classes)
        if not words:
            say(f"{one.name}: the weights give the run's confusion matrix ({scores})")
        elif moved_pixels(matrix, one.confusion.counts) > MOST_MOVED * matrix.sum():
            raise WeightsError(f"{one.name}: {'; '.join(words)} ({scores})", remedy)
        else:
            say(f"{one.name}: {words[0]} than in the run ({scores}); published as counted here")


def _is_of(one: Evaluation, matrix: Counts) -> bool:
    """Return whether the run has the confusion matrix that an evaluation's mIoU is of.

    Before version 0.2.0, evaluations of several modes had one another's.
    """
    import torch

    from gcseg.metrics.scores import scores

    if one.confusion is None or one.confusion.counts.shape != matrix.shape:
        return False
    miou = scores(torch.from_numpy(one.confusion.counts), one.confusion.names).miou
    return miou == one.record["miou"] or (
        miou is not None and abs(miou - (one.record["miou"] or 0)) < _ROUNDED
    )


def _write(
    cfg: DictConfig,
    run: RunFiles,
    output: Path,
    content: CheckpointFile,
    settings: Mapping[str, Any],
    evaluations: Mapping[str, Scored],
    results: Reproduced,
    exports: Sequence[Path],
) -> None:
    """Write the folder, the manifest last."""
    from gcseg import __version__
    from gcseg.publishing import card as model_card
    from gcseg.publishing.data_files import meaning_of_labels
    from gcseg.publishing.exports import write_export
    from gcseg.publishing.manifest import write_manifest
    from gcseg.publishing.names import CARD, EXPORTS_FOLDER
    from gcseg.publishing.new_folder import new_folder
    from gcseg.publishing.write import (
        as_json,
        copy_table,
        write_settings,
        write_text,
        write_weights,
    )
    from gcseg.weights import is_averaged

    source = RunFolder(run.folder)
    name = str(run.results.get("name", run.folder.resolve().name))
    about = {"gcseg": __version__, "name": name}
    with new_folder(output) as new:
        write_weights(new, content, settings, about)
        write_settings(new / CONFIG_FILE, settings)
        if not copy_table(source.metrics, new / METRICS_FILE, run.folder):
            say(f"left out: {METRICS_FILE}, which the run folder does not have")
        tables = _write_tables(cfg, new, evaluations, results)
        scores = _results(run, name, results, tables)
        write_text(new / RESULTS_FILE, as_json(scores))
        for path in exports:
            write_export(path, new / EXPORTS_FOLDER)
        space = next(iter(results.splits.values())).label_space
        manifest = {
            **about,
            "weights_from": {"file": source.best.name, "sha256": sha256_of(source.best)},
            "protocol": {
                "precision": str(cfg.precision),
                "channels_last": bool(cfg.channels_last),
            },
            "environment": environment(cfg),
            "classes": {"names": list(results.classes), "values": meaning_of_labels(space)},
            "evaluations": tables,
        }
        facts = model_card.Facts(
            scores,
            evaluations,
            settings,
            manifest,
            cfg.license,
            [f"{EXPORTS_FOLDER}/{path.name}" for path in exports],
            is_averaged(content.extra),
        )
        write_text(new / CARD, model_card.card(facts))
        write_manifest(new, manifest)
        files = [path for path in new.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        say(f"{counted(len(files), 'file')}, {size / 1e6:.1f} MB")
        if exports:
            say(f"with {listed(path.name for path in exports)}")


def _write_tables(
    cfg: DictConfig, new: Path, evaluations: Mapping[str, Scored], results: Reproduced
) -> dict[str, dict[str, Any]]:
    """Write confusion matrices, digests and checksums; return the manifest's evaluations."""
    import torch

    from gcseg.publishing import data_files, predictions
    from gcseg.publishing.names import DATA_FOLDER, PREDICTIONS_FOLDER
    from gcseg.publishing.write import write_text
    from gcseg.runs.confusion import confusion_table, safe_name
    from gcseg.system.terminal import progress_bar

    for split, dataset in results.splits.items():
        with progress_bar(f"checksums of {split}") as progress:
            files = data_files.data_files(dataset, cfg.dataset.root, progress)
        write_text(new / DATA_FOLDER / f"{safe_name(split)}.csv", data_files.as_table(files))
    entries = {}
    for name, one in evaluations.items():
        entry = {
            "mode": one.mode,
            "split": one.split,
            "scales": list(one.scales),
            "flip": one.flip,
            "images": results.records[name]["images"],
            "confusion": f"{CONFUSION_FOLDER}/{safe_name(name)}.csv",
            "predictions": f"{PREDICTIONS_FOLDER}/{safe_name(name)}.csv",
            "data": f"{DATA_FOLDER}/{safe_name(one.split)}.csv",
        }
        matrix = torch.from_numpy(results.matrices[name])
        write_text(new / str(entry["confusion"]), confusion_table(matrix, results.classes))
        digests = predictions.as_table(results.predictions[name])
        write_text(new / str(entry["predictions"]), digests)
        entries[name] = entry
    return entries


def _results(
    run: RunFiles, name: str, results: Reproduced, tables: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return results.json with the published evaluations alone."""
    from gcseg.publishing.names import WEIGHTS
    from gcseg.runs.shapes import RESULTS

    kept = {key: value for key, value in run.results.items() if key in RESULTS.shapes}
    evaluations = {
        one: {**record, "checkpoint": WEIGHTS, "confusion": tables[one]["confusion"]}
        for one, record in results.records.items()
    }
    return {**kept, "name": name, "evaluations": evaluations}


def main() -> None:
    """Publish a run."""
    run_with_run_folder("publish", publish)
