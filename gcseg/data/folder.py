"""Any folders of images and index masks: user data, and datasets of that layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gcseg.data.datasets import Pair, SegmentationDataset, files_by_stem, kinds_of, pair_by_name
from gcseg.data.label_spaces import CAMVID, IGNORE_INDEX, LabelSpace
from gcseg.data.reading import LABEL_SUFFIXES
from gcseg.data.walk import files_below
from gcseg.errors import ConfigError, DataError
from gcseg.system.records import LARGEST_YAML, RecordError, parse_yaml, read_text
from gcseg.system.text import shown

_LISTED = 5  # names in a message


def folder(
    root: str | Path,
    split: str,
    *,
    classes: str | LabelSpace = "classes.yaml",
    images: str = "images/{split}",
    labels: str = "labels/{split}",
    faults: list[DataError] | None = None,
) -> SegmentationDataset:
    """Read a split from a folder of images and a folder of masks, paired by name.

    Args:
        root: Folder of the dataset.
        split: Name that replaces `{split}` in the two paths.
        classes: The class list: a YAML file, relative to the root, or a label space.
        images: The images' folder, relative to the root.
        labels: The masks' folder, relative to the root; if it does not exist, the split has
            no labels.
        faults: Collects files without a partner, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        ConfigError: The class list is wrong.
        DataError: A folder is missing or empty, or an image has no mask of its name.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for kind, shape in (("images", (4, 6, 3)), ("labels", (4, 6))):
        ...         path = Path(root, kind, "train", "a.png")
        ...         path.parent.mkdir(parents=True)
        ...         Image.fromarray(np.zeros(shape, np.uint8)).save(path)
        ...     _ = Path(root, "classes.yaml").write_text("classes: [road, car]")
        ...     dataset = folder(root, "train")
        ...     image, label = dataset.read(0)
        >>> len(dataset), dataset.label_space.names, image.shape, label.shape
        (1, ('road', 'car'), (4, 6, 3), (4, 6))
    """
    root = Path(root)
    label_space = read_classes(root / classes) if isinstance(classes, str) else classes
    image_folder, label_folder = (
        # Not str.format, which would let a pattern read attributes of the name.
        root / path.replace("{split}", split)
        for path in (images, labels)
    )
    found = files_by_stem(image_folder, faults=faults)
    if label_folder.is_dir():
        masks = files_by_stem(label_folder, LABEL_SUFFIXES, faults=faults)
        if found and not masks and (others := files_below(label_folder)):
            raise DataError(
                f"no masks in {label_folder}: {kinds_of(others)}",
                f"store masks as {', '.join(LABEL_SUFFIXES)}",
            )
        pairs = pair_by_name(found, masks, label_space, faults)
    else:
        pairs = [Pair(name, path, None, label_space) for name, path in found.items()]
    return SegmentationDataset(
        pairs, label_space, str(image_folder), labels_description=str(label_folder)
    )


def camvid(
    root: str | Path, split: str, *, faults: list[DataError] | None = None
) -> SegmentationDataset:
    """Read a split of CamVid in SegNet's layout: train/ and trainannot/, val/ and valannot/.

    Args:
        root: The folder that holds these folders.
        split: train, val or test.
        faults: Collects files without a partner, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        DataError: A folder is missing or empty, or an image has no label of its name.
    """
    if not (Path(root) / f"{split}annot").is_dir():
        raise DataError(
            f"CamVid's folder {Path(root) / f'{split}annot'} does not exist",
            "set dataset.root to the folder that holds train/, trainannot/, val/ and valannot/",
        )
    return folder(
        root, split, classes=CAMVID, images="{split}", labels="{split}annot", faults=faults
    )


def read_classes(path: Path) -> LabelSpace:
    """Read a class list.

    The file holds `classes`, a list of names or of mappings with `name` and, optionally, `color`
    (RGB) and `value` (in the masks; the position in the list by default), and `ignore`, the values
    that are neither trained on nor scored (255 is too, unless it is a class's value).

    Raises:
        DataError: The file is missing.
        ConfigError: The file is not such a list.
    """
    shape = "write 'classes:' with one name per line, and 'ignore: [value, ...]' if needed"
    try:
        content = parse_yaml(read_text(path, LARGEST_YAML))
    except FileNotFoundError:
        raise DataError(f"class list {path} does not exist", shape) from None
    except RecordError as error:
        raise ConfigError(f"class list {path} can't be read ({error})", shape) from None
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        raise ConfigError(f"class list {path} has no list 'classes'", shape)
    if unknown := sorted(set(content) - {"classes", "ignore"}):
        raise ConfigError(f"class list {path} has unknown keys {_listed(unknown)}", shape)
    entries = [
        entry if isinstance(entry, dict) else {"name": entry} for entry in content["classes"]
    ]
    known = {"name", "color", "value"}
    if unknown := sorted({key for entry in entries for key in entry} - known):
        raise ConfigError(
            f"class list {path} has classes with unknown keys {_listed(unknown)}", shape
        )
    try:
        names = tuple(entry["name"] for entry in entries)
        _check_names(names, path)
        colors = tuple(_color(entry["color"]) for entry in entries if "color" in entry)
        values = {_whole(entry.get("value", index)): index for index, entry in enumerate(entries)}
        ignored = _ignored(content.get("ignore"), values)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"class list {path} has a wrong entry ({error})", shape) from None
    if len(values) != len(names):
        raise ConfigError(f"class list {path} gives one value to two classes", "use each once")
    try:
        return LabelSpace(names, colors, values, ignored)
    except ConfigError as error:
        raise ConfigError(f"class list {path}: {error.cause}", error.remedy) from None


def _check_names(names: Sequence[object], path: Path) -> None:
    """Check that YAML read all names as text; otherwise report the other type and its cause.

    Raises:
        ConfigError: A name is not text.
    """
    others = [
        (number, _read_as(name)) for number, name in enumerate(names, 1) if type(name) is not str
    ]
    if not others:
        return
    listed = "; ".join(f"class {number} is {what}" for number, (what, _) in others[:_LISTED])
    more = f"; and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
    example = next((quoted for _, (_, quoted) in others if quoted), "")
    raise ConfigError(
        f"class list {path} has names that are not text: {listed}{more}",
        f"put quotes around the name: - '{example}'" if example else "give each class one name",
    )


def _read_as(name: object) -> tuple[str, str]:
    """Return the type that YAML made of a name, and the name as it was probably written."""
    if name is None:
        return "null, which YAML reads in null, ~ and nothing", "null"
    if isinstance(name, bool):
        written = ("no", "off", "false") if not name else ("yes", "on", "true")
        quoted = "' or '".join(written)
        return f"{written[2]}, which YAML reads in {', '.join(written)} without quotes", quoted
    if isinstance(name, int | float):
        number = shown(str(name))
        return f"the number {number}", number
    return ("a list" if isinstance(name, list) else "a mapping"), ""


def _ignored(given: object, values: Mapping[int, int]) -> tuple[int, ...]:
    if given is not None and not isinstance(given, list):
        raise ValueError(f"ignore: {shown(str(given))} is no list")
    listed = [_whole(value) for value in given or ()]
    return tuple(value for value in listed if value != IGNORE_INDEX or IGNORE_INDEX in values)


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"value {shown(str(value))!r} is not a whole number")
    return value


def _listed(names: Sequence[str]) -> list[str]:
    return [shown(name) for name in names[:_LISTED]]


def _color(value: object) -> tuple[int, int, int]:
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"colour {shown(str(value))} is not [red, green, blue]")
    red, green, blue = (_whole(channel) for channel in value)
    if not all(0 <= channel <= 255 for channel in (red, green, blue)):
        raise ValueError(f"colour {shown(str(value))} is not within 0 to 255")
    return red, green, blue
