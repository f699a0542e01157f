"""Read an export of any known format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from gcseg.data.class_list import read_class_list
from gcseg.data.convert.coco import coco
from gcseg.data.convert.color_masks import rgb, voc
from gcseg.data.convert.cvat import cvat
from gcseg.data.convert.drawings import Source
from gcseg.data.convert.files import Export
from gcseg.data.convert.label_studio import label_studio
from gcseg.data.convert.labelme import labelme
from gcseg.data.convert.supervisely import supervisely
from gcseg.data.convert.yolo import yolo
from gcseg.errors import ConfigError

READERS: Mapping[str, Callable[[Export], Source]] = {
    "coco": coco,
    "cvat": cvat,
    "label_studio": label_studio,
    "labelme": labelme,
    "supervisely": supervisely,
    "voc": voc,
    "yolo": yolo,
}
"""Readers by format; that of colour masks, `rgb`, needs a colour table too."""


def read_export(
    form: str, source: Path, images: Path | None, output: Path, classes: object
) -> Source:
    """Read an export.

    Args:
        form: Its format: a key of `READERS`, or rgb.
        source: Its folder or file.
        images: Folder of the pictures if they are not with it.
        output: Folder of the results, which is not read.
        classes: The class list; of rgb a YAML file with colours.

    Returns:
        The annotated pictures, with notes on pictures that are not used.

    Raises:
        ConfigError: rgb without a colour for each class.
        DataError: The export is wrong.
    """
    export = Export(source, images, output)
    if form == "rgb":
        if not isinstance(classes, str) or Path(classes).suffix.lower() not in (".yaml", ".yml"):
            raise ConfigError(
                "format=rgb needs the classes' colours",
                "give classes= a YAML file of classes with name and color",
            )
        found = rgb(export, read_class_list(Path(classes)))
    else:
        found = READERS[form](export)
    used = [one.picture for one in found.drawings if isinstance(one.picture, Path)]
    left = export.notes([*used, *found.other])
    return Source(found.drawings, found.labels, [*found.notes, *left])
