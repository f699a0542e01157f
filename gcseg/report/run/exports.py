"""Exports in a run's report: the table of the last benchmark."""

from __future__ import annotations

from gcseg.exports.table import COLUMNS, FILE, TEXTS, parse_table
from gcseg.runs.reading import RunFiles
from gcseg.runs.shown import shown_text
from gcseg.system.records import LARGEST_TABLE, RecordError
from gcseg.visualization.html import notice, table

_RATE = COLUMNS.index("images/s")
_ABOUT = (
    "Time per image, images per second and memory in addition to that of an idle process, on the "
    "CPU, by number of threads and of images in a pass. mIoU and the share of pixels with the "
    "same class as in PyTorch are in percent, from the proof that each export has."
)


def export_parts(run: RunFiles) -> list[str]:
    """Return the table of the network and its exports; a notice on how to make it without one."""
    if not (run.folder / FILE).is_file():
        export = f"python -m gcseg.export {run.argument('checkpoint')} format=onnx"
        measure = f"python -m gcseg.benchmark {run.argument('checkpoint')}"
        return [notice(f"No exports are measured. To export and measure: {export}, then {measure}")]
    notices: list[str] = []
    text = shown_text(run.folder, FILE, notices, LARGEST_TABLE)
    try:
        rows = [] if text is None else parse_table(text)
    except RecordError as error:
        rows, notices = [], [f"{FILE} is damaged ({error})."]
    if not rows:
        return [notice(line) for line in notices or [f"{FILE} has no rows."]]
    fastest = max(range(len(rows)), key=lambda row: float(rows[row][_RATE] or 0))
    return [table(COLUMNS, rows, texts=len(TEXTS), bold={(fastest, _RATE)}), _ABOUT]
