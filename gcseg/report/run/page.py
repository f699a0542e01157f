"""Page of a run's report: its settings, its results, and the commands to repeat it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gcseg.data.label_spaces import LabelSpace
from gcseg.errors import GcsegError, reason
from gcseg.report.run.analysis import boundary_parts, calibration_parts, convention_parts, missing
from gcseg.report.run.curves import best_validation, curve_parts
from gcseg.report.run.exports import export_parts
from gcseg.report.run.facts import (
    command_parts,
    duration,
    environment_parts,
    has_attention,
    plain,
    setting_parts,
    speed_parts,
)
from gcseg.report.run.pictures import attention_parts, example_parts
from gcseg.report.run.published import published_parts
from gcseg.report.run.scores import class_parts, confusion_parts, score_parts
from gcseg.runs.folder import REPORT_FILE
from gcseg.runs.reading import RunFiles, read_run
from gcseg.runs.shown import mapping, number
from gcseg.system.text import percent
from gcseg.visualization.html import Document, Markup, facts, notice, text

if TYPE_CHECKING:
    from gcseg.report.run.examples import Example


def write_run_report(
    folder: Path,
    examples: Sequence[Example] = (),
    *,
    space: LabelSpace | None = None,
    notes: Sequence[str] = (),
    output: Path | None = None,
) -> Path:
    """Write the report of a run folder, a self-contained file.

    The report names the gaps that missing or damaged files leave.

    Args:
        folder: The run folder.
        examples: Images to show, from the first evaluation with an analysis.
        space: Names and colours of the examples' classes; None for generated colours.
        notes: Reasons why there are no examples although they were wanted.
        output: Path of the report; `REPORT_FILE` in the run folder if None.

    Returns:
        Path of the report.

    Raises:
        OutputError: There is no such folder, or the file can't be written.
    """
    run = read_run(folder)
    name = str(run.results.get("name") or folder.resolve().name)
    document = Document(name, "training report")
    document.add("Summary", *_summary(run), *(notice(note) for note in run.notices))
    _add(document, run, "Scores", score_parts, note="mIoU and other scores in percent.")
    _add(document, run, "Comparison with published scores", published_parts)
    _add(document, run, "Curves", _curves)
    _add(document, run, "Classes", class_parts)
    _add(document, run, "Confusions", confusion_parts)
    _add(
        document,
        run,
        "Best, median and worst images",
        lambda run: _images(run, examples, space, notes),
    )
    _add(document, run, "Boundaries", boundary_parts)
    _add(document, run, "Calibration", calibration_parts)
    _add(
        document, run, "Conventions", convention_parts,
        note="The same predictions, counted as each framework counts them.",
    )  # fmt: skip
    _add(document, run, "Attention", lambda run: _attention(run, examples, notes))
    _add(document, run, "Speed and memory", speed_parts)
    _add(document, run, "Exports", export_parts)
    _add(document, run, "Environment", environment_parts)
    _add(document, run, "Settings", setting_parts)
    _add(document, run, "Commands", command_parts)
    return document.write(output or folder / REPORT_FILE)


def _add(
    document: Document,
    run: RunFiles,
    title: str,
    build: Callable[[RunFiles], Sequence[str]],
    *,
    note: str = "",
) -> None:
    """Add a section, or a notice if a file's contents can't be used."""
    try:
        parts = build(run)
    except (
        GcsegError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError
    ) as error:  # fmt: skip
        # Files may be from another version and unreadable in part: the rest is shown.
        why = f"{type(error).__name__}: {reason(error)}"
        parts = [notice(f"The run folder's files have content that can't be shown here ({why}).")]
    document.add(title, *parts, note=note)


def _summary(run: RunFiles) -> list[str]:
    parts: list[str] = []
    scores = [(number(one.record, "miou"), one) for one in run.main or run.evaluations]
    entries = "".join(
        f"<div><b>{100 * miou:.2f} %</b><span>mIoU, {text(one.title)}</span></div>\n"
        for miou, one in scores
        if miou is not None
    )
    if entries:
        parts.append(Markup(f'<div class="big">\n{entries}</div>'))
    else:
        parts.append(notice("This run has no scores yet."))
    results, config = run.results, run.config
    shown = run.shown
    record = {} if shown is None else shown.record
    best = best_validation(run.curves)
    stopped_at = mapping(results, "training").get("stopped_at")
    crop = mapping(config, "dataset", "crop")
    sides = " x ".join(plain(crop.get(side, "?")) for side in ("height", "width"))
    pairs = {
        "network": " ".join(plain(results.get(key) or mapping(config, key).get("name") or "?")
                            for key in ("backbone", "head")),
        "dataset": plain(results.get("dataset") or mapping(config, "dataset").get("name") or "?"),
        "evaluated on": f"{record['split']}, {record.get('images', '?')} images"
                        if "split" in record else "",
        "iterations": plain(results.get("iters", config.get("iters"))),
        "stopped early": f"at step {stopped_at}" if stopped_at else "",
        "batch size": plain(config.get("batch_size")),
        "crop": f"{sides} (height x width)" if crop else "",
        "seed": plain(results.get("seed", config.get("seed"))),
        "mean F1": _percent(number(record, "mean_f1")),
        "pixel accuracy": _percent(number(record, "pixel_accuracy")),
        "boundary mIoU": _percent(number(record, "boundary_miou")),
        "best in training": "" if best is None
                            else f"{100 * best[1]:.2f} % after {best[0]} steps",
        "trained in": duration(number(results, "training", "seconds")),
    }  # fmt: skip
    parts.append(facts({key: value for key, value in pairs.items() if value}))
    return parts


def _curves(run: RunFiles) -> Sequence[str]:
    return curve_parts(run) or [notice("There are no curves: metrics.csv has no numbers.")]


def _images(
    run: RunFiles,
    examples: Sequence[Example],
    space: LabelSpace | None,
    reasons: Sequence[str],
) -> Sequence[str]:
    if not examples:
        if reasons:
            return [notice(reason) for reason in reasons]
        shown = run.shown
        if shown is None or shown.analysis is None:
            return [missing(run, "single images")]
        return [
            notice(
                f"No pictures were made. To add them: python -m gcseg.report {run.argument('run')}"
            )
        ]
    if space is None:
        shown = run.shown
        names = mapping(shown.record, "class_iou") if shown else {}
        most = max(int(one.prediction.max(initial=0)) for one in examples) + 1
        space = LabelSpace(tuple(names) or tuple(f"class {index}" for index in range(most)))
    return example_parts(examples, space)


def _attention(run: RunFiles, examples: Sequence[Example], reasons: Sequence[str]) -> Sequence[str]:
    parts = attention_parts(examples)
    if parts:
        return [
            "Where the context block looks: the weight of each position in the context, for the "
            "image at scale 1. Dark is weight 0, bright is the largest weight.",
            *parts,
        ]
    if examples:
        return [
            "There is no attention map: the head has no context block with one, or there was no "
            "memory for it."
        ]
    if reasons:
        return [notice(reason) for reason in reasons]
    if not has_attention(run):
        return ["The head has no context block with an attention map."]
    line = f"python -m gcseg.attention {run.argument('checkpoint')}"
    return [notice(f"No attention maps were made. To see them: {line}")]


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{percent(fraction)} %"
