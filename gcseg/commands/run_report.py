"""Write the report of a run from its configuration and its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gcseg.builders import data as build_data
from gcseg.builders import model as build
from gcseg.data.label_spaces import LabelSpace
from gcseg.errors import ConfigError, GcsegError, reason
from gcseg.inference.protocol import Augmentation
from gcseg.predictor.build import network_in_mode
from gcseg.report.run.examples import pick_examples, predict_examples, read_image_scores
from gcseg.report.run.page import write_run_report
from gcseg.runs.classes import check_classes
from gcseg.runs.folder import RunFolder
from gcseg.runs.reading import read_run
from gcseg.system.links import leads_out
from gcseg.system.terminal import announce
from gcseg.weights import read_weights

if TYPE_CHECKING:
    from gcseg.report.run.examples import Example


def write_report(cfg: DictConfig, folder: Path, output: Path | None = None) -> Path:
    """Write the report of a run folder, with pictures if checkpoint and dataset exist.

    Args:
        cfg: Settings of the training, or those that evaluation takes from it.
        folder: The run folder.
        output: Path of the report; report.html in the run folder if None.

    Returns:
        Path of the report.

    Raises:
        OutputError: The report can't be written, or the run folder is damaged.
    """
    run = read_run(folder)
    shown = run.shown
    count = cfg.get("examples", 2)
    examples: list[Example] = []
    space, notes = None, []
    if count and shown is not None and shown.analysis is not None:
        try:
            if "@" in shown.name:  # a record does not name its weights and settings
                raise ConfigError(
                    f"{shown.name} is not an evaluation by the training",
                    "analyse such an evaluation",
                )
            examples, space = _examples(cfg, RunFolder(folder), shown.record, count)
            if not examples:
                notes.append("There are no pictures: no image has a labelled pixel.")
        except LookupError as error:  # edited, of another version, or left out as invalid
            notes.append(f"There are no pictures: results.json has no usable entry for {error}.")
        except (GcsegError, OSError, AttributeError, TypeError, ValueError) as error:
            notes.append(f"There are no pictures: {reason(error)}.")
    for note in [*run.notices, *notes]:  # which the page has too
        announce(note)
    return write_run_report(folder, examples, space=space, notes=notes, output=output)


def _examples(
    cfg: DictConfig, run: RunFolder, evaluation: Mapping[str, Any], count: int
) -> tuple[list[Example], LabelSpace]:
    """Predict the best, the median and the worst images of an evaluation again.

    Args:
        cfg: See `write_report`.
        run: The run folder.
        evaluation: Record of the evaluation, with the training's own protocol.
        count: Number of images of each kind.
    """
    table = (run.path / evaluation["analysis"]).with_suffix(".csv")
    rows = read_image_scores(table, run.path)
    dataset = build_data.dataset(cfg, evaluation["split"]).with_labels()
    checkpoint = run.checkpoints / evaluation["checkpoint"]
    if leads_out(checkpoint, run.path):
        raise ConfigError(
            f"{checkpoint} is a link to a place outside {run.path}",
            "replace the link by the file",
        )
    content = read_weights(checkpoint)
    check_classes(content.extra, dataset.label_space, checkpoint)
    mode = Augmentation(evaluation["scales"], evaluation["flip"])
    protocol = build.protocol(cfg, evaluation["average"])
    network = network_in_mode(cfg, content, checkpoint, dataset.label_space, mode, protocol)
    examples = predict_examples(network, dataset, pick_examples(rows, count))
    return examples, dataset.label_space
