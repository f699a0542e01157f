"""Write Label Studio: tasks with pre-annotations of brush masks, and the project's labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from gcseg.data.convert import brush
from gcseg.data.convert.label_studio import INTERFACE
from gcseg.data.convert.masks import Masked, each
from gcseg.data.convert.same import Same
from gcseg.data.images import UInt8Array
from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.parallel import Progress


def to_label_studio(
    masks: Sequence[Masked],
    space: LabelSpace,
    folder: Path,
    progress: Progress,
    *,
    image_url: str,
) -> Same:
    """Write tasks.json, to be imported, and label_config.xml, the labelling interface.

    Args:
        masks: Pictures with their masks.
        space: The classes.
        folder: Folder that is written.
        progress: Callback that is passed the numbers of pictures done and of all.
        image_url: Beginning of the pictures' addresses, before images/<split>/<name>.

    Returns:
        What is drawn again of the masks, which is all.
    """
    same = Same()

    def convert(one: Masked, mask: UInt8Array) -> tuple[list[dict[str, Any]], Same]:
        return _results(mask, space), Same.of(mask, mask)

    with (folder / "tasks.json").open("w") as file:
        between = "[\n"
        for one, found in each(masks, convert, progress):
            results, drawn = found
            same.add(drawn)
            address = image_url + quote(f"images/{one.split}/{one.file}")
            prediction = {"model_version": "gcseg", "result": results}
            file.write(between + json.dumps({"data": {"image": address},
                                             "predictions": [prediction]}))  # fmt: skip
            between = ",\n"
        file.write("\n]\n")
    (folder / INTERFACE).write_text(_interface(space))
    return same


def _results(mask: UInt8Array, space: LabelSpace) -> list[dict[str, Any]]:
    """Return a brush mask for each class of a mask."""
    height, width = mask.shape
    return [
        {
            "id": f"gcseg-{value}",
            "type": "brushlabels",
            "from_name": "label",
            "to_name": "image",
            "original_height": height,
            "original_width": width,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": brush.encoded(np.asarray(mask == value, np.uint8)),
                "brushlabels": [space.names[value]],
            },
        }
        for value in np.unique(mask).tolist()
        if value != IGNORE_INDEX
    ]


def _interface(space: LabelSpace) -> str:
    """Return the labelling interface of the classes, in their colours."""
    labels = [
        f'    <Label value={quoteattr(name)} background="#{bytes(color).hex()}"/>\n'
        for name, color in zip(space.names, space.colors, strict=True)
    ]
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="label" toName="image">\n{"".join(labels)}  </BrushLabels>\n</View>\n'
    )
