"""Any folders of images and index masks: a user's own data, and datasets of that shape."""

from __future__ import annotations

from pathlib import Path

import yaml

from gcseg.data.datasets import Pair, SegmentationDataset, files_by_stem, pair_by_name
from gcseg.data.label_spaces import CAMVID, LabelSpace
from gcseg.errors import ConfigError, DataError


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
        root: The dataset's folder.
        split: Put in the place of `{split}` in the two paths.
        classes: The class list: a YAML file, relative to the root, or a label space.
        images: The images' folder, relative to the root.
        labels: The masks' folder, relative to the root; if it does not exist, the split has
            no labels.
        faults: Collects files without a partner, see `gcseg.data.faults.fault`.

    Raises:
        ConfigError: The class list is wrong.
        DataError: A folder is missing or empty, or an image has no mask of its name.
    """
    root = Path(root)
    label_space = read_classes(root / classes) if isinstance(classes, str) else classes
    image_folder, label_folder = (root / path.format(split=split) for path in (images, labels))
    found = files_by_stem(image_folder, faults=faults)
    if label_folder.is_dir():
        masks = files_by_stem(label_folder, (".png",), faults=faults)
        pairs = pair_by_name(found, masks, label_space, faults)
    else:
        pairs = [Pair(name, path, None, label_space) for name, path in found.items()]
    return SegmentationDataset(pairs, label_space, str(image_folder))


def camvid(
    root: str | Path, split: str, *, faults: list[DataError] | None = None
) -> SegmentationDataset:
    """Read a split of CamVid in SegNet's layout: train/ and trainannot/, val/ and valannot/.

    Args:
        root: The folder that holds them.
        split: train, val or test.
        faults: Collects files without a partner, see `gcseg.data.faults.fault`.

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

    The file holds `classes`, a list of names or of mappings with `name` and, as wanted, `color`
    (RGB) and `value` (in the masks; the position in the list by default), and `ignore`, the
    values that are neither trained on nor scored (255 always is).

    Raises:
        DataError: The file is missing.
        ConfigError: It is not such a list.
    """
    shape = "write 'classes:' with one name per line, and 'ignore: [value, ...]' if needed"
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise DataError(f"class list {path} does not exist", shape) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"class list {path} is not YAML ({error})", shape) from None
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        raise ConfigError(f"class list {path} has no list 'classes'", shape)
    if unknown := sorted(set(content) - {"classes", "ignore"}):
        raise ConfigError(f"class list {path} has unknown keys {unknown}", shape)
    entries = [
        entry if isinstance(entry, dict) else {"name": entry} for entry in content["classes"]
    ]
    known = {"name", "color", "value"}
    if unknown := sorted({str(key) for entry in entries for key in entry} - known):
        raise ConfigError(f"class list {path} has classes with unknown keys {unknown}", shape)
    try:
        names = tuple(str(entry["name"]) for entry in entries)
        colors = tuple(_color(entry["color"]) for entry in entries if "color" in entry)
        values = {int(entry.get("value", index)): index for index, entry in enumerate(entries)}
        ignored = tuple(int(value) for value in content.get("ignore", ()) if value != 255)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"class list {path} has a wrong entry ({error})", shape) from None
    if len(values) != len(names):
        raise ConfigError(f"class list {path} gives one value to two classes", "use each once")
    try:
        return LabelSpace(names, colors, values, ignored)
    except ConfigError as error:
        raise ConfigError(f"class list {path}: {error.cause}", error.remedy) from None


def _color(value: object) -> tuple[int, int, int]:
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"colour {value} is not [red, green, blue]")
    red, green, blue = (int(channel) for channel in value)
    if not all(0 <= channel <= 255 for channel in (red, green, blue)):
        raise ValueError(f"colour {value} is not within 0 to 255")
    return red, green, blue
