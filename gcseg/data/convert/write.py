"""Write index masks in the form of an annotation tool, with their pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from gcseg.data.convert.masks import Masked
from gcseg.data.convert.output import RECORD, new_folder
from gcseg.data.convert.pictures import place_picture
from gcseg.data.convert.same import Same
from gcseg.data.convert.tally import share
from gcseg.data.convert.to_coco import to_coco
from gcseg.data.convert.to_label_studio import to_label_studio
from gcseg.data.convert.to_labelme import to_labelme
from gcseg.data.label_spaces import LabelSpace
from gcseg.data.parallel import Progress
from gcseg.errors import DataError
from gcseg.system.files import output_error, write_json
from gcseg.system.text import counted, shown

FORMS = ("coco", "coco_polygons", "label_studio", "labelme")
"""Forms that masks are written in."""

Pictures = Literal["copy", "link", "none"]

_TELL = {
    "coco": "annotations/instances_<split>.json holds run lengths, one for each class of a picture",
    "coco_polygons": "annotations/instances_<split>.json holds a polygon for each region",
    "label_studio": "label_config.xml is the labelling interface; import tasks.json",
    "labelme": "open it with labelme --labels labels.txt --validatelabel exact",
}


def write(
    masks: Sequence[Masked],
    space: LabelSpace,
    form: str,
    output: Path,
    *,
    pictures: Pictures,
    tolerance: float,
    image_url: str,
    overwrite: bool,
    sources: tuple[Path, ...],
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    """Write pictures and masks for an annotation tool.

    Args:
        masks: Pictures with their masks.
        space: The classes.
        form: One of `FORMS`.
        output: Folder that is written.
        pictures: Whether pictures are copied, linked or left out.
        tolerance: Largest distance of polygons from the outlines in pixels.
        image_url: Beginning of the pictures' addresses in Label Studio.
        overwrite: Whether an earlier conversion is replaced.
        sources: Folders that are read.
        progress: Callback that is passed the numbers of pictures done and of all.
        say: Callback that is passed each line on what was made and lost.

    Raises:
        ConfigError: The output can't be replaced.
        DataError: A mask or picture can't be read.
        OutputError: The folder can't be written.
    """
    writers: Mapping[str, Callable[..., Same]] = {
        "coco": partial(to_coco, tolerance=None),
        "coco_polygons": partial(to_coco, tolerance=tolerance),
        "label_studio": partial(to_label_studio, image_url=image_url),
        "labelme": partial(to_labelme, tolerance=tolerance),
    }
    twice = [key for key, count in Counter((one.split, one.file) for one in masks).items()
             if count > 1]  # fmt: skip
    if twice:
        raise DataError(f"two pictures are {shown('/'.join(twice[0]))}", "rename one of them")
    with new_folder(output, overwrite=overwrite, sources=sources) as folder:
        try:
            for one in masks if pictures != "none" else ():
                parts = (one.split,) if form == "labelme" else ("images", one.split)
                target = folder.joinpath(*parts, one.file)
                target.parent.mkdir(parents=True, exist_ok=True)
                place_picture(one.picture, target, copy=pictures == "copy")
            same = writers[form](masks, space, folder, progress)
        except OSError as error:
            raise output_error(Path(error.filename or folder), error) from error
        splits = Counter(one.split for one in masks)
        write_json(folder / RECORD, {"splits": splits, **vars(same)})
    for split, count in splits.items():
        say(f"{split}: {counted(count, 'picture')}")
    if same.equal < same.pixels:
        say(
            f"{share(same.equal, same.pixels)} of the labelled pixels are the same when the "
            f"polygons are drawn again (tolerance={tolerance:g}; 0 keeps all, with many corners)"
        )
    if same.ignored:
        say(
            f"{share(same.ignored, same.ignored + same.pixels)} of the pixels are ignored and have "
            "no shape, but in holes of others: convert back with unlabelled=ignore"
        )
    say(_TELL[form])
