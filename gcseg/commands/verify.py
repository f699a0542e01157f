"""python -m gcseg.verify: reproduce the scores of a published network, pixel by pixel."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gcseg.commands.reproduced import Reproduced, chosen, environment, reproduce, with_protocol
from gcseg.config.command_line import given
from gcseg.config.trained import CheckpointRef, run_with_checkpoint
from gcseg.errors import VerificationError, WeightsError
from gcseg.system.files import at_home
from gcseg.system.launch import hide_ddp_warnings, is_first_process
from gcseg.system.text import as_override, counted, listed, percent, say, shown, verb
from gcseg.zoo import hub

if TYPE_CHECKING:
    from gcseg.publishing.evaluations import Scored


def verify(cfg: DictConfig, trained: CheckpointRef) -> None:
    """Reproduce the evaluations of a published folder, whose files are as published.

    Raises:
        VerificationError: Pictures, labels or confusion matrices differ.
        GcsegError: A setting, the folder or the data is wrong.
    """
    hide_ddp_warnings(cfg.devices, cfg.num_nodes)
    # Heavy imports wait until the settings are known to be right.
    from gcseg.publishing.manifest import read_manifest
    from gcseg.publishing.names import WEIGHTS
    from gcseg.weights import read_weights

    folder, checkpoint = at_home(str(trained.checkpoint)), trained.path()
    if checkpoint != folder / WEIGHTS:  # the manifest would be of other weights
        raise WeightsError(f"{checkpoint} is not {folder / WEIGHTS}", "give the published folder")
    manifest = read_manifest(folder)
    evaluations = chosen(cfg, _scored(manifest))
    content = read_weights(checkpoint)
    protocol = manifest["protocol"]
    cfg = with_protocol(cfg, str(protocol["precision"]), protocol["channels_last"])
    results = reproduce(cfg, content, checkpoint, evaluations)
    if not results.is_first:
        return
    unlike = _compare_data(cfg, folder, manifest, evaluations, results)
    for name in evaluations:
        unlike += _compare(folder, manifest["evaluations"][name], name, results)
        unlike += _compare_scores(folder, manifest["evaluations"][name], name, results)
    if unlike:
        _say_environment(cfg, manifest)
        raise VerificationError(
            f"not reproduced: {', '.join(unlike)}", "the lines above name what differs"
        )
    say(f"verified: {listed(evaluations)} of {folder}, pixel by pixel")


def _compare_data(
    cfg: DictConfig,
    folder: Path,
    manifest: Mapping[str, Any],
    evaluations: Mapping[str, Scored],
    results: Reproduced,
) -> list[str]:
    """Compare pictures and labels with their checksums; return what differs, in a few words."""
    from gcseg.publishing import data_files
    from gcseg.system.terminal import progress_bar

    unlike = []
    for split, dataset in results.splits.items():
        name = next(
            manifest["evaluations"][name]["data"]
            for name, one in evaluations.items()
            if one.split == split
        )
        published = data_files.of_table(_read(folder, name), folder / name)
        with progress_bar(f"checksums of {split}") as progress:
            here = data_files.data_files(dataset, cfg.dataset.root, progress)
        lines = data_files.differences(here, published)
        values = manifest.get("classes", {}).get("values")
        if values is not None and values != data_files.meaning_of_labels(dataset.label_space):
            lines.append("the values of the labels stand for other classes (see the class list)")
        if lines:
            say(f"data of {shown(split)}:", *(f"  {line}" for line in lines))
            unlike.append(f"the data of {shown(split)}")
        else:
            many = counted(len(dataset), "picture")
            say(f"data of {shown(split)}: {many} with labels, all as published")
    return unlike


def _compare(folder: Path, entry: Mapping[str, Any], name: str, results: Reproduced) -> list[str]:
    """Compare a confusion matrix and the predictions; return the evaluation's name if they differ.

    Raises:
        WeightsError: The published matrix is damaged, or of other classes.
    """
    from gcseg.publishing import predictions
    from gcseg.publishing.compare import changed_pictures, in_words
    from gcseg.runs.confusion import read_confusion

    source = folder / entry["confusion"]
    published = read_confusion(_read(folder, entry["confusion"]))
    matrix = results.matrices[name]
    if published is None or tuple(published.names) != results.classes:
        raise WeightsError(
            f"{source} is damaged: it is no confusion matrix of the network's classes",
            "download the folder again",
        )
    digests = predictions.of_table(
        _read(folder, entry["predictions"]), folder / entry["predictions"]
    )
    words = in_words(matrix, published.counts, results.classes)
    pictures = changed_pictures(results.predictions[name], digests)
    miou = percent(results.records[name]["miou"], "-")
    pixels = counted(int(matrix.sum()), "pixel")
    if not words and not pictures:
        say(f"{shown(name)}: equal in all {pixels}, mIoU {miou} %")
        return []
    if not words:
        say(f"{shown(name)}: the confusion matrix is equal, mIoU {miou} %, but not all predictions")
    else:
        say(f"{shown(name)}: {words[0]}, mIoU {miou} %", *(f"  {line}" for line in words[1:]))
    if pictures:
        say(
            f"  {counted(len(pictures), 'picture')} of {len(digests):,} predicted otherwise: "
            f"{listed(map(shown, pictures), most=5)}"
        )
    else:
        say("  the pictures in both are predicted as published")
    return [shown(name)]


def _compare_scores(
    folder: Path, entry: Mapping[str, Any], name: str, results: Reproduced
) -> list[str]:
    """Compare results.json, whose scores the card claims, with the published confusion matrix.

    Where that matrix is reproduced, its scores are; where it isn't, rounding that moves a few
    pixels is no false claim.

    Args:
        folder: The published folder.
        entry: The evaluation in the manifest.
        name: Name of the evaluation.
        results: The evaluations here.

    Returns:
        In a few words, that the scores differ; empty if they don't.

    Raises:
        WeightsError: results.json is damaged.
    """
    from gcseg.publishing.claims import other_scores, read_results
    from gcseg.runs.confusion import read_confusion
    from gcseg.runs.folder import RESULTS_FILE
    from gcseg.system.records import RecordError

    published = read_confusion(_read(folder, entry["confusion"]))
    assert published is not None  # see _compare
    try:
        record = read_results(folder).get("evaluations", {}).get(name, {})
    except (FileNotFoundError, RecordError) as error:
        raise WeightsError(
            f"{folder / RESULTS_FILE} can't be read ({error})", "download the folder again"
        ) from None
    lines = other_scores(record, published.counts, results.classes)
    if not lines:
        return []
    say(f"{shown(name)}: {RESULTS_FILE} claims scores that are not those of the confusion matrix:")
    say(f"  {listed(lines, most=5)}")
    return [f"the scores of {shown(name)} in {RESULTS_FILE}"]


def _say_environment(cfg: DictConfig, manifest: Mapping[str, Any]) -> None:
    """Say how this machine differs from the one of publication, which may explain rounding."""
    here, there = environment(cfg), manifest.get("environment", {})
    flat = [
        {**{k: v for k, v in one.items() if k != "packages"}, **one.get("packages", {})}
        for one in (here, there)
    ]
    other = [
        f"{shown(key)} {shown(str(value))}, here {shown(str(flat[0].get(key)))}"
        for key, value in flat[1].items()
        if flat[0].get(key) != value
    ]
    if other:
        say(f"published with {listed(other)}: a few pixels may be rounded otherwise")


def _read(folder: Path, name: str) -> str:
    """Read a text file of a published folder.

    Raises:
        WeightsError: It can't be read.
    """
    from gcseg.publishing.names import boundary
    from gcseg.system.records import RecordError, read_text

    try:
        return read_text(folder / name, within=boundary(folder))
    except (FileNotFoundError, RecordError) as error:
        raise WeightsError(
            f"{folder / name} can't be read ({error})", "download the folder again"
        ) from None


def _check_folder(arguments: list[str]) -> None:
    """Compare the folder's files with its manifest before anything else in it is read.

    A name on the hub is replaced by the folder of the downloaded files.

    Args:
        arguments: The command line, changed in place.

    Raises:
        WeightsError: Files are missing or changed.
        DownloadError: They can't be downloaded.
    """
    from gcseg.publishing.manifest import changed_files, other_files, read_manifest
    from gcseg.publishing.names import CARD, MANIFEST

    named = given(arguments, "folder")
    if not isinstance(named, str):
        return
    if hub.is_on_hub(named):
        folder = hub.published(named, MANIFEST)
        hub.fetch_others(named, folder, read_manifest(folder)["files"])
        arguments.append(as_override("folder", folder))
        sys.argv[1:] = arguments
    else:
        folder = at_home(named)
    manifest = read_manifest(folder)
    if not is_first_process():
        return
    changed = changed_files(folder, manifest)
    edited = CARD in changed
    notes = _check_card(folder, manifest, changed) if changed.keys() <= {CARD} else []
    if changed:
        raise WeightsError(
            f"{len(changed):,} of {counted(len(manifest['files']), 'file')} of {folder} "
            "are not as published: "
            + listed(f"{shown(name)} ({why})" for name, why in changed.items()),
            "download the folder again",
        )
    say(*notes)
    say(f"{folder}: {counted(len(manifest['files']), 'file')}"
        f"{' but the card' if edited else ''} as published")  # fmt: skip
    if others := other_files(folder, manifest):
        say(f"not in the manifest, and not used: {listed(map(shown, others), most=5)}")


def _check_card(folder: Path, manifest: Mapping[str, Any], changed: dict[str, str]) -> list[str]:
    """Compare what the model card claims with results.json; an edited card may claim the same.

    Args:
        folder: The published folder, whose other files are as published.
        manifest: The manifest.
        changed: What is wrong with the card by its name, changed in place.

    Returns:
        Lines on what of the card was not checked.
    """
    from gcseg.publishing.claims import card_fault
    from gcseg.publishing.names import CARD

    edited = changed.pop(CARD, None)
    try:
        fault, as_written = card_fault(folder, _scored(manifest))
    except FileNotFoundError:
        fault, as_written = edited, True
        edited = None
    if fault is not None:
        changed[CARD] = fault
    if as_written and edited is None:
        return []
    was = "was edited" if edited is not None else "is not as gcseg.publish writes it"
    claims = "its metadata" + (" and its section of scores" if as_written else "")
    return [
        f"{CARD} {was}: {claims} {verb(1 + as_written, 'claims', 'claim')} the scores of "
        "results.json, the rest of its text was not checked"
    ]


def _scored(manifest: Mapping[str, Any]) -> dict[str, Scored]:
    """Return the evaluations of a manifest by name."""
    from gcseg.publishing.evaluations import Scored

    return {
        name: Scored(one["mode"], one["split"], tuple(one["scales"]), one["flip"])
        for name, one in manifest["evaluations"].items()
    }


def main() -> None:
    """Verify a published network."""
    arguments = sys.argv[1:]
    if arguments and not arguments[0].startswith("-") and "=" not in arguments[0]:
        sys.argv[1] = as_override("folder", arguments[0])
    run_with_checkpoint("verify", verify, setting="folder", first=_check_folder)
